"""When to stop asking a server that does not answer. Pure but for the clock."""

import time
from collections import deque
from collections.abc import Callable


class Breaker:
    """Opens when `failures` came within `window_s` and no success between them. It does not close by itself: whoever
    tried the server with success resets it."""

    def __init__(self, failures: int, window_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._window_s = window_s
        self._clock = clock
        self._failed_at: deque[float] = deque(maxlen=failures)
        self._open = False
        #: Ever since.
        self.successes = 0

    @property
    def open(self) -> bool:
        return self._open

    def succeeded(self) -> None:
        """One late success of a request that was under way does not close what many failures opened."""
        self.successes += 1
        self._failed_at.clear()

    def failed(self) -> bool:
        """Whether this failure opened it."""
        now = self._clock()
        self._failed_at.append(now)
        full = len(self._failed_at) == self._failed_at.maxlen
        opens = not self._open and full and now - self._failed_at[0] <= self._window_s
        self._open = self._open or opens
        return opens

    def trip(self) -> None:
        self._open = True

    def reset(self) -> None:
        self._failed_at.clear()
        self._open = False
