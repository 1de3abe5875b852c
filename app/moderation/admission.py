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
    """Uploads and bytes of uploads in work at once, and engine jobs that may wait. As many uploads and bytes again may
    be at hand of which nothing has to be asked, or of which that is still being looked up."""

    uploads: int
    upload_bytes: int
    engine_jobs: int


class _Room:
    def __init__(self, limits: AdmissionLimits) -> None:
        self._limits = limits
        self.uploads = 0
        self._upload_bytes = 0

    def enter(self, size_bytes: int) -> None:
        """Raises QueueFull."""
        if self.uploads >= self._limits.uploads:
            raise QueueFull(f"{self.uploads} uploads are already in work", retry_after_s=_RETRY_AFTER_S)
        if self.uploads and self._upload_bytes + size_bytes > self._limits.upload_bytes:
            raise QueueFull("too many bytes of uploads are already in work", retry_after_s=_RETRY_AFTER_S)
        self.uploads += 1
        self._upload_bytes += size_bytes

    def leave(self, size_bytes: int) -> None:
        self.uploads -= 1
        self._upload_bytes -= size_bytes


class Place:
    """Of one upload: at hand, and then in work once something has to be asked."""

    def __init__(self, at_hand: _Room, in_work: _Room, limits: AdmissionLimits, size_bytes: int) -> None:
        self._at_hand = at_hand
        self._in_work = in_work
        self._limits = limits
        self._size_bytes = size_bytes
        self._room = at_hand
        at_hand.enter(size_bytes)

    def ask(self, *, engine_queue_depth: int) -> None:
        """Something of the picture has to be found out. Raises QueueFull where there is no room for that."""
        if engine_queue_depth >= self._limits.engine_jobs:
            raise QueueFull(f"{engine_queue_depth} pictures already wait for the model", retry_after_s=_RETRY_AFTER_S)
        self._in_work.enter(self._size_bytes)
        self.leave()
        self._room = self._in_work

    def leave(self) -> None:
        self._room.leave(self._size_bytes)


class Admission:
    """Counts what is in work. One event loop uses it, so it needs no lock.

    Uploads wait for the model and the media workers in a room of their own: one of which everything is known needs
    neither, and is neither refused nor held up because others wait for them.
    """

    def __init__(self, limits: AdmissionLimits) -> None:
        self._limits = limits
        self._at_hand = _Room(limits)
        self._in_work = _Room(limits)

    @contextmanager
    def admit(self, size_bytes: int) -> Iterator[Place]:
        """Room for one upload while the context is open. Raises QueueFull when there is none."""
        place = Place(self._at_hand, self._in_work, self._limits, size_bytes)
        self._tell()
        try:
            yield place
        finally:
            place.leave()
            self._tell()

    def _tell(self) -> None:
        UPLOADS_IN_FLIGHT.set(self._at_hand.uploads + self._in_work.uploads)
