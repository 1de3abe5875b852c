"""The client of the engine processes."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Collection
from dataclasses import replace

import structlog

from app.domain import Answer, EngineInfo, EngineJob, EngineState, Status
from app.engine.answers import AnswerStream
from app.engine.base import EngineConfig, Reason
from app.engine.dispatch import Dispatch
from app.engine.mistakes import job_mistake, require_questions
from app.engine.pending import PendingJob
from app.engine.served import ServedFiles
from app.engine.standing import Standing, overall
from app.engine.supervisor import Supervisor
from app.metrics import ENGINE_PROCESSES_READY

_log = structlog.get_logger(__name__)

#: How much later than a job's deadline its last answers may come: the engine's own timeouts are on their way then.
_ANSWER_GRACE_S = 0.1


class LocalEngine:
    """The resident model, in one process or several, watched and restarted. Satisfies `app.moderation.ports.Engine`.

    Jobs wait in one queue, and a few at a time are in a process, which works on them together.
    """

    def __init__(self, config: EngineConfig) -> None:
        self._standing = Standing(config.files.name, demonstration=config.files.demonstration)
        self._numbers = itertools.count(1)
        self._dispatch = Dispatch(
            config.most_waiting, coming=lambda: any(supervisor.coming for supervisor in self._supervisors)
        )
        self._files = ServedFiles(config.files)
        self._supervisors = tuple(
            Supervisor(config, place, self._dispatch, self._files, self._reckon) for place in config.places
        )
        self._running = False

    @property
    def info(self) -> EngineInfo:
        return replace(
            self._standing.info,
            queue_depth=self._dispatch.depth,
            processes=tuple(supervisor.info for supervisor in self._supervisors),
        )

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the processes that serve."""
        return tuple(supervisor.pid for supervisor in self._supervisors if supervisor.pid is not None)

    async def start(self) -> None:
        """Returns at once; `info.state` says when the model is ready. A missing file is a state, not an exception."""
        if not self._running:
            self._running = True
            for supervisor in self._supervisors:
                supervisor.start()
            self._reckon()

    async def wait_ready(self, timeout_s: float) -> EngineInfo:
        """The info of the ready engine, which one of its processes is enough for. Raises EngineUnavailable with the
        reason when it is not ready by then, or as soon as there is no hope of it."""
        await self._standing.wait_ready(timeout_s)
        return self.info

    def ask(self, job: EngineJob) -> AnswerStream:
        """See `app.moderation.ports.Engine.ask`."""
        require_questions(job)
        pending = PendingJob(next(self._numbers), job)
        return AnswerStream(self._answers(pending), lambda ids, reason: self._cancel(pending, ids, reason))

    async def _answers(self, pending: PendingJob) -> AsyncGenerator[Answer]:
        self._admit(pending)
        try:
            while True:
                try:
                    answer = await pending.next(pending.remaining_s + _ANSWER_GRACE_S)
                except TimeoutError:
                    pending.end(Status.TIMEOUT, Reason.DEADLINE)
                    continue
                if answer is None:
                    return
                yield answer
        finally:
            self._withdraw(pending)

    async def aclose(self) -> None:
        self._running = False
        self._standing.become(EngineState.STOPPED, None)
        ENGINE_PROCESSES_READY.set(0)
        self._dispatch.fail_all()
        await asyncio.gather(*(supervisor.stop() for supervisor in self._supervisors))

    def _admit(self, pending: PendingJob) -> None:
        wrong = job_mistake(pending.job)
        if wrong is not None:
            _log.error("a job is refused", action="engine.refuse", job=pending.job.id, reason=wrong.value)
            pending.end(Status.FAILED, wrong)
        pending.refuse_mistakes()
        if self._standing.is_over:
            pending.end(Status.FAILED, Reason.ENGINE_UNAVAILABLE)
        else:
            self._dispatch.admit(pending)
        self._dispatch.count()

    def _cancel(self, pending: PendingJob, question_ids: Collection[str], reason: str) -> None:
        numbers = pending.cancel(question_ids, reason)
        if numbers:
            self._cancel_in_process(pending, numbers)
        if not pending.open:
            self._dispatch.withdraw(pending)
        self._dispatch.count()

    def _withdraw(self, pending: PendingJob) -> None:
        """Nobody listens any more: what is left of the job is not done."""
        pending.abandon()
        self._dispatch.withdraw(pending)
        self._cancel_in_process(pending)
        self._dispatch.count()

    def _cancel_in_process(self, pending: PendingJob, numbers: tuple[int, ...] | None = None) -> None:
        for supervisor in self._supervisors:
            supervisor.cancel(pending, numbers)

    def _reckon(self) -> None:
        """A process is in another state: what the engine is in together."""
        if not self._running:
            return
        processes = [supervisor.info for supervisor in self._supervisors]
        ENGINE_PROCESSES_READY.set(sum(process.state is EngineState.READY for process in processes))
        loaded = self._files.loaded
        self._standing.info = replace(
            self._standing.info,
            model_digest=None if loaded is None else loaded.model_digest,
            projector_digest=None if loaded is None else loaded.projector_digest,
            restarts=sum(process.restarts for process in processes),
        )
        self._standing.become(*overall(processes))
        if self._standing.is_over:
            self._dispatch.fail_waiting()
        self._dispatch.wake.set()
