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

#: The few pixels: wide enough for the strokes of large writing to have ground in it.
_NEAR_PX = 9

#: Around what is plain lie soft edges and what JPEG leaves, which are faint but say nothing.
_FRINGE_PX = 17

#: Writing stands on ground, and faint writing can only be told from grain where the ground is even: at least this part
#: of the surroundings (so many pixels wide) must be of one colour. Photographs have hardly any such place.
_SURROUNDINGS_PX = 96
_MIN_EVEN_SHARE = 0.25

#: Less than this many pixels is no word.
_MIN_FAINT_PX = 60

_MARGIN_PX = 24
_MIDDLE, _SWING = 128.0, 110.0


@dataclass(frozen=True, slots=True)
class Faint:
    """The part of a picture that has faint writing, at full contrast; `left` and `top` say where it lies."""

    pixels: Pixels
    left: int
    top: int


def make_plain(pixels: Pixels) -> Faint | None:
    """None where nothing faint stands on even ground. Shape (height, width, 3), any order of colours."""
    kernel = np.ones((_NEAR_PX, _NEAR_PX), np.uint8)
    span = (cv2.dilate(pixels, kernel) - cv2.erode(pixels, kernel)).max(axis=2)
    plain = cv2.dilate((span >= _PLAIN_SPAN).astype(np.uint8), np.ones((_FRINGE_PX, _FRINGE_PX), np.uint8)) > 0
    even = (span < FLAT_SPAN).astype(np.float32)
    around = cv2.blur(even, (_SURROUNDINGS_PX, _SURROUNDINGS_PX))
    faint = (span >= FLAT_SPAN) & ~plain & (around >= _MIN_EVEN_SHARE)
    if np.count_nonzero(faint) < _MIN_FAINT_PX:
        return None
    rows, columns = np.flatnonzero(faint.any(axis=1)), np.flatnonzero(faint.any(axis=0))
    top, bottom = max(0, int(rows[0]) - _MARGIN_PX), int(rows[-1]) + _MARGIN_PX
    left, right = max(0, int(columns[0]) - _MARGIN_PX), int(columns[-1]) + _MARGIN_PX
    part = np.s_[top:bottom, left:right]
    return Faint(_stretched(pixels[part], plain[part], faint[part]), left, top)


def _stretched(pixels: Pixels, plain: npt.NDArray[np.bool_], faint: npt.NDArray[np.bool_]) -> Pixels:
    """Differences from the ground around, enlarged until the faint ones are plain; what is plain is left out."""
    window = (_SURROUNDINGS_PX, _SURROUNDINGS_PX)
    weight = (~plain).astype(np.float32)
    total = cv2.blur(weight, window)[..., None] + 1e-6
    levels = pixels.astype(np.float32)
    away = levels - cv2.blur(levels * weight[..., None], window) / total
    away[plain] = 0.0
    widest = float(np.percentile(np.abs(away[faint]).max(axis=1), 99))
    plainer: Pixels = np.clip(_MIDDLE + away * (_SWING / max(widest, 1.0)), 0, 255).astype(np.uint8)
    return plainer
