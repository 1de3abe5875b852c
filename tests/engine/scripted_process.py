"""A process that answers by a script, for what happens between many of them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import cast

from app.domain import Status
from app.engine.deaths import Death
from app.engine.dispatch import Dispatch
from app.engine.flight import Flight
from app.engine.life import Life
from app.engine.patience import Patience
from app.engine.process import EngineProcess
from app.engine.restarts import Restarts
from app.engine.worker.protocol import Answered, Ask, Done, FromEngine, Started
from app.errors import EngineCrashed


class ScriptedProcess:
    """Each thing takes it so many turns of the loop. `answer` gives the status of the answers to a job by its number,
    or None, and it dies over it."""

    pid = 1

    def __init__(self, turns: Callable[[], int], answer: Callable[[int], Status | None] = lambda _: Status.OK) -> None:
        self._turns, self._status = turns, answer
        self._said: asyncio.Queue[FromEngine | None] = asyncio.Queue()
        self._work: set[asyncio.Task[None]] = set()

    async def send(self, message: Ask, _payload: bytes) -> None:
        await self._wait()
        self._work.add(asyncio.create_task(self._answer(message)))

    async def receive(self) -> FromEngine:
        said = await self._said.get()
        if said is None:
            raise EngineCrashed("it died", cause=Death.ABORTED)
        return said

    def cancel(self, job: int, numbers: tuple[int, ...] | None = None) -> None: ...

    def die(self) -> None:
        self._said.put_nowait(None)

    async def _answer(self, ask: Ask) -> None:
        self._said.put_nowait(Started(job=ask.job))
        await self._wait()
        status = self._status(ask.job)
        if status is None:
            self.die()
            return
        for asked in ask.questions:
            self._said.put_nowait(Answered(job=ask.job, number=asked.number, status=status, log_yes=-1, log_no=-1))
        self._said.put_nowait(Done(job=ask.job))

    async def _wait(self) -> None:
        for _ in range(self._turns()):
            await asyncio.sleep(0)


class Lives:
    """So many processes, each replaced some turns after it died, as their supervisors do it."""

    def __init__(self, dispatch: Dispatch, process: Callable[[str], ScriptedProcess], turns: Callable[[], int]) -> None:
        self._dispatch, self._process, self._turns = dispatch, process, turns
        self.alive: dict[str, ScriptedProcess] = {}
        self.deaths = 0

    @contextlib.asynccontextmanager
    async def running(self, count: int) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._live(str(number))) for number in range(count)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(ended, Exception):
                    raise ended

    async def _live(self, place: str) -> None:
        restarts = Restarts()
        while True:
            for _ in range(self._turns()):
                await asyncio.sleep(0)
            process = self.alive[place] = self._process(place)
            flight = Flight(3, Patience(None, 0.01), place, doubtful=restarts.fruitless)
            wake = self._dispatch.wake.set
            life = Life(cast(EngineProcess, process), flight, self._dispatch, restarts.answered, wake)
            wake()
            try:
                await life.serve()
            except EngineCrashed:
                restarts.died()
                self.deaths += 1
                del self.alive[place]
                wake()
