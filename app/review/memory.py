"""A case store without a database, for tests of what is built on the desk; it keeps the contract of the real one."""

from collections.abc import Sequence
from datetime import datetime

from app.domain import AuditEvent, CaseState, ReviewCase
from app.errors import CaseConflict, MalformedRequest, NotFound
from app.review.case import lease_is_over


class InMemoryCaseStore:
    """`events` holds what was audited, in order."""

    def __init__(self, cases: Sequence[ReviewCase] = ()) -> None:
        self._cases = {case.id: case for case in cases}
        self.events: list[AuditEvent] = []

    def add(self, case: ReviewCase) -> None:
        self._cases[case.id] = case

    async def find(self, case_id: str) -> ReviewCase:
        try:
            return self._cases[case_id]
        except KeyError:
            raise NotFound("there is no such case") from None

    async def page(
        self, *, limit: int, cursor: str | None = None, state: CaseState | None = None
    ) -> tuple[list[ReviewCase], str | None]:
        if limit < 1:
            raise MalformedRequest("a page has at least one entry")
        queue = [case for case in self._queue() if state is None or case.state is state]
        if cursor is not None:
            last = self._cases.get(cursor)
            if last is None:
                raise MalformedRequest("the cursor is not one that this list gave out")
            queue = [case for case in queue if _place(case) > _place(last)]
        page = queue[:limit]
        return page, page[-1].id if len(queue) > limit else None

    async def claimable(self, *, at: datetime, limit: int) -> list[ReviewCase]:
        return [case for case in self._queue() if case.state is CaseState.OPEN or _has_lapsed(case, at)][:limit]

    async def lapsed(self, *, at: datetime, not_after: datetime, limit: int) -> list[ReviewCase]:
        claimed = [case for case in self._cases.values() if case.state is CaseState.CLAIMED]
        lapsed = [case for case in claimed if lease_is_over(case, at) or not lease_is_over(case, not_after)]
        return sorted(lapsed, key=lambda case: (case.lease_expires_at or at, case.id))[:limit]

    async def count_by_state(self) -> dict[CaseState, int]:
        states = [case.state for case in self._cases.values()]
        return {state: states.count(state) for state in CaseState}

    async def save(self, case: ReviewCase, *, expected_version: int, events: Sequence[AuditEvent]) -> None:
        current = await self.find(case.id)
        if current.version != expected_version:
            raise CaseConflict(f"case {case.id} was changed by somebody else")
        self._cases[case.id] = case
        self.events += events

    def _queue(self) -> list[ReviewCase]:
        return sorted(self._cases.values(), key=_place)


def _has_lapsed(case: ReviewCase, at: datetime) -> bool:
    return case.state is CaseState.CLAIMED and lease_is_over(case, at)


def _place(case: ReviewCase) -> tuple[int, datetime, str]:
    return (-case.priority.value, case.opened_at, case.id)
