"""The decisions of the past, a page at a time, for making them again."""

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ColumnElement, cast, func, literal, null, select, tuple_
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from app.domain import Outcome, StoredDecision
from app.store.session import Database
from app.store.tables import CaseRow, DecisionRow
from app.store.types import UtcDateTime


class SqlArchive:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def count(self, *, since: datetime) -> int:
        async with self._database.reading() as session:
            query = select(func.count()).select_from(DecisionRow).where(col(DecisionRow.created_at) >= since)
            return int((await (await session.connection()).execute(query)).scalar_one())

    async def pages(self, *, since: datetime, rows: int, models: bool) -> AsyncGenerator[list[StoredDecision]]:
        """All decisions from then on, the oldest first, `rows` at a time; each page in a transaction of its own, so
        that nothing is held while the caller works. With `models`, those that answered."""
        after: tuple[datetime, str] = since, ""
        while True:
            async with self._database.reading() as session:
                found = await _page(session, after, rows=rows, models=models)
            if found:
                yield found
            if len(found) < rows:
                return
            after = found[-1].at, found[-1].id


async def _page(session: AsyncSession, after: tuple[datetime, str], *, rows: int, models: bool) -> list[StoredDecision]:
    place = tuple_(literal(after[0], UtcDateTime()), literal(after[1]))
    table: Any = DecisionRow
    columns: list[Any] = [
        table.id,
        table.created_at,
        table.outcome,
        table.ruleset_digest,
        table.findings,
        table.context,
        _model(session) if models else null(),
        CaseRow.verdict_outcome,
    ]
    query = (
        select(*columns)
        .join(CaseRow, col(CaseRow.decision_id) == table.id, isouter=True)
        .where(tuple_(table.created_at, table.id) > place)
        .order_by(table.created_at, table.id)
        .limit(rows)
    )
    connection = await session.connection()
    return [
        StoredDecision(
            id=decision_id,
            at=at,
            outcome=Outcome(outcome),
            ruleset=ruleset,
            findings=findings,
            context=context,
            model=model,
            verdict=None if verdict is None else Outcome(verdict),
        )
        for decision_id, at, outcome, ruleset, findings, context, model, verdict in (
            await connection.execute(query)
        ).all()
    ]


def _model(session: AsyncSession) -> ColumnElement[Any]:
    found: ColumnElement[Any]
    if session.get_bind().dialect.name == "postgresql":
        found = cast(col(DecisionRow.decision), JSON)["pins"]["model"].as_string()
    else:
        found = func.json_extract(col(DecisionRow.decision), "$.pins.model")
    return found
