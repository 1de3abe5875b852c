"""Pictures that killed the engine process twice are not shown to it again."""

import hashlib
from collections import OrderedDict

_STRIKES_TO_KEEP_OUT = 2


class Quarantine:
    """Counts, for the last `capacity` pictures under suspicion, how often the process died over each. A picture that
    is answered is no longer under suspicion: something else had killed the process."""

    def __init__(self, capacity: int = 4096) -> None:
        self._capacity = capacity
        self._strikes: OrderedDict[bytes, int] = OrderedDict()

    def holds(self, rgb: bytes) -> bool:
        # Hashing megabytes for every job would be waste while nothing is under suspicion.
        return bool(self._strikes) and self._strikes.get(_digest(rgb), 0) >= _STRIKES_TO_KEEP_OUT

    def strike(self, rgb: bytes) -> bool:
        """The process died over this picture. Whether it is kept out from now on."""
        digest = _digest(rgb)
        self._strikes[digest] = strikes = self._strikes.pop(digest, 0) + 1
        while len(self._strikes) > self._capacity:
            self._strikes.popitem(last=False)
        return strikes >= _STRIKES_TO_KEEP_OUT

    def clear(self, rgb: bytes) -> None:
        if self._strikes:
            self._strikes.pop(_digest(rgb), None)


def _digest(rgb: bytes) -> bytes:
    return hashlib.sha256(rgb).digest()
