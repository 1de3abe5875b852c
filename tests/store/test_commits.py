"""Transactions that share a commit: each whole for itself, answered when it is on the disk, in the order they came."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection
from sqlmodel import col, select
from structlog.testing import capture_logs

from app.errors import StoreUnavailable
from app.store import Database, SqlAuditLog, SqlDecisionStore
from app.store.tables import DecisionRow, OutboxRow
from tests.store import samples
from tests.store.databases import SqliteServer, opened
from tests.store.test_transact import REPOSITORY, Pause, slots, tick

Work = Callable[[Connection], int]


class Held:
    """The first transaction, in which the thread waits until `go`: whatever comes meanwhile goes into the next."""

    def __init__(self, database: Database, slot: int = 0) -> None:
        self._pause = Pause()
        self.task = asyncio.create_task(database.transact(tick(slot, then=self._pause)))

    async def begun(self) -> None:
        await self._pause.reached()

    async def go(self) -> None:
        self._pause.go()
        assert await self.task == 0


async def together(database: Database, works: list[Work]) -> list[int | BaseException]:
    """What comes of them where all of them wait for the same commit."""
    held = Held(database)
    await held.begun()
    tasks = [asyncio.create_task(database.transact(work)) for work in works]
    await asyncio.sleep(0)
    await held.go()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_who_comes_while_one_commits_shares_the_next(sqlite: SqliteServer) -> None:
    pause, seen = Pause(), list[int]()

    def count(connection: Connection) -> int:
        seen.append(connection.exec_driver_sql("SELECT count(*) FROM job_ticks").scalar_one())
        return 9

    async with opened(sqlite.new_url()) as database:
        held = Held(database)
        await held.begun()
        works = [*(tick(slot) for slot in range(1, 8)), count, tick(8, then=pause)]
        tasks = [asyncio.create_task(database.transact(work)) for work in works]
        await asyncio.sleep(0)
        await held.go()
        await pause.reached()
        assert seen == [8], "the eighth sees what the seven before it wrote"
        assert await slots(database) == [0], "of which nothing is committed"
        assert not any(task.done() for task in tasks), "and nobody is answered"
        pause.go()
        assert await asyncio.gather(*tasks) == [1, 2, 3, 4, 5, 6, 7, 9, 8]
        assert await slots(database) == list(range(9))


def breaks(slot: int) -> Work:
    def work(connection: Connection) -> int:
        tick(slot)(connection)
        raise ZeroDivisionError

    return work


def contradicts(slot: int) -> Work:
    def work(connection: Connection) -> int:
        tick(slot)(connection)
        return tick(slot)(connection)

    return work


def stops(slot: int) -> Work:
    def work(connection: Connection) -> int:
        tick(slot)(connection)
        raise StopIteration  # which no future takes

    return work


async def test_a_bad_one_among_eight_harms_nobody(sqlite: SqliteServer) -> None:
    async with opened(sqlite.new_url()) as database:
        works = [tick(slot) for slot in range(1, 9)]
        works[2], works[5], works[6] = breaks(3), contradicts(6), stops(7)
        ends = await together(database, works)
        bad = [ZeroDivisionError, StoreUnavailable, RuntimeError]
        assert [type(end) for end in ends if not isinstance(end, int)] == bad
        assert await slots(database) == [0, 1, 2, 4, 5, 8]


_KINDS = {"sound": tick, "breaks": breaks, "contradicts": contradicts, "stops": stops}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([*_KINDS, "leaves"]), st.integers(1, 9)), max_size=14))
def test_who_is_answered_is_written_and_nobody_else(sqlite: SqliteServer, asked: list[tuple[str, int]]) -> None:
    """Slots may be asked for twice: then the second contradicts the first, whatever became of others meanwhile."""

    async def run() -> None:
        async with opened(sqlite.new_url()) as database:
            held = Held(database)
            await held.begun()
            tasks = [asyncio.create_task(database.transact(_KINDS.get(kind, tick)(slot))) for kind, slot in asked]
            await asyncio.sleep(0)
            for task, (kind, _) in zip(tasks, asked, strict=True):
                if kind == "leaves":
                    task.cancel()
            await held.go()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            answered = [end for end in ends if isinstance(end, int)]
            assert answered == [*dict.fromkeys(slot for kind, slot in asked if kind == "sound")]
            assert await slots(database) == sorted([0, *answered])

    asyncio.run(run())


async def test_a_disk_that_is_full_leaves_nobody_with_a_false_answer(sqlite: SqliteServer) -> None:
    async with opened(sqlite.new_url()) as database:
        store = SqlDecisionStore(database)

        def fill(connection: Connection) -> None:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 8}")

        await database.transact(fill)
        records = [samples.record() for _ in range(12)]
        with capture_logs() as logs:
            ends = await asyncio.gather(
                *(store.record(one, [samples.event(one.decision.id)], None) for one in records), return_exceptions=True
            )
        assert {entry["reason"] for entry in logs} == {"OperationalError: database or disk is full"}
        answered = {one.decision.id for one, end in zip(records, ends, strict=True) if end == one.decision}
        assert answered < {one.decision.id for one in records}
        assert {type(end) for end in ends if isinstance(end, BaseException)} == {StoreUnavailable}
        await whole(database, answered)


async def whole(database: Database, answered: set[str]) -> set[str]:
    """The decisions that are there, each with its event, and with no event of another: `answered` and, after a crash,
    those whose answer was on its way."""
    async with database.reading() as session:
        decided = set((await session.exec(select(col(DecisionRow.id)))).all())
        events = {json.loads(event)["subject"] for event in (await session.exec(select(col(OutboxRow.event)))).all()}
    assert decided == events
    assert answered <= decided
    return decided


async def test_events_are_sealed_in_the_order_in_which_decisions_came(sqlite: SqliteServer) -> None:
    async with opened(sqlite.new_url()) as database:
        store, log = SqlDecisionStore(database), SqlAuditLog(database)
        records = [samples.record() for _ in range(10)]
        records[4] = samples.record(idempotency_key="a", request_digest="sha256:a")
        records[6] = samples.record(idempotency_key="a", request_digest="sha256:a")
        await asyncio.gather(*(store.record(one, [samples.event(one.decision.id)], None) for one in records))
        await log.seal(limit=20)
        sealed = [json.loads(entry.body)["event"]["subject"] for entry in await log.entries(limit=20)]
        assert sealed == [one.decision.id for one in records if one is not records[6]]


async def test_who_leaves_before_it_began_leaves_at_once_and_writes_nothing(sqlite: SqliteServer) -> None:
    async with opened(sqlite.new_url()) as database:
        held = Held(database)
        await held.begun()
        leaving, staying = (asyncio.create_task(database.transact(tick(slot))) for slot in (1, 2))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert not held.task.done()
        await held.go()
        assert await staying == 2
        assert await slots(database) == [0, 2]


async def test_who_leaves_a_commit_that_has_begun_takes_nobody_along(sqlite: SqliteServer) -> None:
    pause = Pause()
    async with opened(sqlite.new_url()) as database:
        held = Held(database)
        await held.begun()
        tasks = [asyncio.create_task(database.transact(work)) for work in (tick(1), tick(2, then=pause), tick(3))]
        await asyncio.sleep(0)
        await held.go()
        await pause.reached()
        tasks[0].cancel()
        await asyncio.sleep(0.02)
        assert not tasks[0].done(), "it may be committed all the same"
        pause.go()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(ends[0]), ends[1], ends[2]] == [asyncio.CancelledError, 2, 3]
        assert await slots(database) == [0, 1, 2, 3]


async def test_another_process_costs_each_only_its_own_patience(sqlite: SqliteServer) -> None:
    url = sqlite.new_url()
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        database = Database(url, busy_timeout_s=2.0)
        try:
            await database.transact(tick(0))
            other.execute("BEGIN IMMEDIATE")
            early = asyncio.create_task(database.transact(tick(1)))
            await asyncio.sleep(1.0)
            late = asyncio.create_task(database.transact(tick(2)))
            with pytest.raises(StoreUnavailable):
                await early
            assert not late.done()
            other.execute("ROLLBACK")
            assert await late == 2
            assert await slots(database) == [0, 2]
        finally:
            await database.aclose()


async def test_of_those_that_wait_together_for_another_process_the_first_gives_up_first(sqlite: SqliteServer) -> None:
    url = sqlite.new_url()
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        database = Database(url, busy_timeout_s=2.0)
        try:
            async with database.writing() as session:
                early = asyncio.create_task(database.transact(tick(1)))
                await asyncio.sleep(1.0)
                late = asyncio.create_task(database.transact(tick(2)))
                await asyncio.sleep(0)
                await session.rollback()  # the turn is this block's still, the database the other's
                other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable):
                await early
            assert not late.done()
            other.execute("ROLLBACK")
            assert await late == 2
            assert await slots(database) == [2]
        finally:
            await database.aclose()


async def test_who_gets_no_turn_in_time_is_told_so(sqlite: SqliteServer) -> None:
    url = sqlite.new_url()
    database = Database(url, busy_timeout_s=0.1)
    try:
        async with database.writing():
            tasks = [asyncio.create_task(database.transact(tick(slot))) for slot in (1, 2)]
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(end) for end in ends] == [StoreUnavailable, StoreUnavailable]
        assert await database.transact(tick(3)) == 3
        assert await slots(database) == [3]
    finally:
        await database.aclose()


async def test_a_program_that_ends_meanwhile_leaves_nothing_half_done(sqlite: SqliteServer) -> None:
    """Its end cancels every task, the one that commits too."""
    url, pause = sqlite.new_url(), Pause()
    database = Database(url)

    def program() -> None:
        async def main() -> None:
            first = asyncio.create_task(database.transact(tick(1, then=pause)))
            await pause.reached()
            second = asyncio.create_task(database.transact(tick(2)))
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_later(0.05, pause.go)
            assert not first.done()
            assert not second.done()

        asyncio.run(main())

    await asyncio.to_thread(program)
    async with opened(url) as again:
        assert await slots(again) == [1]
    await database.aclose()


_WRITER = """
import asyncio, sys
from app.store import Database, SqlDecisionStore
from tests.store import samples

async def main(url):
    database = Database(url, busy_timeout_s=60)
    store = SqlDecisionStore(database)

    async def client():
        while True:
            record = samples.record()
            await store.record(record, [samples.event(record.decision.id)], None)
            sys.stdout.write(record.decision.id + "\\n")
            sys.stdout.flush()

    await asyncio.gather(*(client() for _ in range(8)))

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.parametrize("after", [1, 23, 60])
async def test_a_kill_between_takes_back_no_answer_and_splits_no_decision(sqlite: SqliteServer, after: int) -> None:
    url = sqlite.new_url()
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(  # noqa: ASYNC220 - nothing else is to go on meanwhile
        [sys.executable, "-c", _WRITER, url], stdout=subprocess.PIPE, text=True, env=environment
    ) as writer:
        assert writer.stdout is not None
        answered = [next(writer.stdout) for _ in range(after)]
        writer.kill()
        answered += [line for line in writer.stdout if line.endswith("\n")]
    async with opened(url) as database:
        decided = await whole(database, {line.strip() for line in answered})
    assert len(decided) <= len(answered) + 8
