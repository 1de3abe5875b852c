"""The decisions of the past, a page at a time, for making them again."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, func, literal, null, select, tuple_
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from app.domain import Outcome, Place, Span, StoredDecision
from app.store.session import Database
from app.store.tables import CaseRow, DecisionRow, RulesetRow
from app.store.types import UtcDateTime


class SqlArchive:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def count(self, *, since: datetime) -> int:
        async with self._database.reading() as session:
            query = select(func.count()).select_from(DecisionRow).where(col(DecisionRow.created_at) >= since)
            return int((await (await session.connection()).execute(query)).scalar_one())

    async def spans(self, *, since: datetime, rows: int) -> AsyncGenerator[Span]:
        """All decisions from then on, the oldest first, in stretches of that many; the last one has no end."""
        after: Place = since, ""
        while True:
            async with self._database.reading() as session:
                edge = await _edge(session, after, rows)
            yield Span(after, edge)
            if edge is None:
                return
            after = edge

    async def pages(self, span: Span, *, rows: int, models: bool) -> AsyncGenerator[list[StoredDecision]]:
        """The decisions of a stretch, the oldest first, `rows` at a time; each page in a transaction of its own, so
        that nothing is held while the caller works. With `models`, those that answered."""
        while True:
            async with self._database.reading() as session:
                found = await _page(session, span, rows=rows, models=models)
            if found:
                yield found
            if len(found) < rows:
                return
            span = Span((found[-1].at, found[-1].id), span.upto)

    async def lists_of(self, ruleset: str) -> dict[str, str] | None:
        """The lists that a ruleset had, name to digest; None for one that was never active."""
        async with self._database.reading() as session:
            found = await session.get(RulesetRow, ruleset)
        return None if found is None else json.loads(found.lists)

    def opener(self) -> Callable[[], AbstractAsyncContextManager["SqlArchive"]]:
        """Something that can be sent to another process and opens the same archive there."""
        return partial(_opened, self._database.url)


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[SqlArchive]:
    database = Database(url)
    try:
        yield SqlArchive(database)
    finally:
        await database.aclose()


async def _edge(session: AsyncSession, after: Place, rows: int) -> Place | None:
    """Where the stretch of that many rows ends; None where there are fewer. The index alone is read."""
    table: Any = DecisionRow
    query = (
        select(table.created_at, table.id)
        .where(tuple_(table.created_at, table.id) > _place(after))
        .order_by(table.created_at, table.id)
        .limit(1)
        .offset(rows - 1)
    )
    found = (await (await session.connection()).execute(query)).one_or_none()
    return None if found is None else (found[0], found[1])


def _place(place: Place) -> Any:
    return tuple_(literal(place[0], UtcDateTime()), literal(place[1]))


async def _page(session: AsyncSession, span: Span, *, rows: int, models: bool) -> list[StoredDecision]:
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
        .where(tuple_(table.created_at, table.id) > _place(span.after))
        .order_by(table.created_at, table.id)
        .limit(rows)
    )
    if span.upto is not None:
        query = query.where(tuple_(table.created_at, table.id) <= _place(span.upto))
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


#: Quotation marks within JSON's texts are escaped, so that no text that was read in a picture looks like this.
_MODEL_PIN = r'"lists":\{[^{}]*\},"model":"([^"\\]*)"'


def _model(session: AsyncSession) -> ColumnElement[Any]:
    """PostgreSQL reads no JSON in which there is an escaped NUL, which a picture's text may have."""
    if session.get_bind().dialect.name == "postgresql":
        return func.substring(col(DecisionRow.decision), literal(_MODEL_PIN))
    return func.json_extract(col(DecisionRow.decision), "$.pins.model")
