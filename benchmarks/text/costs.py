"""What reading costs, in CPU seconds: measured inside the media workers."""

import random
import time

from PIL import Image as Pil
from PIL import ImageDraw

from app.domain import Picture
from app.media_pool import MediaPool
from app.signals.ocr_worker import read_frame
from benchmarks.text.pictures import font, paper, photos, write

_PATIENCE_S = 120.0


def cpu_of_reading(picture: Picture) -> float:
    """In a media worker: CPU seconds."""
    started = time.process_time()
    read_frame(picture, time.monotonic() + _PATIENCE_S)
    return time.process_time() - started


async def costs(pool: MediaPool) -> dict[str, float]:
    """The least of three readings, in CPU seconds; of the photographs, the mean."""
    page, draw = paper(), random.Random(1)  # noqa: S311 - pictures, not secrets
    pen, face = ImageDraw.Draw(page), font(draw, "中", 26)
    for row in range(10):
        pen.text(
            (30, 20 + 56 * row),
            "限时优惠 only 99 one week left, contact us today" if row % 2 else "加微信领取奖金每日返现欢迎咨询客服",
            0,
            face,
        )
    photo = [await _least(pool, image) for image in photos()]
    words = write(photos()[0].copy(), draw, "天气", size=30, ink=(255, 255, 255), outline=(0, 0, 0))
    return {
        "ten lines on white": await _least(pool, page),
        "photo, three lines": await _least(pool, words),
        "photo without text": sum(photo) / len(photo),
        "blank": await _least(pool, paper()),
    }


async def _least(pool: MediaPool, image: Pil.Image) -> float:
    rgb = image.convert("RGB")
    picture = Picture(rgb.width, rgb.height, rgb.tobytes())
    return min([await pool.run(cpu_of_reading, picture, timeout_s=_PATIENCE_S) for _ in range(3)])
