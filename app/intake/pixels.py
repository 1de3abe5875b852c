"""From whatever a decoder yields to upright 8-bit RGB of the working size."""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from app.domain import Backdrop, Picture

#: At this alpha (of 255) and above, black and white backdrops differ by less than six levels: not visible, not read.
_OPAQUE_ALPHA = 250

#: 65535 / 255 = 257: plain conversion clips 16-bit grey to white instead.
_BYTE_OF_LEVEL = ((np.arange(65_536) + 128) // 257).astype(np.uint8)

_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BACKDROP_LEVELS = {Backdrop.WHITE: 255, Backdrop.BLACK: 0}


@dataclass(frozen=True, slots=True)
class Orientation:
    """The EXIF orientation, applied."""

    transpose: Image.Transpose | None

    @classmethod
    def of(cls, image: Image.Image) -> "Orientation":
        """Of a picture that is loaded: else Pillow may load it for this, and what is wrong with its pixels would look
        like damaged EXIF. That means upright, as browsers have it."""
        try:
            value = image.getexif().get(_EXIF_ORIENTATION, 1)
            return cls(_UPRIGHT.get(value))
        except Exception:
            return cls(None)

    @property
    def swaps_sides(self) -> bool:
        return self.transpose in {
            Image.Transpose.TRANSPOSE,
            Image.Transpose.TRANSVERSE,
            Image.Transpose.ROTATE_90,
            Image.Transpose.ROTATE_270,
        }

    def apply(self, image: Image.Image) -> Image.Image:
        return image if self.transpose is None else image.transpose(self.transpose)


def working_size(width: int, height: int, *, max_short_side_px: int, max_pixels: int) -> tuple[int, int]:
    """The size to look at: never larger than the picture, sides at least 1."""
    scale = max(1.0, min(width, height) / max_short_side_px, math.sqrt(width * height / max_pixels))
    return max(1, round(width / scale)), max(1, round(height / scale))


def to_8_bit(image: Image.Image) -> Image.Image:
    """RGB, or RGBA when some pixel is really transparent, of any mode that the accepted formats decode to."""
    if image.mode.startswith("I"):
        image = _from_16_bit_grey(image)
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    rgba = image if image.mode == "RGBA" else image.convert("RGBA")
    lowest_alpha = int(np.asarray(rgba.getchannel("A")).min())
    return rgba if lowest_alpha < _OPAQUE_ALPHA else rgba.convert("RGB")


def _from_16_bit_grey(image: Image.Image) -> Image.Image:
    levels = np.clip(np.asarray(image), 0, 65_535).astype(np.uint16)
    grey = Image.fromarray(_BYTE_OF_LEVEL[levels])
    transparent_level = image.info.get("transparency")
    if not isinstance(transparent_level, int):
        return grey
    alpha = Image.fromarray(np.where(levels == transparent_level, 0, 255).astype(np.uint8))
    return Image.merge("LA", (grey, alpha))


def scaled(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Every source pixel counts in the result, so that no picture hides in the ones a coarser filter would skip."""
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def backdrops(image: Image.Image) -> list[tuple[Backdrop, Image.Image]]:
    """A transparent picture on white and on black; any other as it is."""
    if image.mode != "RGBA":
        return [(Backdrop.NONE, image)]
    return [(backdrop, _on(image, level)) for backdrop, level in _BACKDROP_LEVELS.items()]


def _on(image: Image.Image, level: int) -> Image.Image:
    ground = Image.new("RGB", image.size, (level, level, level))
    ground.paste(image, mask=image.getchannel("A"))
    return ground


def to_picture(image: Image.Image) -> Picture:
    return Picture(width=image.width, height=image.height, rgb=image.tobytes())
