"""The header of a GGUF file, read far enough to tell a whole file from a cut or foreign one.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3, little-endian).
"""

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.errors import ModelFileCorrupt

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_DEFAULT_ALIGNMENT = 32
_STRING, _ARRAY = 8, 9
#: Bytes of a scalar by its type number.
_SCALARS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_U32 = 4
#: Elements and bytes of a block by tensor type number. A type that is not here is only known to begin somewhere.
_BLOCKS = {
    **{0: (1, 4), 1: (1, 2), 30: (1, 2), 28: (1, 8), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8)},
    **{2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 20: (32, 18)},
    **{10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210)},
}


@dataclass(frozen=True, slots=True)
class GgufFacts:
    """`needed_bytes` is how long the file must be to hold every tensor it lists."""

    architecture: str
    tensors: int
    needed_bytes: int


def check_gguf(path: Path) -> GgufFacts:
    """What the file says it holds. Blocking. Raises ModelFileCorrupt when it is no GGUF file or ends too early, and
    OSError."""
    size = path.stat().st_size
    if size < len(_MAGIC):
        raise ModelFileCorrupt(f"{path} has {size} bytes and is no GGUF file")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[:4] != _MAGIC:
            raise ModelFileCorrupt(f"{path} is no GGUF file: it begins with {data[:4].hex()} instead of {_MAGIC.hex()}")
        try:
            facts = _Header(data).read()
        except (struct.error, ValueError, LookupError, ArithmeticError, RecursionError) as error:
            raise ModelFileCorrupt(f"the header of {path} is broken or cut ({size} bytes)") from error
    if size < facts.needed_bytes:
        raise ModelFileCorrupt(f"{path} is cut: it has {size} bytes of {facts.needed_bytes}")
    return facts


class _Header:
    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = len(_MAGIC)

    def read(self) -> GgufFacts:
        (version,) = self._unpack("<I")
        if version not in _VERSIONS:
            raise ValueError(f"version {version}")
        tensors, pairs = self._unpack("<QQ")
        architecture, alignment = "", _DEFAULT_ALIGNMENT
        for _ in range(pairs):
            key, kind = self._string(), self._unpack("<I")[0]
            if key == b"general.architecture" and kind == _STRING:
                architecture = self._string().decode()
            elif key == b"general.alignment" and kind == _U32:
                (alignment,) = self._unpack("<I")
            else:
                self._skip(kind)
        ends = list(self._tensor_ends(tensors))
        start = -(-self._at // alignment) * alignment
        return GgufFacts(architecture, tensors, start + max(ends, default=0))

    def _tensor_ends(self, tensors: int) -> Iterator[int]:
        """Where each tensor's data ends, counted from the start of all data."""
        for _ in range(tensors):
            self._string()
            (dimensions,) = self._unpack("<I")
            elements = 1
            for extent in self._unpack(f"<{dimensions}Q"):
                elements *= extent
            kind, offset = self._unpack("<IQ")
            block, block_bytes = _BLOCKS.get(kind, (elements, 1))
            yield offset + elements // block * block_bytes

    def _skip(self, kind: int) -> None:
        if kind == _STRING:
            self._string()
        elif kind == _ARRAY:
            inner, count = self._unpack("<IQ")
            if inner in _SCALARS:
                self._advance(_SCALARS[inner] * count)
            else:
                for _ in range(count):
                    self._skip(inner)
        else:
            self._advance(_SCALARS[kind])

    def _string(self) -> bytes:
        (length,) = self._unpack("<Q")
        start = self._at
        self._advance(length)
        return self._data[start : self._at]

    def _unpack(self, layout: str) -> tuple[int, ...]:
        start = self._at
        self._advance(struct.calcsize(layout))
        return struct.unpack_from(layout, self._data, start)

    def _advance(self, count: int) -> None:
        self._at += count
        if self._at > len(self._data):
            raise IndexError("beyond the end")
