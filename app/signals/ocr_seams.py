"""Text that lies on a seam between two tiles of a long picture, made whole again before it is read.

Coordinates are the whole picture's, in pixels; a quad has four corners, clockwise from the top left: shape (4, 2).
"""

from collections.abc import Iterable, Iterator, Sequence

import cv2
import numpy as np

from app.signals.ocr_layout import Quad, bounds

#: Part of the smaller of two boxes that must lie in the other for both to be one text.
_SAME_TEXT_SHARE = 0.5

#: For two pieces of a line that runs across a seam: how much of the thinner one's thickness they share, and how alike
#: their thicknesses are.
_SAME_ROW_SHARE = 0.6
_SAME_ROW_THICKNESS_RATIO = 0.5


def join_seams(tiles: Iterable[tuple[float, Sequence[Quad]]], *, tall: bool) -> Iterator[list[Quad]]:
    """For each tile the boxes that no later tile can add to.

    A tile comes as where the next one begins (the picture's end for the last) and its boxes. `tall` says that the tiles
    lie one below the other, not side by side.
    """
    unfinished: list[Quad] = []
    for next_start, tile in tiles:
        current: list[Quad] = []
        for quad in tile:
            pieces = [other for other in unfinished if _one_text(quad, other, tall=tall)]
            unfinished = [other for other in unfinished if not any(other is piece for piece in pieces)]
            current.append(enclose(np.concatenate([quad, *pieces])) if pieces else quad)
        reaches_on = [bounds(quad)[3 if tall else 2] >= next_start for quad in current]
        yield unfinished + [quad for quad, reaches in zip(current, reaches_on, strict=True) if not reaches]
        unfinished = [quad for quad, reaches in zip(current, reaches_on, strict=True) if reaches]
    yield unfinished


def enclose(corners: Quad) -> Quad:
    """The smallest rectangle around points, its corners clockwise from the top left."""
    around = np.asarray(cv2.boxPoints(cv2.minAreaRect(corners)), dtype=np.float32)
    by_x = around[np.argsort(around[:, 0], kind="stable")]
    top_left, bottom_left = by_x[:2][np.argsort(by_x[:2, 1], kind="stable")]
    top_right, bottom_right = by_x[2:][np.argsort(by_x[2:, 1], kind="stable")]
    return np.array([top_left, top_right, bottom_right, bottom_left], dtype=np.float32)


def _one_text(one: Quad, other: Quad, *, tall: bool) -> bool:
    left, top, right, bottom = bounds(one)
    left2, top2, right2, bottom2 = bounds(other)
    wide = min(right, right2) - max(left, left2)
    high = min(bottom, bottom2) - max(top, top2)
    if wide <= 0 or high <= 0:
        return False
    if tall:
        crossing = _runs_across(bottom - top, right - left, bottom2 - top2, right2 - left2, high=wide)
    else:
        crossing = _runs_across(right - left, bottom - top, right2 - left2, bottom2 - top2, high=high)
    return crossing or _shared_part(one, other) >= _SAME_TEXT_SHARE


def _runs_across(length: float, thickness: float, length2: float, thickness2: float, *, high: float) -> bool:
    """Whether two overlapping pieces, measured along and across the tiles, continue each other: `high` is how much of
    their thickness they share."""
    thinner, thicker = min(thickness, thickness2), max(thickness, thickness2)
    return (
        length > thickness
        and length2 > thickness2
        and high >= _SAME_ROW_SHARE * thinner
        and thinner >= _SAME_ROW_THICKNESS_RATIO * thicker
    )


def _shared_part(one: Quad, other: Quad) -> float:
    """The area that both cover, as a part of the smaller one."""
    shared, _ = cv2.intersectConvexConvex(one, other)
    smaller = min(cv2.contourArea(one), cv2.contourArea(other))
    return float(shared / smaller) if smaller > 0 else 0.0
