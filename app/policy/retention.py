"""How long a policy keeps the pictures of decisions."""

from datetime import timedelta

from app.domain import Keep, Keeping
from app.policy.travel import Outline

#: What says it where the policy says nothing of passed pictures.
_SETTING = "PORTCULLIS_KEEP_PASSED_HOURS"


def keeping(outline: Outline, *, passed_if_silent: timedelta) -> Keeping:
    """`passed_if_silent` is the setting's: how long passed pictures are kept where the policy does not say."""
    policy = outline.policy
    given = policy.defaults.retention
    passed = Keep(passed_if_silent, _SETTING)
    if given.passed_hours is not None:
        passed = Keep(timedelta(hours=given.passed_hours), "defaults.retention.passed_hours")
    reviewed = passed
    if given.reviewed_days is not None:
        reviewed = Keep(timedelta(days=given.reviewed_days), "defaults.retention.reviewed_days")
    rejected = None if given.rejected_days is None else timedelta(days=given.rejected_days)
    return Keeping(
        passed=passed,
        reviewed=reviewed,
        rejected=Keep(rejected, "defaults.retention.rejected_days"),
        categories={
            name: Keep(timedelta(days=category.retention_days), f"categories.{name}.retention_days")
            for name, category in policy.categories.items()
            if category.retention_days is not None
        },
        policy=outline.policy_digest,
    )


def in_words(kept: Keeping) -> str:
    """One line for people: `passed 24 h (PORTCULLIS_KEEP_PASSED_HOURS), rejected 180 d, rejected for goods 30 d`."""
    parts = [f"passed {_time(kept.passed)}", f"rejected {_time(kept.rejected)}"]
    if kept.passed.rule == _SETTING:
        parts[0] += f" ({_SETTING})"
    if kept.reviewed != kept.passed:
        parts.insert(1, f"passed by a person {_time(kept.reviewed)}")
    parts += [f"rejected for {name} {_time(one)}" for name, one in kept.categories.items()]
    return ", ".join(parts)


def _time(keep: Keep) -> str:
    if keep.time is None:
        return "until they are deleted"
    hours = keep.time / timedelta(hours=1)
    return f"{hours:g} h" if hours < 48 else f"{hours / 24:g} d"  # noqa: PLR2004 - two days
