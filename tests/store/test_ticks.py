import asyncio

from sqlmodel import select

from app.store import Database, SqlTicks
from app.store.tables import TickRow
from tests.store.databases import opened


async def test_each_turn_is_taken_once(url: str) -> None:
    async with opened(url) as one, opened(url) as other:
        nodes = [SqlTicks(one), SqlTicks(other)]

        for slot in range(5):
            taken = await asyncio.gather(*(node.take("sweep", slot) for node in nodes for _ in range(2)))
            assert taken.count(True) == 1


async def test_jobs_have_turns_of_their_own(database: Database) -> None:
    ticks = SqlTicks(database)

    assert await ticks.take("sweep", 1)
    assert await ticks.take("count", 1)


async def test_old_turns_are_forgotten_but_not_at_once(database: Database) -> None:
    ticks = SqlTicks(database)
    for slot in range(2_000_000_000, 2_000_000_040):
        assert await ticks.take("sweep", slot)

    assert not await ticks.take("sweep", 2_000_000_030)
    async with database.reading() as session:
        assert len((await session.exec(select(TickRow))).all()) < 20
