"""Keeps one engine process running."""

import asyncio
from collections.abc import Callable

import structlog

from app.domain import EngineProcessInfo, EngineState
from app.engine.base import EngineConfig
from app.engine.dispatch import Dispatch
from app.engine.files import CheckedFiles
from app.engine.flight import Flight
from app.engine.life import Life
from app.engine.patience import Patience
from app.engine.pending import PendingJob
from app.engine.places import Place
from app.engine.process import EngineProcess
from app.engine.restarts import Restarts
from app.engine.served import ServedFiles
from app.engine.worker.protocol import Ready
from app.errors import UNSERVABLE, EngineCrashed, EngineError, EngineUnavailable
from app.metrics import ENGINE_DEATHS, ENGINE_RESTARTS

_log = structlog.get_logger(__name__)

#: Jobs given to the process beyond those it works on, so that the next picture is there when one is done.
_AHEAD = 2
#: Of a process that owes an answer. Always the same words: a page or a monitor shows them.
_SILENT = "the engine process has said nothing since a job's deadline"


class Supervisor:
    """Life after life of one process, with pauses of its own between them. Jobs and files it shares with others.

    `on_change` is called whenever its state is another one.
    """

    def __init__(
        self, config: EngineConfig, place: Place, dispatch: Dispatch, files: ServedFiles, on_change: Callable[[], None]
    ) -> None:
        self._config, self._place, self._dispatch, self._files = config, place, dispatch, files
        self._on_change = on_change
        self._state = EngineState.STOPPED
        self._detail: str | None = None
        self._restarts = Restarts()
        self._lives = 0
        self._life: Life | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def info(self) -> EngineProcessInfo:
        return EngineProcessInfo(
            name=self._place.name,
            state=self._state,
            detail=self._detail,
            restarts=max(0, self._lives - 1),
            jobs=0 if self._life is None else self._life.jobs,
        )

    @property
    def pid(self) -> int | None:
        """While it serves."""
        return None if self._life is None else self._life.pid

    @property
    def coming(self) -> bool:
        """Whether it may well serve soon, and does not now. One that could not be started at the first go is not
        waited for."""
        under_way = {EngineState.STARTING, EngineState.RESTARTING}
        return self._state is EngineState.OVERDUE or (self._state in under_way and not self._restarts.failing)

    def start(self) -> None:
        self._state, self._detail = EngineState.STARTING, "the model is being loaded"
        self._task = asyncio.create_task(self._supervise(), name=f"engine {self._place.name}")

    async def stop(self) -> None:
        task, self._task = self._task, None
        self._state, self._detail = EngineState.STOPPED, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def cancel(self, pending: PendingJob, numbers: tuple[int, ...] | None = None) -> None:
        """What the process has of it: the whole job, or these questions."""
        if self._life is not None:
            self._life.cancel(pending, numbers)

    def _become(self, state: EngineState, detail: str | None) -> None:
        self._state, self._detail = state, detail
        self._on_change()

    async def _supervise(self) -> None:
        while True:
            try:
                await self._live()
            except EngineError as error:
                self._restarts.start_failed()
                self._down(error)
            except Exception as error:
                _log.exception("the engine's supervisor failed", action="engine.supervise", process=self._place.name)
                self._restarts.start_failed()
                self._down(EngineUnavailable(f"the engine's supervisor failed: {type(error).__name__}"))
            at_once = self._state is EngineState.RESTARTING
            await asyncio.sleep(self._restarts.pause_s(first_at_once=at_once))

    async def _live(self) -> None:
        """One life of the process, to its end. Raises EngineError when it does not begin."""
        checked = await self._files.check()
        process, ready = await EngineProcess.start(self._config, self._dispatch.wake.set, self._place.gpu)
        try:
            self._files.take_up(self._place.name, checked)
            patience = Patience(self._config.hang_grace_s, ready.longest_call_s)
            room, doubtful = self._config.parallel_pictures + _AHEAD, self._restarts.fruitless
            flight = Flight(room, patience, self._place.name, doubtful=doubtful)
            self._life = Life(process, flight, self._dispatch, self._restarts.answered, self._overdue_or_not)
            self._welcome(checked, ready)
            await self._life.serve()
        except EngineCrashed as error:
            self._restarts.died()
            self._down(error)
        finally:
            self._life = None
            self._files.lay_down(self._place.name)
            await process.close()

    def _welcome(self, checked: CheckedFiles, ready: Ready) -> None:
        if self._lives:
            ENGINE_RESTARTS.inc()
        self._lives += 1
        self._restarts.started()
        self._become(EngineState.READY, None)
        _log.info(
            "the model is ready",
            action="engine.ready",
            model=self._config.files.name,
            process=self._place.name,
            model_digest=checked.model_digest,
            projector_digest=checked.projector_digest,
            pid=self.pid,
            **ready.chosen(),
        )

    def _overdue_or_not(self) -> None:
        if self._life is not None and self._life.overdue:
            _log.warning("the engine is overdue", action="engine.overdue", process=self._place.name, pid=self.pid)
            self._become(EngineState.OVERDUE, _SILENT)
        else:
            _log.info("the engine speaks again", action="engine.heard", process=self._place.name, pid=self.pid)
            self._become(EngineState.READY, None)

    def _down(self, error: EngineError) -> None:
        if isinstance(error, EngineCrashed):
            ENGINE_DEATHS.labels(error.cause).inc()
        hopeless = isinstance(error, UNSERVABLE) or self._restarts.hopeless
        _log.error(
            "the engine is down",
            action="engine.down",
            process=self._place.name,
            code=error.code,
            detail=error.detail,
            hopeless=hopeless,
        )
        self._become(EngineState.FAILED if hopeless else EngineState.RESTARTING, error.detail)
