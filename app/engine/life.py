"""One life of the engine process, from when it is ready to its end: jobs in, answers out, and an eye on the clock."""

import asyncio
import time
from collections.abc import Callable
from typing import NoReturn

import structlog

from app.engine.deaths import Death
from app.engine.dispatch import Dispatch
from app.engine.flight import Flight
from app.engine.pending import PendingJob
from app.engine.process import EngineProcess
from app.engine.worker.protocol import Done
from app.errors import EngineCrashed
from app.metrics import ENGINE_DRAFT_TOKENS

_log = structlog.get_logger(__name__)

#: A loop that stood still has not listened either: what the process said meanwhile is heard before it is judged.
_LISTEN_S = 0.05


class Life:
    """`on_answered` is called for each job that the process answered to its end, `on_overdue` when it becomes overdue
    and when it is heard again."""

    def __init__(
        self,
        process: EngineProcess,
        flight: Flight,
        dispatch: Dispatch,
        on_answered: Callable[[], None],
        on_overdue: Callable[[], None],
    ) -> None:
        self._process, self._flight, self._dispatch = process, flight, dispatch
        self._on_answered, self._on_overdue = on_answered, on_overdue
        self._news = asyncio.Event()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def jobs(self) -> int:
        return len(self._flight)

    @property
    def overdue(self) -> bool:
        return self._flight.overdue

    async def serve(self) -> None:
        """Many jobs at once. Raises EngineCrashed when the process ends or hangs."""
        self._dispatch.flights.append(self._flight)
        tasks = [asyncio.create_task(part()) for part in (self._feed, self._hear, self._watch)]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            try:
                await asyncio.gather(*tasks, return_exceptions=True)
            finally:
                self._dispatch.flights.remove(self._flight)
        # From here to the new state nobody else runs: a caller that is answered now does not find a dead engine ready.
        self._dispatch.crashed(self._flight)
        # None of the three returns; this raises what the first to end raised.
        done.pop().result()

    def cancel(self, pending: PendingJob, numbers: tuple[int, ...] | None = None) -> None:
        """What the process has of it: the whole job, or these questions."""
        if self._flight in self._dispatch.flights and pending in self._flight:
            self._process.cancel(pending.number, numbers)

    async def _feed(self) -> NoReturn:
        """Jobs to the process, as it has room for them."""
        while True:
            pending = self._dispatch.next_job(self._flight)
            if pending is None:
                self._dispatch.wake.clear()
                await self._dispatch.wake.wait()
                continue
            self._news.set()
            try:
                await self._process.send(pending.ask(), pending.payload)
            except EngineCrashed:
                # What it said before it died is still to be heard: the end of that is the end of this life.
                await asyncio.Event().wait()
            self._flight.sending = False

    async def _hear(self) -> NoReturn:
        while True:
            message = await self._process.receive()
            landed = self._flight.heed(message)
            self._set_overdue(overdue=False)
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
        ENGINE_DRAFT_TOKENS.labels("yes").inc(done.foreseen_tokens)
        ENGINE_DRAFT_TOKENS.labels("no").inc(max(0, done.drafted_tokens - done.foreseen_tokens))
        if pending.started and pending.fruitful:
            self._flight.doubtful = False
            self._on_answered()

    async def _watch(self) -> NoReturn:
        """Raises EngineCrashed when the process hangs."""
        while True:
            self._news.clear()
            pause_s = self._judge()
            try:
                async with asyncio.timeout(pause_s):
                    await self._news.wait()
            except TimeoutError:
                await asyncio.sleep(_LISTEN_S)

    def _judge(self) -> float | None:
        """Whether the process is overdue, or hangs; and in how many seconds of silence that would be another matter."""
        since = self._flight.owing_since
        if since is None:
            return None
        silent_s, patience = time.monotonic() - since, self._flight.patience
        if silent_s >= patience.grace_s:
            raise EngineCrashed(
                f"the engine process said nothing {patience.grace_s:g} s after a deadline and was killed",
                cause=Death.HANG,
            )
        if silent_s < patience.doubt_s:
            return patience.doubt_s - silent_s
        self._set_overdue(overdue=True)
        return patience.grace_s - silent_s

    def _set_overdue(self, *, overdue: bool) -> None:
        if overdue != self._flight.overdue:
            self._flight.overdue = overdue
            self._news.set()
            self._on_overdue()
