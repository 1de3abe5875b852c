"""Writes GGUF files (version 3): https://github.com/ggml-org/ggml/blob/master/docs/gguf.md."""

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Metadata = Mapping[str, object]
#: Float32 or float16, in numpy's order of dimensions; the file has them the other way round.
Tensors = Mapping[str, NDArray[np.float32] | NDArray[np.float16]]

_ALIGNMENT = 32
_U32, _I32, _F32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9
_TENSOR_TYPES = {"float32": 0, "float16": 1}


def write_gguf(path: Path, metadata: Metadata, tensors: Tensors) -> Path:
    """Whole numbers become 32 bits wide and unsigned, lists are of one type each."""
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, value in metadata.items():
        kind, packed = _value(value)
        header += _string(key) + struct.pack("<I", kind) + packed
    offset = 0
    for name, values in tensors.items():
        header += _string(name) + struct.pack(f"<I{values.ndim}Q", values.ndim, *reversed(values.shape))
        header += struct.pack("<IQ", _TENSOR_TYPES[values.dtype.name], offset)
        offset += len(_padded(values.tobytes()))
    path.write_bytes(_padded(header) + b"".join(_padded(values.tobytes()) for values in tensors.values()))
    return path


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
    # Token types and the sections of rotary positions are read as signed.
    return _ARRAY, struct.pack("<IQ", _I32 if kind == _U32 else kind, len(items)) + b"".join(item for _, item in items)


def _string(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % _ALIGNMENT)
