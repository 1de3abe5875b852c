"""Pictures that killed the engine process twice are not shown to it again for a while."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

_STRIKES_TO_KEEP_OUT = 2
#: A suspicion ends after this: the cause may have been the machine, and a picture must not wait for a person for ever
#: because of one bad hour. One that really kills costs two restarts each time.
_SUSPICION_S = 3600.0


@dataclass(frozen=True, slots=True)
class _Suspicion:
    strikes: int
    until: float


class Quarantine:
    """Counts, for the last `capacity` pictures under suspicion, how often the process died over each. A picture that
    is answered is no longer under suspicion: something else had killed the process."""

    def __init__(self, capacity: int = 4096, clock: Callable[[], float] = time.monotonic) -> None:
        self._capacity = capacity
        self._clock = clock
        self._suspects: OrderedDict[bytes, _Suspicion] = OrderedDict()

    def holds(self, rgb: bytes) -> bool:
        # Hashing megabytes for every job would be waste while nothing is under suspicion.
        return bool(self._suspects) and self._strikes(_digest(rgb)) >= _STRIKES_TO_KEEP_OUT

    def suspects(self, rgb: bytes) -> bool:
        """Whether the process has died over this picture lately."""
        return bool(self._suspects) and self._strikes(_digest(rgb)) > 0

    def strike(self, rgb: bytes) -> bool:
        """The process died over this picture. Whether it is kept out from now on."""
        digest = _digest(rgb)
        strikes = self._strikes(digest) + 1
        self._suspects[digest] = _Suspicion(strikes, self._clock() + _SUSPICION_S)
        self._suspects.move_to_end(digest)
        while len(self._suspects) > self._capacity:
            self._suspects.popitem(last=False)
        return strikes >= _STRIKES_TO_KEEP_OUT

    def clear(self, rgb: bytes) -> None:
        if self._suspects:
            self._suspects.pop(_digest(rgb), None)

    def _strikes(self, digest: bytes) -> int:
        suspicion = self._suspects.get(digest)
        if suspicion is None:
            return 0
        if suspicion.until <= self._clock():
            del self._suspects[digest]
            return 0
        return suspicion.strikes


def _digest(rgb: bytes) -> bytes:
    return hashlib.sha256(rgb).digest()
