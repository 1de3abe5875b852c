"""Refusal before acceptance: an upload is taken only if there is room to work on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from app.errors import QueueFull
from app.metrics import UPLOADS_IN_FLIGHT

#: A decision takes about a second on a CPU; by then a place has most likely come free.
_RETRY_AFTER_S = 2


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """Uploads and bytes of uploads in work at once, and engine jobs that may wait."""

    uploads: int
    upload_bytes: int
    engine_jobs: int


class Admission:
    """Counts what is in work. One event loop uses it, so it needs no lock."""

    def __init__(self, limits: AdmissionLimits) -> None:
        self._limits = limits
        self._uploads = 0
        self._upload_bytes = 0

    @contextmanager
    def admit(self, size_bytes: int, *, engine_queue_depth: int) -> Iterator[None]:
        """Room for one upload while the context is open. Raises QueueFull when there is none."""
        if self._uploads >= self._limits.uploads:
            raise QueueFull(f"{self._uploads} uploads are already in work", retry_after_s=_RETRY_AFTER_S)
        if self._uploads and self._upload_bytes + size_bytes > self._limits.upload_bytes:
            raise QueueFull("too many bytes of uploads are already in work", retry_after_s=_RETRY_AFTER_S)
        if engine_queue_depth >= self._limits.engine_jobs:
            raise QueueFull(f"{engine_queue_depth} pictures already wait for the model", retry_after_s=_RETRY_AFTER_S)
        self._uploads += 1
        self._upload_bytes += size_bytes
        UPLOADS_IN_FLIGHT.set(self._uploads)
        try:
            yield
        finally:
            self._uploads -= 1
            self._upload_bytes -= size_bytes
            UPLOADS_IN_FLIGHT.set(self._uploads)
