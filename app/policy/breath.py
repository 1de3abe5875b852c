"""Working beside uploads. A thread that computes gives the interpreter's lock back only every 5 ms, and an upload asks
for it some dozens of times: whoever has much to do in a thread rests now and then, so that nobody waits for long. What
can be cut into pieces is done in the event loop itself, which has everything else that is ready go first.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Generator
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_WORK_S = 0.001
_REST_S = 0.001
#: Of the event loop, a piece and then at least such a pause: whoever is at work in it loses a fifth of its time.
_PIECE_S, _PAUSE_S = 0.0005, 0.002

_beside = threading.local()


def considerate(function: Callable[P, R]) -> Callable[P, R]:
    """The function, resting at each `breathe` that is due. For threads beside an event loop."""

    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        _beside.due_at = time.perf_counter() + _WORK_S
        try:
            return function(*args, **kwargs)
        finally:
            _beside.due_at = None

    return run


def breathe() -> None:
    """Rests if it is time to, and if somebody asked for it; otherwise this costs about 0.1 µs."""
    due_at = getattr(_beside, "due_at", None)
    if due_at is not None and time.perf_counter() >= due_at:
        time.sleep(_REST_S)
        _beside.due_at = time.perf_counter() + _WORK_S


def at_once(steps: Generator[None, None, R]) -> R:
    """What the steps return, for who has nobody beside."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: R = end.value
            return result


async def piecemeal(steps: Generator[None, None, R]) -> R:
    """What the steps return, some of them at a time, with pauses in between."""
    while True:
        turn_ends_at = time.perf_counter() + _PIECE_S
        try:
            while time.perf_counter() < turn_ends_at:
                next(steps)
        except StopIteration as end:
            result: R = end.value
            return result
        await asyncio.sleep(_PAUSE_S)
