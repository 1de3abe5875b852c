"""The reviewer's desk: takes cases from the queue, keeps them under a lease and records verdicts."""

from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from pydantic import JsonValue

from app.domain import AuditEvent, CaseState, Outcome, ReviewCase, new_id
from app.errors import CaseConflict, CaseNotClaimable
from app.review import case as transitions
from app.review.ports import CaseStore

log = structlog.get_logger(__name__)

Transition = Callable[[ReviewCase], ReviewCase]

#: How often a change is tried again on a newer version of its case. Each failure means that somebody else succeeded.
_ATTEMPTS = 8
#: Cases looked at in one go when taking the next one; wider than the usual number of reviewers who click at once.
_CANDIDATES = 16
_SWEEP = 100


def _utc_now() -> datetime:
    return datetime.now(UTC)


class ReviewDesk:
    """Every change is written over the version it was made from, so of two people who act on one case at once
    exactly one succeeds. Claims, releases, lapses and verdicts are audited in the transaction that makes them."""

    def __init__(self, cases: CaseStore, *, lease_s: float, clock: Callable[[], datetime] = _utc_now) -> None:
        self._cases = cases
        self._lease_s = lease_s
        self._clock = clock

    async def page(
        self, *, state: CaseState | None = None, limit: int = 50, cursor: str | None = None
    ) -> tuple[list[ReviewCase], str | None]:
        """Cases in the queue's order: highest priority first, then oldest."""
        return await self._cases.page(state=state, limit=limit, cursor=cursor)

    async def get(self, case_id: str) -> ReviewCase:
        """Raises NotFound."""
        return await self._cases.find(case_id)

    async def counts(self) -> dict[CaseState, int]:
        return await self._cases.count_by_state()

    async def claim(self, reviewer: str, case_id: str | None = None) -> ReviewCase | None:
        """The named case, or the first of the queue that can be had (None: there is none), under a lease.

        Raises CaseNotClaimable and NotFound for a named case.
        """
        if case_id is None:
            return await self._claim_next(reviewer)
        return await self._change(case_id, self._claiming(reviewer), "case.claimed", reviewer)

    async def renew(self, case_id: str, reviewer: str) -> ReviewCase:
        """Count the lease from now. Raises LeaseLost and NotFound."""
        return await self._change(
            case_id,
            lambda case: transitions.renew(case, reviewer, at=self._clock(), lease_s=self._lease_s),
            None,
            reviewer,
        )

    async def release(self, case_id: str, reviewer: str) -> ReviewCase:
        """Put the case back for anyone. Raises LeaseLost and NotFound."""
        return await self._change(case_id, lambda case: transitions.release(case, reviewer), "case.released", reviewer)

    async def decide(self, case_id: str, reviewer: str, outcome: Outcome, note: str | None = None) -> ReviewCase:
        """Record a verdict; the same one again is not an error. Raises LeaseLost, CaseConflict, MalformedRequest and
        NotFound."""
        return await self._change(
            case_id,
            lambda case: transitions.decide(case, reviewer, outcome, note, at=self._clock()),
            "case.decided",
            reviewer,
        )

    async def expire_leases(self) -> int:
        """Put every case whose lease is over back into the queue, and shorten leases that end later than any may; how
        many these were."""
        expired = 0
        while True:
            at = self._clock()
            latest = transitions.latest_end(at, self._lease_s)
            lapsed = await self._cases.lapsed(at=at, not_after=latest, limit=_SWEEP)
            swept = [case for case in lapsed if await self._expire(case)]
            expired += len(swept)
            if len(lapsed) < _SWEEP or not swept:
                return expired

    async def _expire(self, case: ReviewCase) -> bool:
        after = transitions.expire(case, at=self._clock(), lease_s=self._lease_s)
        if after is case:
            return False
        try:
            await self._save(case, after, "case.lapsed" if after.state is CaseState.OPEN else None, "system")
        except CaseConflict:
            return False  # renewed, taken over or decided in this moment
        return True

    async def _claim_next(self, reviewer: str) -> ReviewCase | None:
        for _ in range(_ATTEMPTS):
            candidates = await self._cases.claimable(at=self._clock(), limit=_CANDIDATES)
            if not candidates:
                return None
            for candidate in candidates:
                try:
                    claimed = self._claiming(reviewer)(candidate)
                    await self._save(candidate, claimed, "case.claimed", reviewer)
                except (CaseConflict, CaseNotClaimable):
                    continue  # somebody was faster: the next one
                return claimed
        raise CaseConflict("too many reviewers take cases at this moment; try again")

    def _claiming(self, reviewer: str) -> Transition:
        return lambda case: transitions.claim(case, reviewer, at=self._clock(), lease_s=self._lease_s)

    async def _change(self, case_id: str, transition: Transition, kind: str | None, actor: str) -> ReviewCase:
        for _ in range(_ATTEMPTS):
            before = await self._cases.find(case_id)
            after = transition(before)
            if after is before:
                return before
            try:
                await self._save(before, after, kind, actor)
            except CaseConflict:
                continue  # what this change means depends on what the other one did: read again
            return after
        raise CaseConflict(f"case {case_id} changes too often at this moment; try again")

    async def _save(self, before: ReviewCase, after: ReviewCase, kind: str | None, actor: str) -> None:
        events = [] if kind is None else [self._event(after, kind, actor)]
        await self._cases.save(after, expected_version=before.version, events=events)
        log.info("case changed", action=(kind or "case.renewed").replace(".", "_"), case_id=after.id, actor=actor)

    def _event(self, case: ReviewCase, kind: str, actor: str) -> AuditEvent:
        body: dict[str, JsonValue] = {"decision_id": case.decision_id, "version": case.version}
        if case.verdict is not None:
            body["outcome"] = case.verdict.outcome.value
            body["has_note"] = case.verdict.note is not None
        if case.lapsed_from is not None:
            body["lapsed_from"] = case.lapsed_from
        return AuditEvent(id=new_id("evt"), kind=kind, at=self._clock(), actor=actor, subject=case.id, body=body)
