"""The client of the engine process."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Collection
from dataclasses import replace

import structlog

from app.domain import Answer, EngineInfo, EngineJob, EngineState, Status
from app.engine.answers import AnswerStream
from app.engine.base import EngineConfig, Reason
from app.engine.dispatch import Dispatch
from app.engine.files import CheckedFiles, check_files
from app.engine.flight import Flight
from app.engine.life import Life
from app.engine.mistakes import job_mistake, require_questions
from app.engine.patience import Patience
from app.engine.pending import PendingJob
from app.engine.process import EngineProcess
from app.engine.restarts import Restarts
from app.engine.standing import Standing
from app.engine.worker.protocol import Ready
from app.errors import UNSERVABLE, EngineCrashed, EngineError, ModelFileCorrupt
from app.metrics import ENGINE_RESTARTS

_log = structlog.get_logger(__name__)

#: How much later than a job's deadline its last answers may come: the engine's own timeouts are on their way then.
_ANSWER_GRACE_S = 0.1
#: Jobs given to the process beyond those it works on, so that the next picture is there when one is done.
_AHEAD = 2


class LocalEngine:
    """The resident model in a process of its own, watched and restarted. Satisfies `app.moderation.ports.Engine`.

    Jobs wait in one queue, and a few at a time are in the process, which works on them together.
    """

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._standing = Standing(config.files.name, demonstration=config.files.demonstration)
        self._numbers = itertools.count(1)
        self._dispatch = Dispatch(config.most_waiting)
        self._restarts = Restarts()
        self._life: Life | None = None
        self._lives = 0
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def info(self) -> EngineInfo:
        return replace(self._standing.info, queue_depth=self._dispatch.depth)

    @property
    def pid(self) -> int | None:
        """Of the engine process, while it is ready."""
        return None if self._life is None else self._life.pid

    async def start(self) -> None:
        """Returns at once; `info.state` says when the model is ready. A missing file is a state, not an exception."""
        if self._supervisor is None:
            self._standing.become(EngineState.STARTING, "the model is being loaded")
            self._supervisor = asyncio.create_task(self._supervise(), name="engine")

    async def wait_ready(self, timeout_s: float) -> EngineInfo:
        """The info of the ready engine. Raises EngineUnavailable with the reason when it is not ready by then, or as
        soon as there is no hope of it."""
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
        supervisor, self._supervisor = self._supervisor, None
        self._standing.become(EngineState.STOPPED, None)
        for pending in self._dispatch.flight or ():
            pending.end(Status.FAILED, Reason.ENGINE_UNAVAILABLE)
        self._dispatch.fail_waiting()
        if supervisor is not None:
            supervisor.cancel()
            await asyncio.gather(supervisor, return_exceptions=True)

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
        if numbers and self._life is not None:
            self._life.cancel(pending, numbers)
        if not pending.open:
            self._dispatch.withdraw(pending)
        self._dispatch.count()

    def _withdraw(self, pending: PendingJob) -> None:
        """Nobody listens any more: what is left of the job is not done."""
        pending.abandon()
        self._dispatch.withdraw(pending)
        if self._life is not None:
            self._life.cancel(pending)
        self._dispatch.count()

    async def _supervise(self) -> None:
        while True:
            try:
                await self._live()
            except EngineError as error:
                self._restarts.start_failed()
                self._down(error)
            except Exception as error:
                _log.exception("the engine's supervisor failed", action="engine.supervise")
                self._restarts.start_failed()
                self._down(EngineCrashed(f"the engine's supervisor failed: {type(error).__name__}"))
            at_once = self._standing.info.state is EngineState.RESTARTING
            await asyncio.sleep(self._restarts.pause_s(first_at_once=at_once))

    async def _live(self) -> None:
        """One life of the process, to its end. Raises EngineError when it does not begin."""
        checked = await asyncio.to_thread(check_files, self._config.files)
        process, ready = await EngineProcess.start(self._config, self._dispatch.wake.set)
        try:
            if not checked.unchanged():
                raise ModelFileCorrupt(f"the files of '{self._config.files.name}' changed while they were loaded")
            patience = Patience(self._config.hang_grace_s, ready.longest_call_s)
            flight = Flight(self._config.parallel_pictures + _AHEAD, patience)
            self._life = Life(process, flight, self._dispatch, self._restarts.answered)
            self._welcome(checked, ready)
            await self._life.serve()
        except EngineCrashed as error:
            self._restarts.died()
            self._down(error)
        finally:
            self._life = None
            await process.close()

    def _welcome(self, checked: CheckedFiles, ready: Ready) -> None:
        if self._lives:
            ENGINE_RESTARTS.inc()
        self._standing.info = replace(
            self._standing.info,
            model_digest=checked.model_digest,
            projector_digest=checked.projector_digest,
            restarts=self._lives,
        )
        self._lives += 1
        self._restarts.started()
        self._standing.become(EngineState.READY, None)
        _log.info(
            "the model is ready",
            action="engine.ready",
            model=self._config.files.name,
            model_digest=checked.model_digest,
            projector_digest=checked.projector_digest,
            pid=self.pid,
            **ready.chosen(),
        )

    def _down(self, error: EngineError) -> None:
        hopeless = isinstance(error, UNSERVABLE) or self._restarts.hopeless
        self._standing.become(EngineState.FAILED if hopeless else EngineState.RESTARTING, error.detail)
        _log.error("the engine is down", action="engine.down", code=error.code, detail=error.detail, hopeless=hopeless)
        if hopeless:
            self._dispatch.fail_waiting()
