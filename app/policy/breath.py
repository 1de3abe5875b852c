"""Loading a policy beside uploads. A thread that computes gives the interpreter's lock back only every 5 ms, and an
upload asks for it some dozens of times: whoever loads a large policy rests now and then, so that nobody waits for long.
"""

import threading
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_WORK_S = 0.001
_REST_S = 0.001

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
