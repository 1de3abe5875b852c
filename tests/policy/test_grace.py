"""Whatever is edited when: nothing goes that was kept by a policy in force within the grace, nor before it was told."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from app.domain import Keep, Keeping, Settled
from app.policy.grace import Reign, lapse, with_a_say

_T0 = datetime(2026, 3, 1, tzinfo=UTC)
_GRACE = timedelta(hours=24)
_CATEGORIES = ("goods", "spam")
_TIMES = st.none() | st.integers(0, 5).map(lambda days: timedelta(days=days))
_KEEPS = _TIMES.map(lambda time: Keep(time, "a rule"))
_KEEPINGS = st.builds(
    Keeping,
    passed=_KEEPS,
    reviewed=_KEEPS,
    rejected=_KEEPS,
    categories=st.dictionaries(st.sampled_from(_CATEGORIES), _KEEPS),
)
#: Hours after the edit before, and what it said.
_EDITS = st.lists(st.tuples(st.integers(0, 30), _KEEPINGS), min_size=1, max_size=6)
_KINDS = [(settled, name) for settled in Settled for name in (None, *_CATEGORIES, "of no policy")]


def history(edits: list[tuple[int, Keeping]]) -> list[Reign]:
    at, reigns = _T0, []
    for hours, keeping in edits:
        at += timedelta(hours=hours)
        reigns.append(Reign(at, keeping))
    return reigns


def time(keeping: Keeping, kind: tuple[Settled, str | None]) -> timedelta:
    kept = keeping.of(*kind).time
    return timedelta.max if kept is None else kept


@given(_KEEPINGS, st.lists(_KEEPINGS, max_size=3))
def test_the_longest_keeps_what_any_keeps(one: Keeping, others: list[Keeping]) -> None:
    longest = one.longest_with(others)
    for kind in _KINDS:
        assert time(longest, kind) == max(time(keeping, kind) for keeping in (one, *others))


@given(_EDITS, st.integers(0, 60))
def test_all_that_was_in_force_within_the_grace_has_a_say(edits: list[tuple[int, Keeping]], hours: int) -> None:
    reigns = history(edits)
    at = reigns[-1].since + timedelta(hours=hours)
    said = with_a_say(reigns, at, _GRACE)
    ends = [*(one.since for one in reigns[1:]), None]
    counted = [one.keeping for one, end in zip(reigns, ends, strict=True) if end is None or end > at - _GRACE]
    for kind in _KINDS:
        assert time(said, kind) == max(time(keeping, kind) for keeping in counted)


@given(_EDITS, st.integers(0, 30))
def test_nothing_goes_before_what_was_told(edits: list[tuple[int, Keeping]], hours: int) -> None:
    reigns = history(edits)
    now = reigns[-1].since + timedelta(hours=hours)
    ahead, kept = lapse(reigns, now, _GRACE), with_a_say(reigns, now, _GRACE)
    until = [now + timedelta(hours=hour) for hour in range(60)]
    if ahead is None:
        assert all(with_a_say(reigns, at, _GRACE).says_as(kept) for at in until)
        return
    assert now < ahead.begins_at <= ahead.ends_at
    for at in until:
        said = with_a_say(reigns, at, _GRACE)
        assert said.says_as(kept) == (at < ahead.begins_at)
        assert said.says_as(reigns[-1].keeping) == (at >= ahead.ends_at)


@given(_EDITS, _EDITS)
def test_later_edits_bring_nothing_forward(edits: list[tuple[int, Keeping]], later: list[tuple[int, Keeping]]) -> None:
    reigns = history(edits)
    now = reigns[-1].since
    ahead, kept = lapse(reigns, now, _GRACE), with_a_say(reigns, now, _GRACE)
    for at in (now + timedelta(hours=hour) for hour in range(60)):
        if at >= (ahead.begins_at if ahead else now + _GRACE):
            return
        so_far = [one for one in history([*edits, *later]) if one.since <= at]
        said = with_a_say(so_far, at, _GRACE)
        assert all(time(said, kind) >= time(kept, kind) for kind in _KINDS)
