"""The backtests of a running service: one at a time on this node, watched, called off, and remembered for a while."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

import structlog

from app.domain import KeywordList, new_id
from app.errors import NotFound, NotReady, PolicyProblem, PortcullisError, QueueFull
from app.media_inline import InlineWorkers
from app.policy.backtest import Report
from app.policy.building import Builder
from app.policy.candidate import Candidate
from app.policy.ports import Archive, Matcher
from app.policy.rerun import Plan, rerun
from app.policy.ruleset import Ruleset
from app.policy.schema import Policy
from app.policy.sweep import Moved, Threshold, sweep, thresholds_of
from app.workers import Workers

log = structlog.get_logger(__name__)

#: So many runs are remembered, in memory: each holds a policy's text and up to 50 ids of decisions a rule.
KEPT = 8
_RETRY_AFTER_S = 30
_STOPPING = "the service is being stopped"


class RunState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Asked:
    """`policy` is YAML, `base` the digest of the policy in force that its edit began with, `moved` a threshold to draw
    a curve of."""

    policy: bytes
    since: datetime
    author: str
    base: str
    moved: Moved | None = None


@dataclass(slots=True)
class Run:
    """What is known of a backtest; only `Backtests` changes it. `total` is None until the decisions are counted. A
    `report` is there when it is done, a `fault` when it failed. `lists` are the digests by name of the lists that it
    was made with, `policy_digest` names the policy's text; `policy` has all of it but the rules."""

    id: str
    asked: Asked
    started_at: datetime
    policy_digest: str
    policy: Policy
    text: str
    lists: Mapping[str, str]
    thresholds: tuple[Threshold, ...]
    warnings: tuple[PolicyProblem, ...]
    state: RunState = RunState.RUNNING
    cancelling: bool = False
    total: int | None = None
    done: int = 0
    ended_at: datetime | None = None
    report: Report | None = None
    fault: PortcullisError | None = None
    task: "asyncio.Task[Report] | None" = field(default=None, repr=False, compare=False)


class Backtests:
    """`lists` are those of the moment, and the `workers` check policies. Runs are of this node alone, and a restart
    forgets them."""

    def __init__(
        self,
        archive: Archive,
        *,
        lists: Callable[[], Sequence[KeywordList]],
        matcher: Callable[[], Matcher],
        processes: int,
        workers: Workers | None = None,
    ) -> None:
        self._archive = archive
        self._lists = lists
        self._matcher = matcher
        self._processes = processes
        self._builder = Builder(workers or InlineWorkers())
        self._runs: dict[str, Run] = {}
        self._busy = False
        self._closed = False
        self._reporting: asyncio.Task[Report] | None = None

    async def report(self, policy: bytes, since: datetime) -> Report:
        """For who waits for it; not remembered. Raises PolicyInvalid, QueueFull while another one is running,
        NotReady when the service is being stopped, StoreUnavailable, and WorkerError."""
        self._take_turn()
        self._reporting = asyncio.create_task(self._report(policy, since), name="backtest for who waits")
        self._reporting.add_done_callback(lambda _: setattr(self, "_busy", False))
        try:
            return await self._reporting
        except asyncio.CancelledError:
            mine = asyncio.current_task()
            if self._closed and mine is not None and not mine.cancelling():
                raise NotReady(_STOPPING) from None
            raise

    async def _report(self, policy: bytes, since: datetime) -> Report:
        ruleset = await self._built(policy)
        return await rerun(Plan(ruleset, since, self._matcher, self._processes), self._archive)

    async def start(self, asked: Asked) -> Run:
        """Begin one. Raises PolicyInvalid, QueueFull while another one is running, NotReady when the service is being
        stopped, MalformedRequest for a threshold that the policy does not give, and WorkerError when the policy could
        not be checked."""
        self._take_turn()
        try:
            ruleset = await self._built(asked.policy)
            sweeps = {} if asked.moved is None else sweep(ruleset, asked.moved)
            self._require_open()  # while the policy was checked, the service may have been told to stop
        except BaseException:
            self._busy = False
            raise
        run = _run_of(ruleset, asked)
        plan = Plan(
            ruleset,
            asked.since,
            self._matcher,
            self._processes,
            sweeps,
            on_total=lambda total: setattr(run, "total", total),
            on_progress=lambda done: setattr(run, "done", done),
        )
        run.task = asyncio.create_task(rerun(plan, self._archive), name=f"backtest {run.id}")
        run.task.add_done_callback(lambda task: self._ended(run, task))
        self._runs[run.id] = run
        for old in list(self._runs)[:-KEPT]:
            del self._runs[old]
        log.info("a backtest begins", action="backtest_started", run=run.id, policy=run.policy_digest)
        return run

    def find(self, run_id: str) -> Run:
        """Raises NotFound also for one that is forgotten."""
        if run_id not in self._runs:
            raise NotFound("there is no such backtest on this node; the last ones are kept until it restarts")
        return self._runs[run_id]

    @property
    def recent(self) -> tuple[Run, ...]:
        """The newest first."""
        return tuple(reversed(self._runs.values()))

    async def cancel(self, run_id: str, *, patience_s: float = 2.0) -> Run:
        """Call it off; one that has ended is left as it is. Processes finish the stretch that they are at, which is
        waited for no longer than that. Raises NotFound."""
        run = self.find(run_id)
        if run.task is not None and not run.task.done():
            if not run.cancelling:  # a second word would break into the clearing up
                run.cancelling = True
                run.task.cancel()
            await asyncio.wait([run.task], timeout=patience_s)
        return run

    async def aclose(self) -> None:
        """Calls off whatever runs, and waits for its processes; what is just being asked for does not begin."""
        self._closed = True
        running = [run for run in self._runs.values() if run.task is not None and not run.task.done()]
        for run in running:
            await self.cancel(run.id, patience_s=0)
        if self._reporting is not None:
            self._reporting.cancel()
        tasks = [task for task in (self._reporting, *(run.task for run in running)) if task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)

    def _take_turn(self) -> None:
        """Nothing is awaited between looking and taking."""
        self._require_open()
        if self._busy:
            raise QueueFull("another backtest is running", retry_after_s=_RETRY_AFTER_S)
        self._busy = True

    def _require_open(self) -> None:
        if self._closed:
            raise NotReady(_STOPPING)

    async def _built(self, policy: bytes) -> Ruleset:
        return (await self._builder.build(Candidate(policy, tuple(self._lists())))).ruleset

    def _ended(self, run: Run, task: "asyncio.Task[Report]") -> None:
        self._busy = False
        run.ended_at = datetime.now(UTC)
        fault = None if task.cancelled() else task.exception()
        if task.cancelled():
            run.state = RunState.CANCELLED
        elif fault is None:
            run.state, run.report = RunState.DONE, task.result()
        else:
            run.state = RunState.FAILED
            run.fault = (
                fault
                if isinstance(fault, PortcullisError)
                else PortcullisError("an internal error; the log of the service tells it")
            )
            log.error("a backtest failed", action="backtest_failed", run=run.id, exc_info=fault)
        log.info("a backtest has ended", action="backtest_ended", run=run.id, state=run.state.value, decisions=run.done)


def _run_of(ruleset: Ruleset, asked: Asked) -> Run:
    return Run(
        id=new_id("backtest"),
        asked=asked,
        started_at=datetime.now(UTC),
        policy_digest=ruleset.policy_digest,
        policy=ruleset.policy.model_copy(update={"rules": ()}),
        text=ruleset.source,
        lists={one.name: one.digest for one in ruleset.lists},
        thresholds=thresholds_of(ruleset),
        warnings=ruleset.warnings,
    )
