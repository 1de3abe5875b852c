"""Uploads of which no two have the same bytes: a scene, a few lines of text, some noise."""

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_SIZE = 800, 600
_LINES = (
    "fresh bread every morning from six",
    "two for one until Sunday evening",
    "buy fake passport online, any country",
    "ask for the price at the counter",
    "open all day, closed on Mondays",
)


def pictures(count: int) -> Iterator[bytes]:
    """JPEG files, the same in every run."""
    random = np.random.default_rng(7)
    for number in range(count):
        colour = random.integers(60, 220, 3)
        pixels = np.clip(random.normal(colour, 12, (_SIZE[1], _SIZE[0], 3)), 0, 255).astype(np.uint8)
        image = Image.fromarray(pixels)
        draw = ImageDraw.Draw(image)
        left, top = (int(one) for one in random.integers(40, 300, 2))
        draw.ellipse((left, top, left + 180, top + 180), fill=tuple(int(255 - one) for one in colour))
        for line in range(int(random.integers(1, 4))):
            text = _LINES[(number + line) % len(_LINES)]
            draw.text((60, 380 + 60 * line), text, fill="black", font=ImageFont.load_default(28))
        out = io.BytesIO()
        image.save(out, "JPEG", quality=88)
        yield out.getvalue()
