"""Where text is: tiles of long pictures, texts at one place, reading order. Pure geometry, in pixels."""

from collections.abc import Callable, Sequence
from typing import TypeVar
from unicodedata import east_asian_width

import numpy as np
import numpy.typing as npt

from app.domain.findings import Box

#: Four corners, clockwise from the top left: shape (4, 2).
Quad = npt.NDArray[np.float32]

T = TypeVar("T")

#: Part of the smaller of two boxes' bounds that must lie in the other's for both to be at the same place.
_SAME_PLACE_SHARE = 0.5

#: A box so many times as high as wide stands upright.
_COLUMN_RATIO = 1.5


def tile_spans(length: int, *, tile: int, overlap: int, stretch: float) -> list[tuple[int, int]]:
    """[start, end) of tiles along a side. One tile when the side is at most `stretch` × `tile`; otherwise tiles of
    equal length, at most `tile`, each sharing at least `overlap` with the next."""
    if length <= tile * stretch:
        return [(0, length)]
    count = -(-(length - overlap) // (tile - overlap))
    size = min(tile, -(-(length + (count - 1) * overlap) // count))
    starts = [part * (length - size) // (count - 1) for part in range(count)]
    return [(start, start + size) for start in starts]


def bounds(quad: Quad) -> tuple[float, float, float, float]:
    """Left, top, right, bottom."""
    (left, top), (right, bottom) = quad.min(axis=0), quad.max(axis=0)
    return float(left), float(top), float(right), float(bottom)


def same_place(one: Box, other: Box) -> bool:
    """Whether the upright bounds of two boxes share at least half of the smaller one."""
    left, top, right, bottom = _bounds_of_box(one)
    left2, top2, right2, bottom2 = _bounds_of_box(other)
    shared = max(0.0, min(right, right2) - max(left, left2)) * max(0.0, min(bottom, bottom2) - max(top, top2))
    smaller = min((right - left) * (bottom - top), (right2 - left2) * (bottom2 - top2))
    return smaller > 0 and shared >= _SAME_PLACE_SHARE * smaller


def _bounds_of_box(box: Box) -> tuple[float, float, float, float]:
    across, down = [x for x, _ in box], [y for _, y in box]
    return min(across), min(down), max(across), max(down)


def reading_order(
    items: Sequence[T], box_of: Callable[[T], Box], is_column: Callable[[T], bool] = lambda _: False
) -> list[T]:
    """Rows from the top down, each from the left, or from the right where most of it are columns of vertical writing:
    an item belongs to a row when its middle lies within the height of the row's first item."""
    placed = sorted(((_bounds_of_box(box_of(item)), item) for item in items), key=_by_top)
    rows: list[list[tuple[tuple[float, float, float, float], T]]] = []
    for bound, item in placed:
        middle = (bound[1] + bound[3]) / 2
        row = next((row for row in reversed(rows) if row[0][0][1] <= middle <= row[0][0][3]), None)
        if row is None:
            rows.append([(bound, item)])
        else:
            row.append((bound, item))
    ordered: list[T] = []
    for row in rows:
        from_the_right = 2 * sum(is_column(item) for _, item in row) > len(row)
        row.sort(key=_by_right if from_the_right else lambda placed: placed[0])
        ordered += [item for _, item in row]
    return ordered


def is_vertical(text: str, box: Box) -> bool:
    """Whether a line is a column of writing that runs down: Chinese, Japanese or Korean in a box that stands upright.
    (Other scripts in such a box are turned.)"""
    left, top, right, bottom = _bounds_of_box(box)
    letters = [character for character in text if character.isalnum()]
    wide = sum(east_asian_width(character) == "W" for character in letters)
    return bottom - top > _COLUMN_RATIO * (right - left) and 2 * wide > len(letters)


def _by_right(placed: tuple[tuple[float, float, float, float], T]) -> tuple[float, float]:
    (_, top, right, _), _ = placed
    return -right, top


def _by_top(placed: tuple[tuple[float, float, float, float], T]) -> tuple[float, float]:
    (left, top, _, _), _ = placed
    return top, left
