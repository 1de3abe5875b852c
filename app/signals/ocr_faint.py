"""Writing so faint that the networks do not see it, made plain: for a second look beside what is plain already."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

#: Levels that differ by less than this are one colour.
FLAT_SPAN = 3

#: Where levels within a few pixels differ by this much the first look sees what there is.
_PLAIN_SPAN = 40

#: What follows is in pixels of the picture at half its size, where looking costs a quarter.
#: The few pixels: wide enough for the strokes of large writing to have ground in it.
_NEAR_PX = 5

#: Around what is plain lie soft edges and what JPEG leaves, which are faint but say nothing.
_FRINGE_PX = 9

#: Writing stands on ground, and faint writing can only be told from grain where the ground is even: at least this part
#: of the surroundings (so many pixels wide) must be of one colour. Photographs have hardly any such place.
_SURROUNDINGS_PX = 48
_MIN_EVEN_SHARE = 0.25

#: Less than this many pixels is no word.
_MIN_FAINT_PX = 15

_MARGIN_PX = 12
_MIDDLE, _SWING = 128.0, 110.0


@dataclass(frozen=True, slots=True)
class Faint:
    """The part of a picture that has faint writing, at full contrast; `left` and `top` say where it lies."""

    pixels: Pixels
    left: int
    top: int


def make_plain(pixels: Pixels) -> Faint | None:
    """None where nothing faint stands on even ground. Shape (height, width, 3), any order of colours."""
    height, width = pixels.shape[:2]
    half = cv2.resize(pixels, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)
    kernel = np.ones((_NEAR_PX, _NEAR_PX), np.uint8)
    span = (cv2.dilate(half, kernel) - cv2.erode(half, kernel)).max(axis=2)
    plain = cv2.dilate((span >= _PLAIN_SPAN).astype(np.uint8), np.ones((_FRINGE_PX, _FRINGE_PX), np.uint8)) > 0
    around = cv2.blur((span < FLAT_SPAN).astype(np.float32), (_SURROUNDINGS_PX, _SURROUNDINGS_PX))
    faint = (span >= FLAT_SPAN) & ~plain & (around >= _MIN_EVEN_SHARE)
    if np.count_nonzero(faint) < _MIN_FAINT_PX:
        return None
    rows, columns = np.flatnonzero(faint.any(axis=1)), np.flatnonzero(faint.any(axis=0))
    top, bottom = max(0, int(rows[0]) - _MARGIN_PX), min(half.shape[0], int(rows[-1]) + _MARGIN_PX)
    left, right = max(0, int(columns[0]) - _MARGIN_PX), min(half.shape[1], int(columns[-1]) + _MARGIN_PX)
    part = pixels[2 * top : 2 * bottom, 2 * left : 2 * right]
    masks = (_doubled(mask[top:bottom, left:right], part) for mask in (plain, faint))
    return Faint(_stretched(part, *masks), 2 * left, 2 * top)


def _doubled(mask: npt.NDArray[np.bool_], pixels: Pixels) -> npt.NDArray[np.bool_]:
    size = (pixels.shape[1], pixels.shape[0])
    grown: npt.NDArray[np.bool_] = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    return grown


def _stretched(pixels: Pixels, plain: npt.NDArray[np.bool_], faint: npt.NDArray[np.bool_]) -> Pixels:
    """Differences from the ground around, enlarged until the faint ones are plain; what is plain is left out."""
    window = (2 * _SURROUNDINGS_PX, 2 * _SURROUNDINGS_PX)
    weight = (~plain).astype(np.float32)
    total = cv2.blur(weight, window)[..., None] + 1e-6
    levels = pixels.astype(np.float32)
    away = levels - cv2.blur(levels * weight[..., None], window) / total
    away[plain] = 0.0
    widest = float(np.percentile(np.abs(away[faint]).max(axis=1), 99))
    plainer: Pixels = np.clip(_MIDDLE + away * (_SWING / max(widest, 1.0)), 0, 255).astype(np.uint8)
    return plainer
