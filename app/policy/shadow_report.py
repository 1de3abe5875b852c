"""What a shadow policy, or the shadow rules of the live one, would have changed.

Counts are of decisions that were compared, and never extrapolated. Only the reviews a day are an estimate: they rest on
the decisions of which everything was asked, which chance picked, not what was found.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime

from app.domain import ComparisonGroup, Outcome, ShadowText, Tried, Value
from app.policy.ports import ShadowStore
from app.policy.ruleset import Ruleset
from app.policy.shadow_judge import rules_trial

#: Of each rule's changes, this many are named.
_EXAMPLES = 10
_DAY_S = 86_400.0
_SHORTEST_SPAN_DAYS = 1 / 24


class Example(Value):
    decision: str
    before: Outcome
    after: Outcome


class TriedRule(Value):
    """`fired` counts the decisions on which the rule is true, `changes` those whose outcome would be another, and would
    follow from it, by `pass>reject` and the like. `rule` is None for what would pass: no rule asks for anything."""

    rule: str | None
    fired: int
    changes: dict[str, int]
    examples: tuple[Example, ...]


class ReviewLoad(Value):
    """Reviews a day as they were decided, and as they would have been; None where the time is too short to speak of a
    day. Both rest on the same `decisions`."""

    before: float | None
    after: float | None
    decisions: int


class ShadowReport(Value):
    """`compared` decisions, of which `not_comparable` have no outcome: `missing` counts what they wanted for. `table`
    counts the others by what was decided and what would have been; `changed` are those off its diagonal."""

    digest: str
    first_at: datetime | None
    last_at: datetime | None
    compared: int
    not_comparable: int
    missing: dict[str, int]
    table: dict[Outcome, dict[Outcome, int]]
    changed: int
    reviews_a_day: ReviewLoad
    by_rule: tuple[TriedRule, ...]


def shadow_report(digest: str, groups: Sequence[ComparisonGroup]) -> ShadowReport:
    known = [group for group in groups if group.after is not None]
    first_at = min((group.first_at for group in groups), default=None)
    last_at = max((group.last_at for group in groups), default=None)
    compared = sum(group.count for group in groups)
    return ShadowReport(
        digest=digest,
        first_at=first_at,
        last_at=last_at,
        compared=compared,
        not_comparable=compared - sum(group.count for group in known),
        missing=_missing(groups),
        table={before: {after: _count(known, before, after) for after in Outcome} for before in Outcome},
        changed=sum(group.count for group in known if group.after is not group.before),
        reviews_a_day=_reviews(groups, compared, _days(first_at, last_at)),
        by_rule=_by_rule(groups),
    )


def _count(groups: Iterable[ComparisonGroup], before: Outcome, after: Outcome) -> int:
    return sum(group.count for group in groups if group.before is before and group.after is after)


def _missing(groups: Iterable[ComparisonGroup]) -> dict[str, int]:
    found: dict[str, int] = {}
    for group in groups:
        for name in group.missing:
            found[name] = found.get(name, 0) + group.count
    return dict(sorted(found.items()))


def _days(first_at: datetime | None, last_at: datetime | None) -> float | None:
    if first_at is None or last_at is None:
        return None
    days = (last_at - first_at).total_seconds() / _DAY_S
    return days if days >= _SHORTEST_SPAN_DAYS else None


def _reviews(groups: Iterable[ComparisonGroup], compared: int, days: float | None) -> ReviewLoad:
    """Where a probe was asked of a sample alone, decisions that can be compared without it are not like the others:
    most of them are rejected anyway."""
    whole = [group for group in groups if group.whole and group.after is not None]
    total = sum(group.count for group in whole)
    if not total or days is None:
        return ReviewLoad(before=None, after=None, decisions=total)
    scale = compared / total / days
    before = sum(group.count for group in whole if group.before is Outcome.REVIEW)
    after = sum(group.count for group in whole if group.after is Outcome.REVIEW)
    return ReviewLoad(before=before * scale, after=after * scale, decisions=total)


def _by_rule(groups: Iterable[ComparisonGroup]) -> tuple[TriedRule, ...]:
    """Those that would change most first."""
    fired: dict[str | None, int] = {}
    changes: dict[str | None, dict[str, int]] = {}
    examples: dict[str | None, list[Example]] = {}
    for group in groups:
        for name in group.fired:
            fired[name] = fired.get(name, 0) + group.count
        after = group.after
        if after is None or after is group.before:
            continue
        for rule in group.rules or (None,):
            kind, counts = f"{group.before.value}>{after.value}", changes.setdefault(rule, {})
            counts[kind] = counts.get(kind, 0) + group.count
            named = examples.setdefault(rule, [])
            named += [Example(decision=one, before=group.before, after=after) for one in group.examples]
    rules = sorted(fired.keys() | changes.keys(), key=lambda rule: (-sum(changes.get(rule, {}).values()), rule or ""))
    return tuple(
        TriedRule(
            rule=rule,
            fired=fired.get(rule, 0),
            changes=dict(sorted(changes.get(rule, {}).items())),
            examples=tuple(examples.get(rule, [])[:_EXAMPLES]),
        )
        for rule in rules
    )


class ShadowReports(Value):
    """`policy` is about the shadow policy since it was set, `rules` about the shadow rules of the live one; each is
    None where there is none. `unrecorded` counts decisions that the shadow policy was not compared with: made within
    the last second, or lost."""

    since: datetime
    policy: ShadowReport | None = None
    unrecorded: int = 0
    rules: ShadowReport | None = None


async def report_on(store: ShadowStore, *, shadow: ShadowText | None, live: Ruleset, since: datetime) -> ShadowReports:
    """Raises StoreUnavailable."""
    trial = rules_trial(live)
    rules = None
    if trial is not None:
        digest = await asyncio.to_thread(lambda: trial.digest)
        rules = shadow_report(digest, await store.comparisons(Tried.RULES, digest, since=since))
    if shadow is None or shadow.policy_digest is None:
        return ShadowReports(since=since, rules=rules)
    start = max(since, shadow.change.at)
    digest = shadow.policy_digest
    policy = shadow_report(digest, await store.comparisons(Tried.POLICY, digest, since=start))
    unrecorded = max(0, await store.decided(since=start) - policy.compared)
    return ShadowReports(since=since, policy=policy, unrecorded=unrecorded, rules=rules)
