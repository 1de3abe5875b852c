"""Transactions that come while one is being committed go into the next one together.

Bringing a commit to the disk takes as long for eight transactions as for one. Nobody is made to wait for company: the
first to come goes at once, whoever comes meanwhile shares the next.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from app.errors import StoreUnavailable
from app.store.writer import Locked, Raised, Work, WriterThread

#: So that a session that writes does not wait long for its turn.
_LARGEST_GROUP = 64


@dataclass(slots=True, eq=False)
class _Waiting:
    """`give_up_at` is on `time.monotonic()`'s clock; `begun` is there when the work's group is in the thread."""

    work: Work
    give_up_at: float
    answered: "asyncio.Future[Any]"
    begun: "asyncio.Future[list[Any]] | None" = None

    def settle(self, end: Any) -> None:
        """With what it returned, or Raised. Nobody hears it who has left."""
        if not self.answered.done():
            self.answered.set_result(end)

    @property
    def left_s(self) -> float:
        return max(0.0, self.give_up_at - time.monotonic())


class Commits:
    """One event loop uses it. `turn` is what every writer of this process takes first. `require_open` raises where
    nothing may be written any more; `options` are the execution options of a transaction that may wait for other
    processes for so many seconds."""

    def __init__(
        self,
        writer: WriterThread,
        turn: asyncio.Lock,
        *,
        patience_s: float,
        options: Callable[[float], dict[str, object]],
        require_open: Callable[[], None],
    ) -> None:
        self._writer = writer
        self._turn = turn
        self._patience_s = patience_s
        self._options = options
        self._require_open = require_open
        #: The longest there first.
        self._queue: deque[_Waiting] = deque()
        self._task: asyncio.Task[None] | None = None

    async def run(self, work: Work) -> Any:
        """What `work` returns, committed. Raises what it raises, TimeoutError when there was no turn in time, and what
        the database said.

        A caller that is cancelled before its transaction began leaves without one; after that only when it is over: it
        may be committed all the same.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(work, time.monotonic() + self._patience_s, loop.create_future())
        self._queue.append(waiting)
        if self._task is None:
            self._task = loop.create_task(self._work_off())
        try:
            end = await waiting.answered
        except asyncio.CancelledError:
            if waiting.begun is not None:
                await asyncio.wait((waiting.begun,))
            raise
        if isinstance(end, Raised):
            raise end.error
        return end

    async def aclose(self) -> None:
        """What has begun is finished; who waits is told that the database is closed."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._close_queue()  # a task that is cancelled before its first step does not come to it
        await self._writer.aclose()

    async def _work_off(self) -> None:
        try:
            while self._queue:
                await self._next()
        finally:
            self._task = None
            self._close_queue()

    def _close_queue(self) -> None:
        _refuse(self._queue, StoreUnavailable("the database is closed"))
        self._queue.clear()

    async def _next(self) -> None:
        """The next group, or the end of the patience of those that have waited longest."""
        try:
            async with asyncio.timeout(self._queue[0].left_s):
                await self._turn.acquire()
        except TimeoutError as late:
            while self._queue and self._queue[0].left_s == 0:
                self._queue.popleft().settle(Raised(late))
            return
        group = [self._queue.popleft() for _ in range(min(len(self._queue), _LARGEST_GROUP))]
        try:
            await self._commit(group)
        except StoreUnavailable as closed:
            _refuse(group, closed)
        finally:
            self._turn.release()
            _refuse(group, StoreUnavailable("the database is closed"))

    async def _commit(self, group: Sequence[_Waiting]) -> None:
        """Tried again where another process keeps the database for longer than the first of them waits: the others
        have come later."""
        while group := [one for one in group if not one.answered.done()]:
            self._require_open()
            call = self._writer.start([one.work for one in group], **self._options(group[0].left_s))
            for one in group:
                one.begun = call
            try:
                await _end(call)
            finally:
                _settle(group, call)


async def _end(call: "asyncio.Future[list[Any]]") -> None:
    """Until it is over, also where this task is cancelled meanwhile: nobody may come in beside it."""
    cancelled = None
    while not call.done():
        try:
            await asyncio.wait((call,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


def _settle(group: Sequence[_Waiting], call: "asyncio.Future[list[Any]]") -> None:
    """Those that another process did not let begin wait on, but for the first of them."""
    try:
        ends = call.result()
    except Locked as locked:
        group[0].settle(Raised(locked.error))
    except Exception as error:  # nothing was written of any of them
        _refuse(group, error)
    else:
        for one, end in zip(group, ends, strict=True):
            one.settle(end)


def _refuse(group: Iterable[_Waiting], error: Exception) -> None:
    for one in group:
        one.settle(Raised(error))
