"""Writes GGUF files (version 3): https://github.com/ggml-org/ggml/blob/master/docs/gguf.md."""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

#: Whole numbers become 32 bits wide and unsigned, lists are of one type each.
Metadata = Mapping[str, object]

_ALIGNMENT = 32
_U32, _I32, _F32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9


class Kind(IntEnum):
    """Of a tensor's numbers, as the file names it."""

    F32 = 0
    F16 = 1
    Q4_0 = 2
    Q8_0 = 8
    BF16 = 30

    @property
    def block(self) -> tuple[int, int]:
        """So many numbers are stored together, and the bytes of that."""
        return _BLOCKS[self]


_BLOCKS = {Kind.F32: (1, 4), Kind.F16: (1, 2), Kind.Q4_0: (32, 18), Kind.Q8_0: (32, 34), Kind.BF16: (1, 2)}
_KINDS = {"float32": Kind.F32, "float16": Kind.F16}


@dataclass(frozen=True, slots=True)
class Tensor:
    """`shape` in numpy's order of dimensions; the file has them the other way round. `content` gives its numbers as
    they are stored, and is called when they are written."""

    name: str
    kind: Kind
    shape: tuple[int, ...]
    content: Callable[[], NDArray[np.generic]]

    @classmethod
    def of(cls, name: str, values: NDArray[np.generic]) -> "Tensor":
        """Of float32 or float16."""
        return cls(name, _KINDS[values.dtype.name], values.shape, lambda: values)

    @property
    def bytes(self) -> int:
        numbers, size = self.kind.block
        return prod(self.shape) // numbers * size


def write_gguf(path: Path, metadata: Metadata, tensors: Sequence[Tensor]) -> Path:
    """Tensor after tensor, so that no more than one of them is in memory."""
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    header += b"".join(_string(key) + _typed(value) for key, value in metadata.items())
    offset = 0
    for tensor in tensors:
        dimensions = len(tensor.shape)
        header += _string(tensor.name) + struct.pack(f"<I{dimensions}Q", dimensions, *reversed(tensor.shape))
        header += struct.pack("<IQ", tensor.kind, offset)
        offset += tensor.bytes + _padding(tensor.bytes)
    with path.open("wb") as file:
        _write(file, header)
        for tensor in tensors:
            _write(file, tensor.content().tobytes())
    return path


def _write(file: BinaryIO, data: bytes) -> None:
    file.write(data)
    file.write(b"\0" * _padding(len(data)))


def _padding(size: int) -> int:
    return -size % _ALIGNMENT


def _typed(value: object) -> bytes:
    kind, packed = _value(value)
    return struct.pack("<I", kind) + packed


def _value(value: object) -> tuple[int, bytes]:
    if isinstance(value, bool):
        return _BOOL, struct.pack("<?", value)
    if isinstance(value, int):
        return _U32, struct.pack("<I", value)
    if isinstance(value, float):
        return _F32, struct.pack("<f", value)
    if isinstance(value, str):
        return _STRING, _string(value)
    assert isinstance(value, list)
    items = [_value(item) for item in value]
    kind = items[0][0]
    # Token types, sections of rotary positions and lists of layers are read as signed.
    return _ARRAY, struct.pack("<IQ", _I32 if kind == _U32 else kind, len(items)) + b"".join(item for _, item in items)


def _string(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded
