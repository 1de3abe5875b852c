"""The clock of one decision: what is left of its deadline, and where the time went."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from app.metrics import STAGE_SECONDS

#: Kept back from the deadline for matching, evaluating and committing, in seconds.
FINISH_RESERVE_S = 0.3

_histogram = cache(STAGE_SECONDS.labels)


class Stopwatch:
    """`deadline_at` is on `time.monotonic()`'s clock, in seconds."""

    def __init__(self, deadline_s: float) -> None:
        self._started_at = time.monotonic()
        self.deadline_at = self._started_at + deadline_s
        self._stages_ms: dict[str, float] = {}

    def remaining_s(self, *, reserve_s: float = 0.0) -> float:
        """Seconds until the deadline less `reserve_s`, never negative."""
        return max(0.0, self.deadline_at - reserve_s - time.monotonic())

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started_at = time.monotonic()
        try:
            yield
        finally:
            elapsed_s = time.monotonic() - started_at
            self._stages_ms[name] = round(elapsed_s * 1000, 1)
            _histogram(name).observe(elapsed_s)

    def timing_ms(self) -> dict[str, float]:
        """`total` up to now, then each stage that ran; stages that ran side by side overlap."""
        elapsed_s = time.monotonic() - self._started_at
        _histogram("total").observe(elapsed_s)
        return {"total": round(elapsed_s * 1000, 1), **self._stages_ms}
