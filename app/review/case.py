"""The life of a case, as pure functions from one case to the next.

    open ──claim──► claimed ──decide──► decided
      ▲                │
      └─release, expire┘

A lease that ran out makes the case claimable by others at once, swept or not. Until somebody else takes it, the
reviewer who had it may still renew, release or decide: work that was done is not thrown away because a timer fired.
From the moment somebody else has it, the late reviewer gets LeaseLost.
"""

from datetime import datetime, timedelta
from typing import Any

from app.domain import CaseState, Outcome, ReviewCase, Verdict
from app.errors import CaseConflict, CaseNotClaimable, LeaseLost, MalformedRequest

#: How far the clocks of nodes may be apart.
_CLOCKS_DIFFER = timedelta(minutes=1)


def claim(case: ReviewCase, reviewer: str, *, at: datetime, lease_s: float) -> ReviewCase:
    """The case with a fresh lease; also for the reviewer who has it already. Raises CaseNotClaimable."""
    if case.state is CaseState.DECIDED:
        raise CaseNotClaimable(f"case {case.id} is decided")
    if case.state is CaseState.CLAIMED and case.claimed_by != reviewer and not lease_is_over(case, at):
        raise CaseNotClaimable(f"case {case.id} is with another reviewer until {case.lease_expires_at}")
    return _lease(case, reviewer, at, lease_s)


def renew(case: ReviewCase, reviewer: str, *, at: datetime, lease_s: float) -> ReviewCase:
    """The case with its lease counted from now. Raises LeaseLost."""
    _require_holder(case, reviewer)
    return _lease(case, reviewer, at, lease_s)


def release(case: ReviewCase, reviewer: str) -> ReviewCase:
    """The case back in the queue, for anyone. Raises LeaseLost."""
    _require_holder(case, reviewer)
    return _changed(case, state=CaseState.OPEN, claimed_by=None, lease_expires_at=None, lapsed_from=None)


def decide(case: ReviewCase, reviewer: str, outcome: Outcome, note: str | None, *, at: datetime) -> ReviewCase:
    """The case with its verdict. The same verdict once more from the same reviewer changes nothing.

    Raises MalformedRequest for an outcome that is not a verdict, CaseConflict for a second, different verdict, and
    LeaseLost when the case is not this reviewer's.
    """
    if outcome not in (Outcome.PASS, Outcome.REJECT):
        raise MalformedRequest("a verdict is pass or reject")
    if case.verdict is not None and case.verdict.reviewer == reviewer:
        if (case.verdict.outcome, case.verdict.note) != (outcome, note):
            raise CaseConflict(f"case {case.id} is decided already: {case.verdict.outcome.value}")
        return case
    _require_holder(case, reviewer)
    return _changed(
        case,
        state=CaseState.DECIDED,
        claimed_by=None,
        lease_expires_at=None,
        lapsed_from=None,
        verdict=Verdict(outcome=outcome, reviewer=reviewer, note=note, at=at),
    )


def expire(case: ReviewCase, *, at: datetime, lease_s: float) -> ReviewCase:
    """The case back in the queue if its lease is over; with a lease that begins now if its own ends later than any may,
    given under a clock that was ahead; else the case as it is."""
    if case.state is not CaseState.CLAIMED:
        return case
    if case.claimed_by is not None and not lease_is_over(case, latest_end(at, lease_s)):
        return _lease(case, case.claimed_by, at, lease_s)
    if not lease_is_over(case, at):
        return case
    return _changed(case, state=CaseState.OPEN, claimed_by=None, lease_expires_at=None, lapsed_from=case.claimed_by)


def latest_end(at: datetime, lease_s: float) -> datetime:
    """When a lease that was given by now ends at the latest, on whichever node."""
    return at + timedelta(seconds=lease_s) + _CLOCKS_DIFFER


def lease_is_over(case: ReviewCase, at: datetime) -> bool:
    return case.lease_expires_at is None or case.lease_expires_at <= at


def _require_holder(case: ReviewCase, reviewer: str) -> None:
    if case.state is CaseState.CLAIMED and case.claimed_by == reviewer:
        return
    if case.state is CaseState.OPEN and case.lapsed_from == reviewer:
        return
    raise LeaseLost(f"you do not have case {case.id}: {_where(case, reviewer)}")


def _where(case: ReviewCase, reviewer: str) -> str:
    """What is true of a case that this reviewer does not have, in words to that reviewer."""
    if case.state is CaseState.OPEN:
        return "it is waiting in the queue: claim it first"
    if case.state is CaseState.CLAIMED:
        return "another reviewer has it"
    mine = case.verdict is not None and case.verdict.reviewer == reviewer
    return "you decided it" if mine else "another reviewer decided it"


def _lease(case: ReviewCase, reviewer: str, at: datetime, lease_s: float) -> ReviewCase:
    return _changed(
        case,
        state=CaseState.CLAIMED,
        claimed_by=reviewer,
        lease_expires_at=at + timedelta(seconds=lease_s),
        lapsed_from=None,
    )


def _changed(case: ReviewCase, **fields: Any) -> ReviewCase:
    return case.model_copy(update={**fields, "version": case.version + 1})
