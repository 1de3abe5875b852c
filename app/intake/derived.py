"""What is derived from a picture for people and for comparison: the PDQ hash and the preview."""

import io

import numpy as np
import pdqhash
from PIL import Image, ImageFilter

#: The reference implementation's MIN_HASHABLE_DIM: smaller pictures have no hash.
_MIN_PDQ_SIDE_PX = 5

#: The hash looks at 64×64 blocks, and scaling first makes it 300 times faster on a 12-megapixel photo.
_PDQ_SIDE_PX = 512

_PREVIEW_SIDE_PX = 64
_PREVIEW_BLUR_PX = 2.0
_PREVIEW_JPEG_QUALITY = 60


def pdq(image: Image.Image) -> tuple[str, int] | None:
    """The 256-bit PDQ hash in hex and its quality (0..100) of an RGB image, or None when it is too small."""
    if min(image.size) < _MIN_PDQ_SIDE_PX:
        return None
    small = image.copy()
    small.thumbnail((_PDQ_SIDE_PX, _PDQ_SIDE_PX), Image.Resampling.BOX)
    if min(small.size) < _MIN_PDQ_SIDE_PX:
        return None
    bits, quality = pdqhash.compute(np.asarray(small))
    return np.packbits(bits.astype(np.uint8)).tobytes().hex(), int(quality)


def preview(image: Image.Image) -> bytes:
    """A JPEG of at most 64 px a side, grey and blurred, without metadata: enough to tell two cases apart, too little to
    hurt anyone."""
    small = image.convert("L")
    small.thumbnail((_PREVIEW_SIDE_PX, _PREVIEW_SIDE_PX), Image.Resampling.BOX)
    plain = Image.new("L", small.size)
    plain.paste(small.filter(ImageFilter.GaussianBlur(_PREVIEW_BLUR_PX)))
    out = io.BytesIO()
    plain.save(out, "JPEG", quality=_PREVIEW_JPEG_QUALITY)
    return out.getvalue()
