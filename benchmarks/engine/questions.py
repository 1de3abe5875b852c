"""What every contender is asked of every picture."""

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

TOPICS = ("weapons", "blood or injury", "drugs or smoking", "alcohol", "gambling", "adult content")
PROBES = tuple(f"Does this image show {topic}? Answer Yes or No." for topic in TOPICS)
READING = "Read all text in the image and write it line by line."
CAPTION = "Describe the image."
ANSWER_TOKENS = 48

#: Text and most tokens of the answer. A yes or no is one token: the kindest reading of the usual way.
PROBES_ONLY = tuple((probe, 1) for probe in PROBES)
FULL = (*PROBES_ONLY, (READING, ANSWER_TOKENS), (CAPTION, ANSWER_TOKENS))


def pictures(count: int, side_px: int) -> list[bytes]:
    """RGB bytes of noise, each picture different, the same in every run."""
    shape = (count, side_px, side_px, 3)
    return [pixels.tobytes() for pixels in np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)]


def data_url(rgb: bytes, side_px: int) -> str:
    """As a bitmap, which takes next to nothing to decode: this engine is given pixels too."""
    file = io.BytesIO()
    Image.frombytes("RGB", (side_px, side_px), rgb).save(file, "BMP")
    return f"data:image/bmp;base64,{base64.b64encode(file.getvalue()).decode()}"


def messages(url: str, question: str) -> list[dict[str, Any]]:
    picture = {"type": "image_url", "image_url": {"url": url}}
    return [{"role": "user", "content": [picture, {"type": "text", "text": question}]}]
