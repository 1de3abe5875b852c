"""Turns of timed jobs: of several nodes, one takes each."""

from sqlalchemy import delete
from sqlmodel import col, func, select

from app.store.dialects import insert
from app.store.session import Database
from app.store.tables import TickRow

#: Turns that are remembered, so that a node whose clock is a little behind does not take an old one again.
_KEPT = 16


class SqlTicks:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, job: str, slot: int) -> bool:
        """Whether this turn is the caller's; exactly one caller hears yes."""
        async with self._database.writing() as session:
            statement = insert(session, TickRow).values(job=job, slot=slot).on_conflict_do_nothing()
            taken = (await session.exec(statement)).rowcount == 1
            if taken:
                await session.exec(delete(TickRow).where(col(TickRow.job) == job, col(TickRow.slot) < slot - _KEPT))
        return taken

    async def last(self, job: str) -> int | None:
        """The latest turn of the job that any node took; None where none ever did."""
        async with self._database.reading() as session:
            return (await session.exec(select(func.max(TickRow.slot)).where(TickRow.job == job))).one()
