"""Media workers: processes that can be killed, for work on untrusted pictures.

A decoder or an OCR network that runs away cannot be stopped in a thread. Rooms name a plain function and its
arguments; `app.main` hands them the pool.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar, TypeVarTuple, Unpack

Args = TypeVarTuple("Args")
Result = TypeVar("Result")


class Workers(Protocol):
    """Runs module-level functions with picklable arguments in killable processes."""

    async def run(self, function: Callable[[Unpack[Args]], Result], *args: *Args, timeout_s: float) -> Result:
        """The function's result; its own exceptions pass through.

        Raises WorkerTimeout after `timeout_s` (waiting for a free worker included; the process is killed), and
        WorkerCrashed when the process died, and WorkersNotRunning.
        """
        ...
