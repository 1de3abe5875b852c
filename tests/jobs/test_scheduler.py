import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from app.domain import CaseState, Keeping, Outcome
from app.errors import AuditBroken
from app.jobs.gauges import refresh_gauges
from app.jobs.scheduler import Job, Scheduler, _Every, build_scheduler
from app.jobs.sealing import seal_audit
from app.review.desk import ReviewDesk
from app.store import (
    Database,
    LocalEvidenceStore,
    SqlAuditLog,
    SqlCaseStore,
    SqlDecisionStore,
    SqlRetention,
    SqlTicks,
)
from tests.jobs.conftest import Clock
from tests.store import samples
from tests.store.databases import opened

_SHORTEST_S = 0.01


class _Counter:
    """A job that counts its turns and may do something at the nth."""

    def __init__(self) -> None:
        self.turns = 0
        self._changed = asyncio.Condition()

    async def run(self) -> None:
        async with self._changed:
            self.turns += 1
            self._changed.notify_all()

    async def reached(self, turns: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self.turns >= turns)


async def _case(database: Database) -> None:
    record = samples.record(outcome=Outcome.REVIEW)
    await SqlDecisionStore(database).record(record, [samples.event()], samples.case_of(record.decision))


async def test_sealing_goes_on_until_nothing_waits(database: Database) -> None:
    log = SqlAuditLog(database)
    assert await seal_audit(log) == 0
    await log.append([samples.event() for _ in range(450)])

    assert await seal_audit(log) == 450
    assert await log.pending() == 0


async def test_gauges_show_what_the_database_holds(database: Database, clock: Clock) -> None:
    desk = ReviewDesk(SqlCaseStore(database), lease_s=900, clock=clock)
    for _ in range(3):
        await _case(database)
    await desk.claim("ada")

    await refresh_gauges(SqlAuditLog(database), desk)

    def shown(state: CaseState) -> float | None:
        return REGISTRY.get_sample_value("portcullis_review_cases", {"state": state.value})

    assert (shown(CaseState.OPEN), shown(CaseState.CLAIMED), shown(CaseState.DECIDED)) == (2, 1, 0)
    assert REGISTRY.get_sample_value("portcullis_audit_pending") == 4


async def _terms() -> list[Keeping]:
    return [samples.keeping()]


async def _announce() -> None:
    pass


async def test_everything_runs_by_itself(database: Database, tmp_path: Path, clock: Clock) -> None:
    """The whole set of jobs on their own schedule: what waits is done soon after the start."""
    log = SqlAuditLog(database)
    desk = ReviewDesk(SqlCaseStore(database), lease_s=900, clock=clock)
    files = LocalEvidenceStore(tmp_path)
    await _case(database)
    await desk.claim("ada")
    clock.forward(timedelta(hours=1))
    scheduler = build_scheduler(
        audit=log,
        desk=desk,
        records=SqlRetention(database),
        files=files,
        ticks=SqlTicks(database),
        seal_interval_s=_SHORTEST_S,
        terms=_terms,
        knows_terms=lambda: True,
        announce=_announce,
        clock=clock,
    )

    scheduler.start()
    try:
        # Made, claimed and lapsed: three events.
        while (await log.head()).seq < 3:  # noqa: ASYNC110  # a database tells nobody
            await asyncio.sleep(_SHORTEST_S)
    finally:
        await scheduler.shutdown()

    assert (await desk.counts())[CaseState.OPEN] == 1
    assert (await log.verify()).sound


@pytest.mark.parametrize(("hours", "knows_terms"), [(0, True), (2, False), (2, True)])
async def test_retention_is_left_to_a_node_that_can(
    database: Database, tmp_path: Path, clock: Clock, hours: int, knows_terms: bool
) -> None:
    started_s = time.monotonic()
    announced: list[None] = []

    async def announce() -> None:
        announced.append(None)

    scheduler = build_scheduler(
        audit=SqlAuditLog(database),
        desk=ReviewDesk(SqlCaseStore(database), lease_s=900, clock=clock),
        records=SqlRetention(database),
        files=LocalEvidenceStore(tmp_path),
        ticks=SqlTicks(database),
        seal_interval_s=1.0,
        terms=_terms,
        knows_terms=lambda: knows_terms,
        announce=announce,
        clock=clock,
    )
    clock.forward(timedelta(hours=hours))
    scheduler._steady._monotonic = lambda: started_s + hours * 3600
    for job in scheduler._jobs:
        await scheduler.run_turn(job)
    left = await SqlTicks(database).last("remove_expired_evidence") is None
    assert left == (not hours or not knows_terms)
    assert len(announced) == knows_terms, "it is said also while nothing is deleted"


async def test_a_job_that_fails_is_logged_and_runs_again(database: Database) -> None:
    counter = _Counter()

    async def fail() -> None:
        await counter.run()
        if counter.turns == 1:
            raise AuditBroken("entry 7 is odd")
        if counter.turns == 2:
            raise RuntimeError("a fault of ours")

    scheduler = Scheduler([Job("fragile", _SHORTEST_S, fail)], SqlTicks(database))
    with capture_logs() as logs:
        scheduler.start()
        await counter.reached(3)
        await scheduler.shutdown()

    failures = [(entry["job"], entry["code"]) for entry in logs if entry.get("action") == "job_failed"]
    assert failures == [("fragile", "audit_broken"), ("fragile", "internal_error")]


async def test_of_several_nodes_one_takes_each_turn(url: str, clock: Clock) -> None:
    async with opened(url) as one, opened(url) as other:
        counter = _Counter()
        job = Job("sweep", 10.0, counter.run, one_node=True)
        nodes = [Scheduler([job], SqlTicks(database), clock=clock) for database in (one, other)]

        for turn in range(1, 4):
            await asyncio.gather(*(node.run_turn(job) for node in nodes))
            assert counter.turns == turn
            clock.forward(timedelta(seconds=10))


async def test_a_node_that_is_not_ready_leaves_the_turn_to_another(url: str, clock: Clock) -> None:
    async with opened(url) as one, opened(url) as other:
        counter = _Counter()
        young, old = (
            Job("sweep", 10.0, counter.run, one_node=True, ready=ready) for ready in (lambda: False, lambda: True)
        )
        for _ in range(3):
            await Scheduler([young], SqlTicks(one), clock=clock).run_turn(young)
            await Scheduler([old], SqlTicks(other), clock=clock).run_turn(old)
            clock.forward(timedelta(seconds=10))
        assert counter.turns == 3


async def test_a_job_for_which_no_node_is_ready_for_long_is_said(database: Database, clock: Clock) -> None:
    counter = _Counter()
    ready = Job("sweep", 300.0, counter.run, one_node=True)
    waiting = replace(ready, ready=lambda: False)
    scheduler = Scheduler([ready], SqlTicks(database), clock=clock)
    with capture_logs() as logs:
        await scheduler.run_turn(waiting)  # no node ever ran it
        await scheduler.run_turn(ready)
        for _ in range(3):
            clock.forward(timedelta(hours=5))
            await scheduler.run_turn(waiting)
    assert [(one["action"], one["hours"]) for one in logs] == [("job_waits", 15.0)]


async def test_a_job_for_every_node_runs_on_every_node(url: str, clock: Clock) -> None:
    async with opened(url) as one, opened(url) as other:
        counter = _Counter()
        job = Job("gauges", 10.0, counter.run)

        await asyncio.gather(
            *(Scheduler([job], SqlTicks(database), clock=clock).run_turn(job) for database in (one, other))
        )

        assert counter.turns == 2


async def test_a_turn_that_cannot_be_taken_is_a_failed_job(database: Database) -> None:
    counter = _Counter()
    job = Job("sweep", 10.0, counter.run, one_node=True)
    await database.aclose()

    with capture_logs() as logs:
        await Scheduler([job], SqlTicks(database)).run_turn(job)

    assert counter.turns == 0
    assert [(entry["action"], entry["code"]) for entry in logs] == [("job_failed", "store_unavailable")]


async def test_shutdown_waits_for_what_is_running(database: Database) -> None:
    begun, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await may_end.wait()
        ended.set()

    scheduler = Scheduler([Job("slow", _SHORTEST_S, work)], SqlTicks(database))
    scheduler.start()
    await begun.wait()
    stopping = asyncio.create_task(scheduler.shutdown())
    await asyncio.sleep(0)
    assert not stopping.done()
    may_end.set()
    await stopping

    assert ended.is_set()


async def test_shutdown_does_not_wait_for_ever(database: Database) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    scheduler = Scheduler([Job("stuck", _SHORTEST_S, work)], SqlTicks(database))
    scheduler.start()
    await begun.wait()
    await scheduler.shutdown(grace_s=0.01)

    assert cancelled.is_set()


async def test_after_shutdown_nothing_runs(database: Database) -> None:
    counter = _Counter()
    scheduler = Scheduler([Job("busy", _SHORTEST_S, counter.run)], SqlTicks(database))
    scheduler.start()
    await counter.reached(2)
    await scheduler.shutdown()
    turns = counter.turns

    await asyncio.sleep(_SHORTEST_S * 5)

    assert counter.turns == turns


@pytest.mark.parametrize("started", [True, False])
async def test_shutdown_may_come_at_any_time(database: Database, started: bool) -> None:
    scheduler = Scheduler([Job("idle", 60.0, _Counter().run)], SqlTicks(database))
    if started:
        scheduler.start()

    await scheduler.shutdown()
    await scheduler.shutdown()


class _Set(datetime):
    """The wall clock, set by some time."""

    by = timedelta(0)

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return datetime.now(tz) + cls.by


async def test_jobs_go_on_after_the_clock_went_back(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Set, "by", timedelta(0))
    monkeypatch.setattr("apscheduler.schedulers.base.datetime", _Set)
    monkeypatch.setattr("app.jobs.scheduler.datetime", _Set)
    monkeypatch.setattr("app.jobs.scheduler._LOOK_AT_CLOCK_EVERY_S", _SHORTEST_S)
    counter = _Counter()
    scheduler = Scheduler([Job("busy", _SHORTEST_S, counter.run)], SqlTicks(database), clock=lambda: _Set.now(UTC))
    scheduler.start()
    await counter.reached(2)

    _Set.by = timedelta(hours=-1)
    async with asyncio.timeout(300):
        await counter.reached(counter.turns + 5)
    await scheduler.shutdown()


def test_turns_that_were_missed_are_not_gone_through_one_by_one() -> None:
    every, now = _Every(1.0), samples.NOON
    assert every.get_next_fire_time(now - timedelta(weeks=1), now) == now + timedelta(seconds=1)
    assert every.get_next_fire_time(now - timedelta(seconds=0.25), now) == now + timedelta(seconds=0.75)
    assert every.get_next_fire_time(None, now) == now + timedelta(seconds=1)


async def test_after_the_clock_went_back_each_turn_is_still_one_node_s(url: str, clock: Clock) -> None:
    """No job stands still for longer than the turns that are remembered."""
    async with opened(url) as one, opened(url) as other:
        counter = _Counter()
        job = Job("sweep", 10.0, counter.run, one_node=True)
        nodes = [Scheduler([job], SqlTicks(database), clock=clock) for database in (one, other)]
        most, skipped = 0, 0
        for step in range(90):
            before = counter.turns
            await asyncio.gather(*(node.run_turn(job) for node in nodes))
            assert counter.turns - before <= 1
            skipped = 0 if counter.turns > before else skipped + 1
            most = max(most, skipped)
            clock.forward(timedelta(minutes=-5) if step == 40 else timedelta(seconds=10))
        assert 0 < most <= 17


async def test_a_job_may_wait_before_its_first_turn(database: Database) -> None:
    early, late = _Counter(), _Counter()
    jobs = [Job("early", _SHORTEST_S, early.run), Job("late", _SHORTEST_S, late.run, first_after_s=3600)]
    scheduler = Scheduler(jobs, SqlTicks(database))
    scheduler.start()
    await early.reached(3)
    await scheduler.shutdown()
    assert late.turns == 0
