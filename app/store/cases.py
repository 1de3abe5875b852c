"""Review cases."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, literal, or_, tuple_
from sqlmodel import col, select, update

from app.domain import AuditEvent, CaseKind, CaseState, Outcome, ReviewCase, Severity, Verdict
from app.errors import CaseConflict, NotFound, StoreUnavailable
from app.store.cursors import page_limit, read_cursor, time_of, write_cursor
from app.store.dialects import known_id
from app.store.outbox import put_events
from app.store.session import Database
from app.store.tables import CaseRow
from app.store.types import UtcDateTime

_CURSOR = "cases"


class SqlCaseStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, case_id: str) -> ReviewCase:
        """Raises NotFound."""
        query = select(CaseRow).where(CaseRow.id == known_id("case", case_id))
        async with self._database.reading() as session:
            row = (await session.exec(query)).first()
        if row is None:
            raise NotFound("there is no such case")
        return _case(row)

    async def page(
        self, *, limit: int, cursor: str | None = None, state: CaseState | None = None
    ) -> tuple[list[ReviewCase], str | None]:
        """Highest priority first, then oldest, and the cursor of the next page or None. Raises MalformedRequest."""
        query = select(CaseRow)
        if state is not None:
            query = query.where(CaseRow.state == state.value)
        if cursor is not None:
            rank, moment, last_id = read_cursor(_CURSOR, cursor, [int, str, str])
            place = tuple_(literal(rank), literal(time_of(moment), UtcDateTime()), literal(last_id))
            query = query.where(tuple_(col(CaseRow.rank), col(CaseRow.opened_at), col(CaseRow.id)) > place)
        query = query.order_by(*_QUEUE).limit(page_limit(limit) + 1)
        async with self._database.reading() as session:
            rows = (await session.exec(query)).all()
        more = len(rows) > limit
        rows = rows[:limit]
        following = None
        if more:
            last = rows[-1]
            following = write_cursor(_CURSOR, [last.rank, last.opened_at.isoformat(), last.id])
        return [_case(row) for row in rows], following

    async def claimable(self, *, at: datetime, limit: int) -> list[ReviewCase]:
        """The first cases of the queue that are open, or whose lease is over at `at`."""
        query = select(CaseRow).order_by(*_QUEUE).limit(limit)
        # Two walks along an index instead of an OR that would read the whole queue.
        is_open = query.where(CaseRow.state == CaseState.OPEN.value)
        is_lapsed = query.where(CaseRow.state == CaseState.CLAIMED.value, col(CaseRow.lease_expires_at) <= at)
        async with self._database.reading() as session:
            rows = [*(await session.exec(is_open)).all(), *(await session.exec(is_lapsed)).all()]
        rows.sort(key=lambda row: (row.rank, row.opened_at, row.id))
        return [_case(row) for row in rows[:limit]]

    async def lapsed(self, *, at: datetime, not_after: datetime, limit: int) -> list[ReviewCase]:
        """Claimed cases whose lease is over at `at`, the longest over first, or ends after `not_after`."""
        ends = col(CaseRow.lease_expires_at)
        query = (
            select(CaseRow)
            .where(CaseRow.state == CaseState.CLAIMED.value, or_(ends <= at, ends > not_after))
            .order_by(col(CaseRow.lease_expires_at), col(CaseRow.id))
            .limit(limit)
        )
        async with self._database.reading() as session:
            return [_case(row) for row in (await session.exec(query)).all()]

    async def count_by_state(self) -> dict[CaseState, int]:
        """Every state is a key."""
        query = select(CaseRow.state, func.count()).group_by(col(CaseRow.state))
        async with self._database.reading() as session:
            counted = dict((await session.exec(query)).all())
        return {state: counted.get(state.value, 0) for state in CaseState}

    async def save(self, case: ReviewCase, *, expected_version: int, events: Sequence[AuditEvent]) -> None:
        """Write over the version that was read, with the events. Raises CaseConflict and NotFound."""
        statement = (
            update(CaseRow)
            .where(col(CaseRow.id) == case.id, col(CaseRow.version) == expected_version)
            .values(case_columns(case))
        )
        async with self._database.writing() as session:
            if (await session.exec(statement)).rowcount == 0:
                there = (await session.exec(select(CaseRow.id).where(CaseRow.id == case.id))).first()
                if there is None:
                    raise NotFound("there is no such case")
                raise CaseConflict(f"case {case.id} was changed by somebody else")
            await put_events(session, events)


#: The order in which cases are taken.
_QUEUE = (col(CaseRow.rank), col(CaseRow.opened_at), col(CaseRow.id))


def case_columns(case: ReviewCase) -> dict[str, Any]:
    verdict = case.verdict
    return {
        "id": case.id,
        "decision_id": case.decision_id,
        "kind": case.kind.value,
        "state": case.state.value,
        "rank": -case.priority.value,
        "opened_at": case.opened_at,
        "claimed_by": case.claimed_by,
        "lease_expires_at": case.lease_expires_at,
        "lapsed_from": case.lapsed_from,
        "verdict_outcome": None if verdict is None else verdict.outcome.value,
        "verdict_reviewer": None if verdict is None else verdict.reviewer,
        "verdict_note": None if verdict is None else verdict.note,
        "verdict_at": None if verdict is None else verdict.at,
        "version": case.version,
    }


def _case(row: CaseRow) -> ReviewCase:
    try:
        return ReviewCase(
            id=row.id,
            decision_id=row.decision_id,
            kind=CaseKind(row.kind),
            state=CaseState(row.state),
            priority=Severity(-row.rank),
            opened_at=row.opened_at,
            claimed_by=row.claimed_by,
            lease_expires_at=row.lease_expires_at,
            lapsed_from=row.lapsed_from,
            verdict=_verdict(row),
            version=row.version,
        )
    except ValueError as error:
        raise StoreUnavailable("a stored case cannot be read by this version") from error


def _verdict(row: CaseRow) -> Verdict | None:
    if row.verdict_outcome is None or row.verdict_reviewer is None or row.verdict_at is None:
        return None
    return Verdict(
        outcome=Outcome(row.verdict_outcome), reviewer=row.verdict_reviewer, note=row.verdict_note, at=row.verdict_at
    )
