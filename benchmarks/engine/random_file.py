"""A GGUF file of random weights, written tensor after tensor."""

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

Kind = gguf.GGMLQuantizationType
#: Random numbers are drawn once and cut from here: four billion would take minutes.
_POOL = 1 << 24
_BLOCK = 32
_Q8_BLOCK = np.dtype([("scale", "<f2"), ("values", "i1", _BLOCK)])
#: Of whole numbers drawn evenly from -127 to 127.
_Q8_DEVIATION = 73.3


class _Pool:
    """Random weights in the file's own form, so that nothing has to be converted."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(0)
        self._normal = self._random.standard_normal(_POOL, dtype=np.float32)
        self._blocks = np.zeros(_POOL // _BLOCK, _Q8_BLOCK)
        self._blocks["values"] = self._random.integers(-127, 128, (_POOL // _BLOCK, _BLOCK), dtype=np.int8)

    def cut(self, kind: Kind, count: int, deviation: float) -> NDArray[np.uint8]:
        """The bytes of so many numbers. They repeat, each time from another place of the pool."""
        if kind is Kind.Q8_0:
            self._blocks["scale"] = deviation / _Q8_DEVIATION
            pool, items = self._blocks, count // _BLOCK
        else:
            scaled = self._normal[: max(_BLOCK, min(_POOL, count))] * np.float32(deviation)
            bits = scaled.astype("<f2") if kind is Kind.F16 else (scaled.view("<u4") >> 16).astype("<u2")
            pool, items = bits, count
        start = int(self._random.integers(len(pool)))
        return np.resize(np.roll(pool, -start), items).view(np.uint8)


class RandomFile:
    """Written tensor after tensor, so that no more than one of them is in memory."""

    def __init__(self, path: Path, architecture: str, kind: Kind) -> None:
        self.writer = gguf.GGUFWriter(path, architecture)
        self.writer.add_name("random weights")
        self._kind = kind
        self._pool = _Pool()
        self._contents: list[Callable[[], NDArray[np.generic]]] = []

    def matrix(self, name: str, *shape: int) -> None:
        """Scaled so that activations keep their size from layer to layer."""
        kind = self._kind if shape[-1] % _BLOCK == 0 else Kind.F16
        count, (items, size) = int(np.prod(shape)), gguf.GGML_QUANT_SIZES[kind]
        row = (*shape[:-1], shape[-1] // items * size)
        self.writer.add_tensor_info(name, row, np.dtype(np.uint8), count // items * size, raw_dtype=kind)
        self._contents.append(lambda: self._pool.cut(kind, count, shape[-1] ** -0.5))

    def vector(self, name: str, size: int, value: float) -> None:
        self.writer.add_tensor_info(name, (size,), np.dtype(np.float32), size * 4)
        self._contents.append(lambda: np.full(size, value, np.float32))

    def close(self) -> None:
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_ti_data_to_file()
        for content in self._contents:
            self.writer.write_tensor_data(content())
        self.writer.close()


def affine(pair: RandomFile, name: str, rows: int, columns: int) -> None:
    pair.matrix(f"{name}.weight", rows, columns)
    pair.vector(f"{name}.bias", rows, 0.0)


def norm(pair: RandomFile, name: str, width: int) -> None:
    pair.vector(f"{name}.weight", width, 1.0)
    pair.vector(f"{name}.bias", width, 0.0)
