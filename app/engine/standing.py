"""What an engine says of itself, and waiting for it to be ready."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace

from app.domain import EngineInfo, EngineProcessInfo, EngineState
from app.errors import EngineUnavailable
from app.metrics import ENGINE_READY

_MAY_BECOME_READY = frozenset({EngineState.STARTING, EngineState.OVERDUE, EngineState.RESTARTING})
_BEST_FIRST = (
    EngineState.READY,
    EngineState.OVERDUE,
    EngineState.STARTING,
    EngineState.RESTARTING,
    EngineState.FAILED,
    EngineState.STOPPED,
)


class Standing:
    """Begins as stopped. `info` is never changed but replaced."""

    def __init__(self, name: str, *, demonstration: bool) -> None:
        self.info = EngineInfo(name=name, state=EngineState.STOPPED, demonstration=demonstration)
        self._changed = asyncio.Event()

    @property
    def is_over(self) -> bool:
        """Whether questions fail at once."""
        return self.info.state in {EngineState.FAILED, EngineState.STOPPED}

    def become(self, state: EngineState, detail: str | None) -> None:
        self.info = replace(self.info, state=state, detail=detail)
        ENGINE_READY.set(state is EngineState.READY)
        self._changed.set()
        self._changed = asyncio.Event()

    async def change(self) -> None:
        """Until the next one."""
        await self._changed.wait()

    async def wait_ready(self, timeout_s: float) -> None:
        """Raises EngineUnavailable with the reason when it is not ready by then, or as soon as it has failed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.info.state in _MAY_BECOME_READY:
                    await self.change()
        if self.info.state is not EngineState.READY:
            raise EngineUnavailable(self.info.detail or f"the engine is {self.info.state}")


def overall(processes: Sequence[EngineProcessInfo]) -> tuple[EngineState, str | None]:
    """An engine is as well as the best of its processes; the detail says what ails the others."""
    state = min((process.state for process in processes), key=_BEST_FIRST.index)
    ailing = [process for process in processes if process.state is not EngineState.READY]
    said = {process.detail for process in ailing}
    if len(ailing) == len(processes) and len(said) == 1:
        return state, said.pop()
    return state, "; ".join(f"{process.name}: {process.detail or process.state}" for process in ailing) or None
