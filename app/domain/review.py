"""A case: one decision that waits for a person."""

from datetime import datetime
from enum import StrEnum

from app.domain.value import Value
from app.domain.words import Outcome, Severity


class CaseState(StrEnum):
    OPEN = "open"
    CLAIMED = "claimed"
    DECIDED = "decided"


class CaseKind(StrEnum):
    """Why a person is asked: `review`, because the decision says so; `quality`, because a decision that stands was
    sampled for quality control."""

    REVIEW = "review"
    QUALITY = "quality"


class Verdict(Value):
    """A person's word on a case: pass or reject, never review."""

    outcome: Outcome
    reviewer: str
    note: str | None = None
    at: datetime


class ReviewCase(Value):
    """`version` counts changes: a store writes a case only over the version it was read at, so that of two people
    who act on one case at once exactly one succeeds. `lapsed_from` is the reviewer whose lease ran out on a case that
    nobody took since: that reviewer may still finish it."""

    id: str
    decision_id: str
    kind: CaseKind = CaseKind.REVIEW
    state: CaseState = CaseState.OPEN
    priority: Severity
    opened_at: datetime
    claimed_by: str | None = None
    lease_expires_at: datetime | None = None
    lapsed_from: str | None = None
    verdict: Verdict | None = None
    version: int = 0
