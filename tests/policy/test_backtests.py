"""Backtests of a running service: one at a time, watched, called off, remembered for a while."""

import asyncio
import multiprocessing
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime

import pytest
import yaml

from app.domain import Outcome, Span, StoredDecision
from app.errors import MalformedRequest, NotFound, NotReady, PolicyInvalid, QueueFull, StoreUnavailable
from app.policy.backtests import KEPT, Asked, Backtests, Run, RunState
from app.policy.sweep import Moved
from app.signals.keywords import AhoCorasickMatcher
from app.store import Database, SqlArchive
from tests.policy.build import document, findings, rule
from tests.policy.test_backtest import OLD, WORDS, keep, store
from tests.store.databases import SqliteServer, opened, sqlite_server

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
POLICY = yaml.safe_dump(document([rule("high", "probes.a.p > thresholds.high")], thresholds={"high": 0.5})).encode()


@pytest.fixture(scope="module")
def sqlite() -> Iterator[SqliteServer]:
    with sqlite_server() as server:
        yield server


@pytest.fixture
async def database(sqlite: SqliteServer) -> AsyncIterator[Database]:
    async with opened(sqlite.new_url()) as database:
        yield database


class HeldArchive:
    """The real one, that waits before its first page until it is let go."""

    def __init__(self, archive: SqlArchive) -> None:
        self._archive = archive
        self.reached, self.go = asyncio.Event(), asyncio.Event()
        self.broken = False

    async def count(self, *, since: datetime) -> int:
        return await self._archive.count(since=since)

    def spans(self, *, since: datetime, rows: int) -> AsyncGenerator[Span]:
        return self._archive.spans(since=since, rows=rows)

    async def pages(self, span: Span, *, rows: int, models: bool) -> AsyncGenerator[list[StoredDecision]]:
        self.reached.set()
        await self.go.wait()
        if self.broken:
            raise StoreUnavailable("the database went away")
        async for page in self._archive.pages(span, rows=rows, models=models):
            yield page

    async def lists_of(self, ruleset: str) -> dict[str, str] | None:
        return await self._archive.lists_of(ruleset)

    def opener(self) -> Callable[[], AbstractAsyncContextManager[SqlArchive]]:
        return self._archive.opener()


@pytest.fixture
def archive(database: Database) -> HeldArchive:
    return HeldArchive(SqlArchive(database))


@pytest.fixture
async def backtests(archive: HeldArchive) -> AsyncIterator[Backtests]:
    made = Backtests(archive, lists=lambda: [WORDS], matcher=AhoCorasickMatcher, processes=1)
    yield made
    archive.go.set()
    await made.aclose()


def asked(policy: bytes = POLICY, moved: Moved | None = None) -> Asked:
    return Asked(policy=policy, since=LONG_AGO, author="key_1", base="sha256:0", moved=moved)


async def ended(run: Run) -> Run:
    assert run.task is not None
    await asyncio.wait([run.task], timeout=30)
    return run


async def test_a_run_is_watched_to_its_report(database: Database, archive: HeldArchive, backtests: Backtests) -> None:
    await keep(database, OLD)
    changed = await store(database, findings(a=0.6), Outcome.PASS)
    await store(database, findings(a=0.1), Outcome.PASS, hour=1)
    run = await backtests.start(asked(moved=Moved("high", 0.0, 1.0)))
    await archive.reached.wait()
    assert (run.state, run.total, run.done, run.report) == (RunState.RUNNING, 2, 0, None)
    archive.go.set()
    await ended(run)
    assert (run.state, run.done, run.fault) == (RunState.DONE, 2, None)
    assert run.report is not None
    assert [flip.decision for flip in run.report.by_rule[0].examples] == [changed]
    assert [curve.threshold for curve in run.report.curves] == ["high"]
    assert run.ended_at is not None
    assert backtests.find(run.id) is run
    assert backtests.recent == (run,)


async def test_one_runs_at_a_time_whichever_door_it_came_through(archive: HeldArchive, backtests: Backtests) -> None:
    run = await backtests.start(asked())
    await archive.reached.wait()
    with pytest.raises(QueueFull):
        await backtests.start(asked())
    with pytest.raises(QueueFull):
        await backtests.report(POLICY, LONG_AGO)
    archive.go.set()
    await ended(run)
    assert (await backtests.report(POLICY, LONG_AGO)).decisions == 0
    assert backtests.recent == (run,)


async def test_a_run_is_called_off_and_the_next_may_begin(archive: HeldArchive, backtests: Backtests) -> None:
    run = await backtests.start(asked())
    await archive.reached.wait()
    assert (await backtests.cancel(run.id)).state is RunState.CANCELLED
    assert run.report is None
    again = await backtests.start(asked())
    archive.go.set()
    assert (await ended(again)).state is RunState.DONE
    assert (await backtests.cancel(again.id)).state is RunState.DONE


async def test_one_called_off_before_its_first_step_gives_its_turn_back(backtests: Backtests) -> None:
    run = await backtests.start(asked())
    assert (await backtests.cancel(run.id)).state is RunState.CANCELLED
    await backtests.cancel((await backtests.start(asked())).id)


async def test_its_processes_end_with_it(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.policy.rerun._FEW", -1)
    await store(database, findings(a=0.6), Outcome.PASS)
    backtests = Backtests(SqlArchive(database), lists=lambda: [WORDS], matcher=AhoCorasickMatcher, processes=1)
    run = await backtests.start(asked())
    while not (begun := multiprocessing.active_children()):  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.01)
    assert (await backtests.cancel(run.id, patience_s=60)).state is RunState.CANCELLED
    assert [one for one in begun if one.is_alive()] == []


async def test_what_is_asked_for_while_it_closes_does_not_begin(archive: HeldArchive, backtests: Backtests) -> None:
    beginning = asyncio.create_task(backtests.start(asked()))
    await asyncio.sleep(0)  # its policy is being checked
    await backtests.aclose()
    with pytest.raises(NotReady):
        await beginning
    assert backtests.recent == ()
    with pytest.raises(NotReady):
        await backtests.report(POLICY, LONG_AGO)


async def test_who_waits_for_a_report_is_told_that_it_closes(archive: HeldArchive, backtests: Backtests) -> None:
    waiting = asyncio.create_task(backtests.report(POLICY, LONG_AGO))
    await archive.reached.wait()
    async with asyncio.timeout(30):
        await backtests.aclose()
        with pytest.raises(NotReady):
            await waiting


async def test_who_waits_no_longer_gives_the_turn_back(archive: HeldArchive, backtests: Backtests) -> None:
    waiting = asyncio.create_task(backtests.report(POLICY, LONG_AGO))
    await archive.reached.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await backtests.cancel((await backtests.start(asked())).id)).state is RunState.CANCELLED


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [(asked(b"version: 2"), PolicyInvalid), (asked(moved=Moved("hihg")), MalformedRequest)],
)
async def test_what_cannot_begin_keeps_nobody_from_it(
    archive: HeldArchive, backtests: Backtests, wrong: Asked, fault: type[Exception]
) -> None:
    with pytest.raises(fault):
        await backtests.start(wrong)
    assert backtests.recent == ()
    archive.go.set()
    assert (await ended(await backtests.start(asked()))).state is RunState.DONE


async def test_a_fault_is_told_and_ends_it(archive: HeldArchive, backtests: Backtests) -> None:
    archive.broken = True
    archive.go.set()
    run = await ended(await backtests.start(asked()))
    assert (run.state, run.fault and run.fault.code) == (RunState.FAILED, "store_unavailable")
    archive.broken = False
    assert (await backtests.report(POLICY, LONG_AGO)).decisions == 0


async def test_the_last_runs_are_remembered(archive: HeldArchive, backtests: Backtests) -> None:
    archive.go.set()
    runs = [await ended(await backtests.start(asked())) for _ in range(KEPT + 1)]
    assert backtests.recent == tuple(reversed(runs[1:]))
    with pytest.raises(NotFound):
        backtests.find(runs[0].id)
