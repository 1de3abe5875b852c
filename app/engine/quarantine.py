"""Pictures that killed the engine process, and did again alone, are not shown to it again for a while."""

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
    place: str
    until: float


class Quarantine:
    """Counts, for the last `capacity` pictures under suspicion, how often the process died over each. A picture that
    is answered is no longer under suspicion: something else had killed the process. Pictures go by fingerprint."""

    def __init__(self, capacity: int = 4096, clock: Callable[[], float] = time.monotonic) -> None:
        self._capacity = capacity
        self._clock = clock
        self._suspects: OrderedDict[bytes, _Suspicion] = OrderedDict()

    @property
    def watchful(self) -> bool:
        """Whether any picture is under suspicion. While none is, nothing needs a fingerprint."""
        return bool(self._suspects)

    @property
    def kept_out(self) -> int:
        """How many pictures."""
        return sum(self.holds(picture) for picture in list(self._suspects))

    def holds(self, picture: bytes) -> bool:
        return self._strikes(picture) >= _STRIKES_TO_KEEP_OUT

    def suspects(self, picture: bytes) -> bool:
        """Whether the process has died over this picture lately."""
        return self._strikes(picture) > 0

    def died_at(self, picture: bytes) -> str | None:
        """The place of the process that died over it last."""
        return self._suspects[picture].place if self.suspects(picture) else None

    def strike(self, picture: bytes, place: str, *, alone: bool) -> bool:
        """The process at this place died over this picture, `alone` or among others, of which any may have been why:
        that is a suspicion, however often it happens. Whether it is kept out from now on."""
        strikes = self._strikes(picture) + 1 if alone else max(1, self._strikes(picture))
        self._suspects[picture] = _Suspicion(strikes, place, self._clock() + _SUSPICION_S)
        self._suspects.move_to_end(picture)
        while len(self._suspects) > self._capacity:
            self._suspects.popitem(last=False)
        return strikes >= _STRIKES_TO_KEEP_OUT

    def clear(self, picture: bytes) -> None:
        self._suspects.pop(picture, None)

    def _strikes(self, picture: bytes) -> int:
        suspicion = self._suspects.get(picture)
        if suspicion is None:
            return 0
        if suspicion.until <= self._clock():
            del self._suspects[picture]
            return 0
        return suspicion.strikes
