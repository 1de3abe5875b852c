"""Whether the wall clock goes on as time does, or was set."""

import time
from collections.abc import Callable
from datetime import datetime

import structlog

log = structlog.get_logger(__name__)

#: A clock that is adjusted gains or loses half a millisecond a second; one that is set jumps.
_JUMP_S = 30.0
#: So long after it was set, or after the start, a clock is believed: what sets a wrong one right mostly takes minutes.
STEADY_AFTER_S = 3600.0


class SteadyClock:
    """`monotonic` is in seconds and never goes back. It stands still while a machine is suspended, as if the
    clock had been set."""

    def __init__(self, clock: Callable[[], datetime], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._ahead_s = self._how_far_ahead_s()
        self._believed_at = monotonic() + STEADY_AFTER_S
        self._steps = 0

    def steps(self) -> int:
        """How often it was seen to be set, until now."""
        self._look()
        return self._steps

    def is_steady(self) -> bool:
        """Whether it can be relied on for what cannot be taken back."""
        self._look()
        return self._monotonic() >= self._believed_at

    def _look(self) -> None:
        before_s, self._ahead_s = self._ahead_s, self._how_far_ahead_s()
        by_s = self._ahead_s - before_s
        if abs(by_s) >= _JUMP_S:
            self._steps += 1
            self._believed_at = self._monotonic() + STEADY_AFTER_S
            log.warning("the clock was set; nothing is deleted for a while", action="clock_set", by_s=round(by_s, 1))

    def _how_far_ahead_s(self) -> float:
        return self._clock().timestamp() - self._monotonic()
