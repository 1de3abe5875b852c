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
from app.engine.worker.protocol import Answered, Ask, Done, FromEngine, Started
from app.errors import EngineCrashed


class ScriptedProcess:
    """Each thing takes it so many turns of the loop, and it dies over the jobs of `deadly` numbers."""

    pid = 1

    def __init__(self, turns: Callable[[], int], deadly: frozenset[int]) -> None:
        self._turns, self._deadly = turns, deadly
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

    async def _answer(self, ask: Ask) -> None:
        self._said.put_nowait(Started(job=ask.job))
        await self._wait()
        if ask.job in self._deadly:
            self._said.put_nowait(None)
            return
        for asked in ask.questions:
            self._said.put_nowait(Answered(job=ask.job, number=asked.number, status=Status.OK, log_yes=-1, log_no=-1))
        self._said.put_nowait(Done(job=ask.job))

    async def _wait(self) -> None:
        for _ in range(self._turns()):
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def lives(dispatch: Dispatch, count: int, process: Callable[[], ScriptedProcess]) -> AsyncIterator[list[int]]:
    """So many processes, each replaced when it dies; a list that grows with each death."""
    deaths: list[int] = []

    async def live(number: int) -> None:
        while True:
            flight = Flight(3, Patience(None, 0.01), str(number))
            life = Life(cast(EngineProcess, process()), flight, dispatch, lambda: None, dispatch.wake.set)
            try:
                await life.serve()
            except EngineCrashed:
                deaths.append(number)
                dispatch.wake.set()

    tasks = [asyncio.create_task(live(number)) for number in range(count)]
    try:
        yield deaths
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
