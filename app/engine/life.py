"""One life of the engine process, from when it is ready to its end: jobs in, answers out, and an eye on the clock."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import NoReturn

import structlog

from app.engine.dispatch import Dispatch
from app.engine.flight import Flight
from app.engine.pending import PendingJob
from app.engine.process import EngineProcess
from app.engine.worker.protocol import Done
from app.errors import EngineCrashed

_log = structlog.get_logger(__name__)


class Life:
    """`on_answered` is called for each job that the process answered to its end."""

    def __init__(
        self, process: EngineProcess, flight: Flight, dispatch: Dispatch, on_answered: Callable[[], None]
    ) -> None:
        self._process, self._flight, self._dispatch = process, flight, dispatch
        self._on_answered = on_answered
        self._sent = asyncio.Event()

    @property
    def pid(self) -> int:
        return self._process.pid

    async def serve(self) -> None:
        """Many jobs at once. Raises EngineCrashed when the process ends or hangs."""
        self._dispatch.flight = self._flight
        tasks = [asyncio.create_task(part()) for part in (self._feed, self._hear, self._watch)]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._dispatch.flight = None
        # From here to the new state nobody else runs: a caller that is answered now does not find a dead engine ready.
        self._dispatch.crashed(self._flight)
        # None of the three returns; this raises what the first to end raised.
        done.pop().result()

    def cancel(self, pending: PendingJob, numbers: tuple[int, ...] | None = None) -> None:
        """What the process has of it: the whole job, or these questions."""
        if self._dispatch.flight is self._flight and pending in self._flight:
            self._process.cancel(pending.number, numbers)

    async def _feed(self) -> NoReturn:
        """Jobs to the process, as it has room for them."""
        while True:
            pending = self._dispatch.next_job(self._flight)
            if pending is None:
                self._dispatch.wake.clear()
                await self._dispatch.wake.wait()
                continue
            self._sent.set()
            try:
                await self._process.send(pending.ask(), pending.payload)
            except EngineCrashed:
                # What it said before it died is still to be heard: the end of that is the end of this life.
                await asyncio.Event().wait()

    async def _hear(self) -> NoReturn:
        while True:
            message = await self._process.receive()
            landed = self._flight.heed(message)
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
        self._dispatch.landed(pending)
        if pending.started and pending.fruitful:
            self._on_answered()

    async def _watch(self) -> NoReturn:
        """Raises EngineCrashed when the process hangs."""
        while True:
            self._sent.clear()
            hung_at = self._flight.hung_at
            pause_s = None if hung_at is None else hung_at - time.monotonic()
            if pause_s is not None and pause_s <= 0:
                grace_s = self._flight.patience.grace_s
                raise EngineCrashed(f"the engine process said nothing {grace_s:g} s after a deadline and was killed")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._sent.wait()
