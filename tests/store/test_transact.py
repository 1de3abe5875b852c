"""Transactions in one piece: as whole, as patient and as durable as any other."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlmodel import col, select

from app.errors import StoreUnavailable
from app.store import Database, SqlDecisionStore, SqlTicks
from app.store.tables import TickRow
from tests.store.databases import SqliteServer, opened

REPOSITORY = Path(__file__).resolve().parents[2]

_TICK = text("INSERT INTO job_ticks (job, slot) VALUES (:job, :slot)")


def tick(slot: int, *, then: Callable[[], object] = lambda: None) -> Callable[[Connection], int]:
    def work(connection: Connection) -> int:
        connection.execute(_TICK, {"job": "x", "slot": slot})
        then()
        return slot

    return work


class Pause:
    """Holds the thread that calls it until `go`."""

    def __init__(self) -> None:
        self._reached, self._go = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self._reached.set()
        assert self._go.wait(30)

    async def reached(self) -> None:
        assert await asyncio.to_thread(self._reached.wait, 30)

    def go(self) -> None:
        self._go.set()


async def slots(database: Database) -> list[int]:
    async with database.reading() as session:
        return sorted((await session.exec(select(col(TickRow.slot)))).all())


async def test_what_it_returns_comes_back_when_it_is_committed(database: Database) -> None:
    assert await database.transact(tick(1)) == 1
    assert await slots(database) == [1]


async def test_work_that_raises_writes_nothing(database: Database) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    def contradict(connection: Connection) -> None:
        tick(1)(connection)
        tick(1)(connection)

    with pytest.raises(ZeroDivisionError):
        await database.transact(tick(1, then=fail))
    with pytest.raises(StoreUnavailable):
        await database.transact(contradict)
    assert await slots(database) == []
    assert await SqlTicks(database).take("x", 1)


async def test_transactions_of_both_kinds_take_turns(database: Database) -> None:
    async def in_a_session(slot: int) -> None:
        async with database.writing() as session:
            session.add(TickRow(job="x", slot=slot))
            await session.flush()
            await asyncio.sleep(0.001)

    await asyncio.gather(*(database.transact(tick(slot)) if slot % 2 else in_a_session(slot) for slot in range(20)))
    assert await slots(database) == list(range(20))


async def test_the_event_loop_goes_on_meanwhile(sqlite: SqliteServer) -> None:
    """A commit waits for the disk, and for other processes."""
    pause = Pause()
    async with opened(sqlite.new_url()) as database:
        writing = asyncio.create_task(database.transact(tick(1, then=pause)))
        await pause.reached()
        assert await slots(database) == [], "what is not committed is not seen"
        pause.go()
        assert await writing == 1


async def test_a_cancelled_caller_leaves_when_its_transaction_is_over(sqlite: SqliteServer) -> None:
    pause = Pause()
    async with opened(sqlite.new_url()) as database:
        first = asyncio.create_task(database.transact(tick(1, then=pause)))
        await pause.reached()
        first.cancel()
        second = asyncio.create_task(database.transact(tick(2)))
        await asyncio.sleep(0.02)
        assert not first.done()
        assert not second.done()
        pause.go()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert await second == 2
        assert await slots(database) == [1, 2]


async def test_a_database_that_closes_finishes_what_it_began(sqlite: SqliteServer) -> None:
    url, pause = sqlite.new_url(), Pause()
    async with opened(url) as database:
        writing = asyncio.create_task(database.transact(tick(1, then=pause)))
        await pause.reached()
        closing = asyncio.create_task(database.aclose())
        await asyncio.sleep(0.02)
        pause.go()
        await closing
        assert await writing == 1
        with pytest.raises(StoreUnavailable):
            await database.transact(tick(2))
    async with opened(url) as database:
        assert await slots(database) == [1]


async def test_who_waits_for_a_turn_while_the_database_closes_is_told_so(sqlite: SqliteServer) -> None:
    async def in_a_session() -> None:
        async with database.writing() as session:
            session.add(TickRow(job="x", slot=3))

    url, pause = sqlite.new_url(), Pause()
    async with opened(url) as database:
        first = asyncio.create_task(database.transact(tick(1, then=pause)))
        await pause.reached()
        waiting = [asyncio.create_task(database.transact(tick(2))), asyncio.create_task(in_a_session())]
        await asyncio.sleep(0.02)
        closing = asyncio.create_task(database.aclose())
        await asyncio.sleep(0.02)
        pause.go()
        await closing
        assert await first == 1
        told = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(one) for one in told] == [StoreUnavailable, StoreUnavailable]
    async with opened(url) as database:
        assert await slots(database) == [1]


async def test_who_comes_in_the_moment_in_which_the_database_closes_is_told_so(sqlite: SqliteServer) -> None:
    url = sqlite.new_url()
    async with opened(url) as database:
        coming = asyncio.create_task(database.transact(tick(1)))
        await asyncio.gather(database.aclose())
        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(coming, 10)
    async with opened(url) as database:
        assert await slots(database) == []


async def test_the_wait_for_a_turn_counts_for_it_too(sqlite: SqliteServer) -> None:
    patience_ms: list[int] = []
    pause = Pause()

    def look(connection: Connection) -> None:
        patience_ms.append(connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one())

    async with opened(sqlite.new_url()) as database:
        await database.transact(look)
        first = asyncio.create_task(database.transact(tick(1, then=pause)))
        await pause.reached()
        second = asyncio.create_task(database.transact(look))
        await asyncio.sleep(0.05)
        pause.go()
        await asyncio.gather(first, second)
    assert patience_ms[1] <= patience_ms[0] - 40


async def test_it_is_on_the_disk_before_it_returns(sqlite: SqliteServer) -> None:
    """FULL in WAL mode: each commit is synchronised."""

    def look(connection: Connection) -> tuple[int, str]:
        level: int = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
        journal: str = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
        return level, journal

    async with opened(sqlite.new_url()) as database:
        await database.start()
        assert await database.transact(look) == (2, "wal")


_WRITER = """
import asyncio, sys
from app.store import Database, SqlDecisionStore
from tests.store import samples

async def main(url):
    database = Database(url, busy_timeout_s=60)
    store = SqlDecisionStore(database)
    while True:
        records = [samples.record() for _ in range(4)]
        writing = [store.record(one, [samples.event(one.decision.id)], None) for one in records]
        for made in asyncio.as_completed(writing):
            print((await made).id, flush=True)

asyncio.run(main(sys.argv[1]))
"""


async def test_an_answered_decision_survives_a_kill(sqlite: SqliteServer) -> None:
    url = sqlite.new_url()
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(  # noqa: ASYNC220 - nothing else is to go on meanwhile
        [sys.executable, "-c", _WRITER, url], stdout=subprocess.PIPE, text=True, env=environment
    ) as writer:
        assert writer.stdout is not None
        answered = [next(writer.stdout) for _ in range(50)]
        writer.kill()
        answered += [line for line in writer.stdout if line.endswith("\n")]
    async with opened(url) as database:
        store = SqlDecisionStore(database)
        for line in answered:
            assert (await store.find(line.strip())).id == line.strip()
