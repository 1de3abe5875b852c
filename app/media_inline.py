"""Media workers without processes, for tests: the same contract, but nothing is killed and nothing survives a crash."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple, Unpack

from app.errors import WorkerTimeout

Args = TypeVarTuple("Args")
Result = TypeVar("Result")


class InlineWorkers:
    """`app.workers.Workers` in threads of this process. A call that times out runs on unseen: never serve with it."""

    async def run(self, function: Callable[[Unpack[Args]], Result], *args: *Args, timeout_s: float) -> Result:
        started = time.monotonic()
        call = asyncio.create_task(asyncio.to_thread(function, *args))
        done, _ = await asyncio.wait({call}, timeout=timeout_s)
        if not done:
            call.cancel()
            raise WorkerTimeout(f"no result after {timeout_s:.1f} s", ran_s=time.monotonic() - started)
        return call.result()
