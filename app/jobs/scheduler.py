"""Runs the jobs at their times.

Each node has its own schedule in memory. A job that must not run twice takes a numbered turn in the database first:
turn n of a job that runs every s seconds is the one that contains second n·s of Unix time, on every node.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from app.audit.ports import AuditLog
from app.domain import Keeping
from app.errors import PortcullisError
from app.jobs.gauges import refresh_gauges
from app.jobs.ports import EvidenceFiles, EvidenceRecords, Ticks
from app.jobs.retention import Retention
from app.jobs.sealing import seal_audit
from app.jobs.steady import STEADY_AFTER_S, SteadyClock
from app.review.desk import ReviewDesk

log = structlog.get_logger(__name__)

_LEASES_EVERY_S = 10.0
_GAUGES_EVERY_S = 15.0
_RETENTION_EVERY_S = 300.0
#: Whoever saved a file that shortens it looks at the log soon, if at all.
_ANNOUNCED_EVERY_S = 20.0
_UNCLAIMED_EVERY_S = 6 * 3600.0
#: How long jobs may finish what they are at when the service stops. All of them can be interrupted and go on later.
_SHUTDOWN_GRACE_S = 10.0
#: So long a job may wait for a node that is ready before it is said: twice the longest time between two turns.
_WAITS_LONG_S = 12 * 3600.0
#: How long jobs may stand still after the clock went back.
_LOOK_AT_CLOCK_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Job:
    """`one_node`: of all nodes, one runs it at a time; the others skip that turn. A node that is not `ready` leaves the
    turn to another. It runs for the first time so long after the start."""

    name: str
    every_s: float
    run: Callable[[], Awaitable[object]]
    one_node: bool = False
    ready: Callable[[], bool] = lambda: True
    first_after_s: float = 0.0


def _utc_now() -> datetime:
    return datetime.now(UTC)


class _Every(BaseTrigger):  # type: ignore[misc]  # the library has no types
    """Turns that were missed, while the machine slept or because its clock was set forward, are not gone through one by
    one: of a job that runs each second, those of a week would hold up every upload for seconds."""

    def __init__(self, every_s: float) -> None:
        self._every = timedelta(seconds=every_s)

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:
        following = (previous or now) + self._every
        return following if following > now else now + self._every


class Scheduler:
    """A job that raises is logged and runs again at its next time; one that is still running skips a turn."""

    def __init__(
        self,
        jobs: Sequence[Job],
        ticks: Ticks,
        *,
        clock: Callable[[], datetime] = _utc_now,
        steady: SteadyClock | None = None,
    ) -> None:
        self._steady = steady or SteadyClock(clock)
        self._jobs = tuple(jobs)
        self._ticks = ticks
        self._clock = clock
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._running: set[asyncio.Task[object]] = set()
        self._watching: asyncio.Task[None] | None = None
        self._stopping = False

    def start(self) -> None:
        for job in self._jobs:
            self._scheduler.add_job(
                self._scheduled,
                _Every(job.every_s),
                args=[job],
                id=job.name,
                next_run_time=datetime.now(UTC) + timedelta(seconds=job.first_after_s),
                coalesce=True,
                max_instances=1,
                misfire_grace_time=None,
            )
        self._scheduler.start()
        self._watching = asyncio.create_task(self._watch_clock(), name="clock watch")

    async def shutdown(self, *, grace_s: float = _SHUTDOWN_GRACE_S) -> None:
        """Waits for what is running, and cancels what has not finished after `grace_s`."""
        self._stopping = True
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        if self._scheduler.running:
            self._scheduler.pause()
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
            await asyncio.sleep(0)  # it stops its timer in the next turn of the event loop

    async def run_turn(self, job: Job) -> None:
        """One turn of a job, if it is this node's. Never raises."""
        try:
            if not job.ready():
                await self._leave_to_others(job)
                return
            if job.one_node and not await self._ticks.take(job.name, self._slot(job)):
                return
            await job.run()
        except PortcullisError as error:
            log.error("job failed", action="job_failed", job=job.name, code=error.code, detail=error.detail)  # noqa: TRY400
        except Exception:
            log.exception("job failed", action="job_failed", job=job.name, code="internal_error")

    async def _leave_to_others(self, job: Job) -> None:
        """Says so where they do not take it either: all of them may be restarted again and again."""
        last = await self._ticks.last(job.name)
        waits_s = 0.0 if last is None else (self._slot(job) - last) * job.every_s
        if waits_s >= _WAITS_LONG_S:
            log.warning(
                "no node has run this job for long: each was just started, saw its clock set, or lags behind",
                action="job_waits",
                job=job.name,
                hours=round(waits_s / 3600, 1),
            )

    async def _scheduled(self, job: Job) -> None:
        task = asyncio.current_task()
        if self._stopping or task is None:
            return
        self._running.add(task)
        try:
            await self.run_turn(job)
        finally:
            self._running.discard(task)

    async def _watch_clock(self) -> None:
        """The schedule goes by the wall clock: after that went back an hour, nothing would run for an hour."""
        seen = self._steady.steps()
        while True:
            await asyncio.sleep(_LOOK_AT_CLOCK_EVERY_S)
            if (steps := self._steady.steps()) != seen:
                seen = steps
                for job in self._scheduler.get_jobs():
                    job.modify(next_run_time=datetime.now(UTC))

    def _slot(self, job: Job) -> int:
        return int(self._clock().timestamp() // job.every_s)


def build_scheduler(
    *,
    audit: AuditLog,
    desk: ReviewDesk,
    records: EvidenceRecords,
    files: EvidenceFiles,
    ticks: Ticks,
    seal_interval_s: float,
    terms: Callable[[], Awaitable[Sequence[Keeping]]],
    knows_terms: Callable[[], bool],
    announce: Callable[[], Awaitable[None]],
    clock: Callable[[], datetime] = _utc_now,
) -> Scheduler:
    """Sealing and gauges run on every node: sealers take turns by themselves, and gauges are each node's own. A node
    that does not know the `terms` leaves retention to others. `announce` says what they will delete, also while nothing
    is deleted yet."""
    steady = SteadyClock(clock)
    retention = Retention(records, files, terms=terms, clock=clock, steady=steady.is_steady)
    jobs = (
        Job("seal_audit", seal_interval_s, lambda: seal_audit(audit)),
        Job("refresh_gauges", _GAUGES_EVERY_S, lambda: refresh_gauges(audit, desk)),
        Job("announce_retention", _ANNOUNCED_EVERY_S, announce, ready=knows_terms),
        Job("expire_leases", _LEASES_EVERY_S, desk.expire_leases, one_node=True),
        Job(
            "remove_expired_evidence",
            _RETENTION_EVERY_S,
            retention.remove_expired,
            one_node=True,
            ready=lambda: steady.is_steady() and knows_terms(),
        ),
        # Seldom: not at a time at which the clock is surely not believed yet.
        Job(
            "remove_unclaimed_evidence",
            _UNCLAIMED_EVERY_S,
            retention.remove_unclaimed,
            one_node=True,
            ready=steady.is_steady,
            first_after_s=2 * STEADY_AFTER_S,
        ),
    )
    return Scheduler(jobs, ticks, clock=clock, steady=steady)
