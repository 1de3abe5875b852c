"""The client of the engine process."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncGenerator, Collection
from dataclasses import replace
from typing import NoReturn

import structlog

from app.domain import Answer, EngineInfo, EngineJob, EngineState, Status
from app.engine.answers import AnswerStream
from app.engine.base import EngineConfig, Reason, unsound
from app.engine.files import CheckedFiles, check_files
from app.engine.flight import Flight
from app.engine.patience import Patience
from app.engine.pending import PendingJob
from app.engine.process import EngineProcess
from app.engine.quarantine import Quarantine
from app.engine.worker.protocol import Done, Ready
from app.errors import UNSERVABLE, EngineCrashed, EngineError, EngineUnavailable, ModelFileCorrupt
from app.metrics import ENGINE_QUEUE_DEPTH, ENGINE_READY, ENGINE_RESTARTS

_log = structlog.get_logger(__name__)

#: How much later than a job's deadline its last answers may come: the engine's own timeouts are on their way then.
_ANSWER_GRACE_S = 0.1
#: After so many failed starts in a row nobody is made to wait for the next one.
_STARTS_BEFORE_HOPELESS = 3
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 10.0
_MOST_CRASHES = 2
#: Jobs given to the process beyond those it works on, so that the next picture is there when one is done.
_AHEAD = 2


class LocalEngine:
    """The resident model in a process of its own, watched and restarted. Satisfies `app.moderation.ports.Engine`.

    Jobs wait in one queue, and a few at a time are in the process, which works on them together.
    """

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._info = EngineInfo(
            name=config.files.name, state=EngineState.STOPPED, demonstration=config.files.demonstration
        )
        self._changed = asyncio.Event()
        self._numbers = itertools.count(1)
        self._waiting: list[PendingJob] = []
        self._wake = asyncio.Event()
        self._sent = asyncio.Event()
        self._flight: Flight | None = None
        self._process: EngineProcess | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._quarantine = Quarantine()
        self._lives = 0
        self._failed_starts = 0
        #: Lives in a row without one job answered to its end.
        self._fruitless_lives = 0

    @property
    def info(self) -> EngineInfo:
        return replace(self._info, queue_depth=self._depth())

    @property
    def pid(self) -> int | None:
        """Of the engine process, while it is ready."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Returns at once; `info.state` says when the model is ready. A missing file is a state, not an exception."""
        if self._supervisor is None:
            self._become(EngineState.STARTING, "the model is being loaded")
            self._supervisor = asyncio.create_task(self._supervise(), name="engine")

    async def wait_ready(self, timeout_s: float) -> EngineInfo:
        """The info of the ready engine. Raises EngineUnavailable with the reason when it is not ready by then, or as
        soon as there is no hope of it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._info.state in {EngineState.STARTING, EngineState.RESTARTING}:
                    await self._changed.wait()
        if self._info.state is not EngineState.READY:
            raise EngineUnavailable(self._info.detail or f"the engine is {self._info.state}")
        return self.info

    def ask(self, job: EngineJob) -> AnswerStream:
        """See `app.moderation.ports.Engine.ask`."""
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
        self._become(EngineState.STOPPED, None)
        for pending in self._flight or ():
            pending.end(Status.FAILED, Reason.ENGINE_UNAVAILABLE)
        self._fail_waiting()
        if supervisor is not None:
            supervisor.cancel()
            await asyncio.gather(supervisor, return_exceptions=True)

    def _admit(self, pending: PendingJob) -> None:
        pending.refuse_mistakes()
        wrong = unsound(pending.job.subject)
        if wrong is not None:
            _log.error("a job's subject is unsound", action="engine.refuse", job=pending.job.id, reason=wrong.value)
            pending.end(Status.FAILED, wrong)
        elif self._info.state in {EngineState.FAILED, EngineState.STOPPED}:
            pending.end(Status.FAILED, Reason.ENGINE_UNAVAILABLE)
        elif self._may_run(pending):
            self._waiting.append(pending)
            self._wake.set()
        self._count()

    def _may_run(self, pending: PendingJob) -> bool:
        """Whether there is still something to ask; ends the job where there is not."""
        if pending.open and pending.remaining_s <= 0:
            pending.end(Status.TIMEOUT, Reason.DEADLINE)
        elif pending.open and self._quarantine.watchful and self._quarantine.holds(pending.fingerprint):
            _log.warning("a picture that killed the engine is kept out", action="engine.quarantine", job=pending.job.id)
            pending.end(Status.FAILED, Reason.ENGINE_CRASH)
        return bool(pending.open)

    def _cancel(self, pending: PendingJob, question_ids: Collection[str], reason: str) -> None:
        numbers = pending.cancel(question_ids, reason)
        if numbers and self._flight is not None and pending in self._flight and self._process is not None:
            self._process.cancel(pending.number, numbers)
        if not pending.open and pending in self._waiting:
            self._waiting.remove(pending)
        self._count()

    def _withdraw(self, pending: PendingJob) -> None:
        """Nobody listens any more: what is left of the job is not done."""
        pending.abandon()
        if pending in self._waiting:
            self._waiting.remove(pending)
        elif self._flight is not None and pending in self._flight and self._process is not None:
            self._process.cancel(pending.number)
        self._count()

    async def _supervise(self) -> None:
        while True:
            try:
                await self._live()
            except EngineError as error:
                self._failed_starts += 1
                self._down(error)
            except Exception as error:
                _log.exception("the engine's supervisor failed", action="engine.supervise")
                self._failed_starts += 1
                self._down(EngineCrashed(f"the engine's supervisor failed: {type(error).__name__}"))
            await asyncio.sleep(self._pause_s())

    async def _live(self) -> None:
        """One life of the process, to its end. Raises EngineError when it does not begin."""
        checked = await asyncio.to_thread(check_files, self._config.files)
        process, ready = await EngineProcess.start(self._config, self._wake.set)
        try:
            if not checked.unchanged():
                raise ModelFileCorrupt(f"the files of '{self._config.files.name}' changed while they were loaded")
            self._process = process
            self._welcome(checked, ready)
            await self._serve(process, ready.longest_call_s)
        except EngineCrashed as error:
            self._fruitless_lives += 1
            self._down(error)
        finally:
            self._process = None
            await process.close()

    async def _serve(self, process: EngineProcess, longest_call_s: float) -> None:
        """Many jobs at once. Raises EngineCrashed when the process ends or hangs."""
        patience = Patience(self._config.hang_grace_s, longest_call_s)
        flight = self._flight = Flight(self._config.parallel_pictures + _AHEAD, patience)
        tasks = [
            asyncio.create_task(self._feed(process, flight)),
            asyncio.create_task(self._hear(process, flight)),
            asyncio.create_task(self._watch(flight)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._flight = None
        # From here to the new state nobody else runs: a caller that is answered now does not find a dead engine ready.
        self._crashed(flight)
        # None of the three returns; this raises what the first to end raised.
        done.pop().result()

    async def _feed(self, process: EngineProcess, flight: Flight) -> NoReturn:
        """Jobs to the process, as it has room for them."""
        while True:
            pending = self._next_job(flight)
            if pending is None:
                self._wake.clear()
                await self._wake.wait()
                continue
            try:
                await process.send(pending.ask(), pending.payload)
            except EngineCrashed:
                # What it said before it died is still to be heard: the end of that is the end of this life.
                await asyncio.Event().wait()

    def _next_job(self, flight: Flight) -> PendingJob | None:
        """The most urgent job, already counted as given; None while there is none or no room for it."""
        for pending in sorted(self._waiting, key=lambda waiting: waiting.urgency):
            if not self._may_run(pending):
                self._waiting.remove(pending)
                continue
            alone = pending.crashes > 0 or (
                self._quarantine.watchful and self._quarantine.suspects(pending.fingerprint)
            )
            if not flight.takes(alone=alone):
                return None
            self._waiting.remove(pending)
            flight.begin(pending, alone=alone)
            self._sent.set()
            return pending
        return None

    async def _hear(self, process: EngineProcess, flight: Flight) -> NoReturn:
        while True:
            message = await process.receive()
            landed = flight.heed(message)
            if landed is not None and isinstance(message, Done):
                self._landed(landed, message)

    def _landed(self, pending: PendingJob, done: Done) -> None:
        _log.debug(
            "job done",
            action="engine.job",
            job=pending.job.id,
            picture_tokens=done.picture_tokens,
            engine_ms=round(done.total_ms, 1),
        )
        # Only what the engine forgot to answer is still open here.
        pending.end(Status.FAILED, Reason.ENGINE_FAULT)
        if pending.started and pending.fruitful:
            self._fruitless_lives = 0
        if pending.started and pending.complete and self._quarantine.watchful:
            self._quarantine.clear(pending.fingerprint)
        self._wake.set()
        self._count()

    async def _watch(self, flight: Flight) -> NoReturn:
        """Raises EngineCrashed when the process hangs."""
        while True:
            self._sent.clear()
            hung_at = flight.hung_at
            pause_s = None if hung_at is None else hung_at - time.monotonic()
            if pause_s is not None and pause_s <= 0:
                grace_s = flight.patience.grace_s
                raise EngineCrashed(f"the engine process said nothing {grace_s:g} s after a deadline and was killed")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._sent.wait()

    def _crashed(self, flight: Flight) -> None:
        """The process is gone. The jobs it had begun with are asked again once, each alone, since any of their
        pictures may be why; the others merely go on waiting."""
        struck: dict[bytes, bool] = {}
        for pending in flight:
            if pending.started:
                pending.crashes += 1
                key = pending.fingerprint
                kept_out = struck[key] = struck[key] if key in struck else self._quarantine.strike(key)
                if pending.remaining_s <= 0:
                    pending.end(Status.TIMEOUT, Reason.DEADLINE)
                elif kept_out or pending.crashes >= _MOST_CRASHES:
                    pending.end(Status.FAILED, Reason.ENGINE_CRASH)
            if pending.open:
                self._waiting.append(pending)

    def _welcome(self, checked: CheckedFiles, ready: Ready) -> None:
        if self._lives:
            ENGINE_RESTARTS.inc()
        self._info = replace(
            self._info,
            model_digest=checked.model_digest,
            projector_digest=checked.projector_digest,
            restarts=self._lives,
        )
        self._lives += 1
        self._failed_starts = 0
        self._become(EngineState.READY, None)
        _log.info(
            "the model is ready",
            action="engine.ready",
            model=self._info.name,
            model_digest=checked.model_digest,
            projector_digest=checked.projector_digest,
            pid=self.pid,
            **ready.chosen(),
        )

    def _down(self, error: EngineError) -> None:
        gone = isinstance(error, UNSERVABLE)
        hopeless = gone or self._failed_starts >= _STARTS_BEFORE_HOPELESS
        self._become(EngineState.FAILED if hopeless else EngineState.RESTARTING, error.detail)
        _log.error("the engine is down", action="engine.down", code=error.code, detail=error.detail, hopeless=hopeless)
        if hopeless:
            self._fail_waiting()

    def _pause_s(self) -> float:
        """Before the next start: none after a first death, so that the job in flight can still make its deadline."""
        troubles = self._failed_starts + self._fruitless_lives
        if self._info.state is EngineState.RESTARTING and troubles <= 1:
            return 0.0
        return min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(troubles, 10))

    def _fail_waiting(self) -> None:
        while self._waiting:
            self._waiting.pop().end(Status.FAILED, Reason.ENGINE_UNAVAILABLE)
        self._count()

    def _become(self, state: EngineState, detail: str | None) -> None:
        self._info = replace(self._info, state=state, detail=detail)
        ENGINE_READY.set(state is EngineState.READY)
        self._changed.set()
        self._changed = asyncio.Event()

    def _depth(self) -> int:
        return len(self._waiting) + sum(bool(pending.open) for pending in self._flight or ())

    def _count(self) -> None:
        ENGINE_QUEUE_DEPTH.set(self._depth())
