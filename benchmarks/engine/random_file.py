"""A GGUF file of random weights, whose numbers are made as they are written."""

from collections.abc import Callable
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.engine.gguf_file import Kind, Tensor, write_gguf

#: Random numbers are drawn once and cut from here: four billion would take minutes.
_POOL = 1 << 24
_BLOCK = 32
_Q8_BLOCK = np.dtype([("scale", "<f2"), ("values", "i1", _BLOCK)])
#: Of whole numbers drawn evenly from -127 to 127.
_Q8_DEVIATION = 73.3
#: Two numbers a byte, 8 stands for nothing.
_Q4_BLOCK = np.dtype([("scale", "<f2"), ("values", "u1", _BLOCK // 2)])
#: Of whole numbers drawn evenly from -7 to 7.
_Q4_DEVIATION = 4.32
_DEVIATIONS = {Kind.Q8_0: _Q8_DEVIATION, Kind.Q4_0: _Q4_DEVIATION}


class _Pool:
    """Random weights in the file's own form, so that nothing has to be converted."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(0)
        self._normal = self._random.standard_normal(_POOL, dtype=np.float32)
        eights = np.zeros(_POOL // _BLOCK, _Q8_BLOCK)
        eights["values"] = self._random.integers(-127, 128, (_POOL // _BLOCK, _BLOCK), dtype=np.int8)
        fours = np.zeros(_POOL // _BLOCK, _Q4_BLOCK)
        low, high = self._random.integers(1, 16, (2, _POOL // _BLOCK, _BLOCK // 2), dtype=np.uint8)
        fours["values"] = low | high << 4
        self._blocks: dict[Kind, NDArray[np.void]] = {Kind.Q8_0: eights, Kind.Q4_0: fours}

    def cut(self, kind: Kind, count: int, deviation: float) -> NDArray[np.uint8]:
        """The bytes of so many numbers. They repeat, each time from another place of the pool."""
        pool: NDArray[np.generic]
        if kind in self._blocks:
            pool, items = self._blocks[kind], count // _BLOCK
            self._blocks[kind]["scale"] = deviation / _DEVIATIONS[kind]
        else:
            scaled = self._normal[: max(_BLOCK, min(_POOL, count))] * np.float32(deviation)
            pool, items = _stored(kind, scaled), count
        start = int(self._random.integers(len(pool)))
        return np.resize(np.roll(pool, -start), items).view(np.uint8)


def _stored(kind: Kind, values: NDArray[np.float32]) -> NDArray[np.generic]:
    if kind is Kind.BF16:
        return (values.view("<u4") >> 16).astype("<u2")
    return values.astype("<f2" if kind is Kind.F16 else "<f4")


class RandomFile:
    """Its metadata and tensors are added, then `close` writes them."""

    def __init__(self, path: Path, architecture: str, kind: Kind) -> None:
        self.metadata: dict[str, object] = {"general.architecture": architecture, "general.name": "random weights"}
        self._path = path
        self._kind = kind
        self._pool = _Pool()
        self._tensors: list[Tensor] = []

    def matrix(self, name: str, *shape: int, kind: Kind | None = None) -> None:
        """Scaled so that activations keep their size from layer to layer. Of the file's kind, where its blocks fit."""
        wanted = self._kind if kind is None else kind
        stored = wanted if shape[-1] % wanted.block[0] == 0 else Kind.F16
        self._add(name, stored, shape, lambda: self._pool.cut(stored, prod(shape), shape[-1] ** -0.5))

    def vector(self, name: str, size: int, value: float) -> None:
        self._add(name, Kind.F32, (size,), lambda: np.full(size, value, np.float32))

    def affine(self, name: str, rows: int, columns: int) -> None:
        self.matrix(f"{name}.weight", rows, columns)
        self.vector(f"{name}.bias", rows, 0.0)

    def norm(self, name: str, width: int) -> None:
        self.vector(f"{name}.weight", width, 1.0)
        self.vector(f"{name}.bias", width, 0.0)

    def close(self) -> None:
        write_gguf(self._path, self.metadata, self._tensors)

    def _add(self, name: str, kind: Kind, shape: tuple[int, ...], content: Callable[[], NDArray[np.generic]]) -> None:
        self._tensors.append(Tensor(name, kind, shape, content))
