"""The encoder's output for the last pictures: a new question on one of them needs no encoding."""

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

#: One picture token after another, as the encoder gave them.
Encoding = NDArray[np.float32]


class Encodings:
    """Bounded by bytes; what was used longest ago goes first. Keyed by the picture's digest and the place of the chunk
    in its prompt."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._held: OrderedDict[tuple[bytes, int], Encoding] = OrderedDict()
        self.bytes = 0

    def get(self, key: tuple[bytes, int]) -> Encoding | None:
        found = self._held.get(key)
        if found is not None:
            self._held.move_to_end(key)
        return found

    def put(self, key: tuple[bytes, int], encoding: Encoding) -> None:
        if encoding.nbytes > self._limit or key in self._held:
            return
        self._held[key] = encoding
        self.bytes += encoding.nbytes
        while self.bytes > self._limit:
            _, oldest = self._held.popitem(last=False)
            self.bytes -= oldest.nbytes
