"""Pictures that say a term: one function a condition, each a way in which people write on pictures.

Everything follows from the random generator handed in, so that a run can be repeated.
"""

import io
import random
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import skimage.data
import zxingcpp
from PIL import Image, ImageDraw, ImageFilter, ImageFont

FONTS_DIR = Path("/usr/share/fonts")
SIZE = (800, 600)

#: Noto's collections hold one face a region; this is the one for simplified Chinese.
_SIMPLIFIED_FACE = 2

_OPENINGS = {"en": ("Hello all,", "New:", "Today only", "We offer"), "zh": ("大家好，", "最新：", "今日", "本店")}
_CLOSINGS = {
    "en": ("contact us", "ask me", "come soon", "thanks"),
    "zh": ("，请联系", "，速来", "。谢谢", "，多多关照"),
}
_LINES = {
    "en": ("The weather is fine this morning", "Nothing else to see here", "Open from nine to five"),
    "zh": ("今天早上天气很好", "这里没有别的东西", "营业时间九点到五点"),
}

Colour = int | tuple[int, int, int] | tuple[int, int, int, int]
Condition = Callable[[random.Random, str], bytes]


def language_of(term: str) -> str:
    return "en" if term.isascii() else "zh"


@cache
def fonts(language: str) -> tuple[Path, ...]:
    """Raises SystemExit where there is none."""
    names = ("DejaVu*.ttf", "Liberation*.ttf") if language == "en" else ("Noto*CJK*.ttc",)
    found = sorted(path for name in names for path in FONTS_DIR.rglob(name) if "Math" not in path.name)
    if not found:
        raise SystemExit("no fonts: apt-get install fonts-dejavu fonts-liberation fonts-noto-cjk")
    return tuple(found)


def font(draw: random.Random, term: str, size: int) -> ImageFont.FreeTypeFont:
    language = language_of(term)
    path = draw.choice(fonts(language))
    return ImageFont.truetype(str(path), size, index=_SIMPLIFIED_FACE if path.suffix == ".ttc" else 0)


def sentence(draw: random.Random, term: str) -> str:
    language = language_of(term)
    space = " " if language == "en" else ""
    return f"{draw.choice(_OPENINGS[language])}{space}{term}{space}{draw.choice(_CLOSINGS[language])}"


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


@cache
def photos() -> tuple[Image.Image, ...]:
    """Photographs without text."""
    found = (skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.coffee(), skimage.data.rocket())
    return tuple(Image.fromarray(one).convert("RGB").resize(SIZE, Image.Resampling.LANCZOS) for one in found)


def write(
    image: Image.Image,
    draw: random.Random,
    term: str,
    *,
    size: int,
    ink: Colour = 0,
    outline: Colour | None = None,
    others: int = 2,
) -> Image.Image:
    """Lines from the top left, the term in one of them; smaller if they would not fit."""
    lines = draw.sample(_LINES[language_of(term)], others)
    lines.insert(draw.randrange(others + 1), sentence(draw, term))
    face = font(draw, term, size)
    widest = max(face.getlength(line) for line in lines)
    room = image.width - 40
    if widest > room:
        face = face.font_variant(size=max(9, int(size * room / widest)))
    pen = ImageDraw.Draw(image)
    height = int(face.size * 1.7)
    left = draw.randrange(20, max(21, int(image.width - 20 - max(face.getlength(line) for line in lines))))
    top = draw.randrange(15, max(16, image.height - height * len(lines) - 15))
    for row, line in enumerate(lines):
        stroke = max(1, face.size // 16) if outline is not None else 0
        pen.text((left, top + row * height), line, fill=ink, font=face, stroke_width=int(stroke), stroke_fill=outline)
    return image


def paper(level: Colour = (255, 255, 255), size: tuple[int, int] = SIZE) -> Image.Image:
    return Image.new("RGB", size, level)


def clean(draw: random.Random, term: str) -> bytes:
    return encoded(write(paper(), draw, term, size=draw.randint(20, 40)))


def inverted(draw: random.Random, term: str) -> bytes:
    return encoded(write(paper((15, 15, 20)), draw, term, size=draw.randint(20, 40), ink=(240, 240, 235)))


def coloured(draw: random.Random, term: str) -> bytes:
    ground, ink = draw.choice(
        [((200, 30, 40), (250, 220, 60)), ((40, 90, 200), (230, 240, 255)), ((0, 130, 0), (230, 40, 40))]
    )
    return encoded(write(paper(ground), draw, term, size=draw.randint(20, 40), ink=ink))


def small(draw: random.Random, term: str) -> bytes:
    return encoded(write(paper(), draw, term, size=draw.randint(11, 14)))


def small_on_photo(draw: random.Random, term: str) -> bytes:
    image = draw.choice(photos()).copy()
    return encoded(write(image, draw, term, size=draw.randint(12, 15), ink=(255, 255, 255), outline=(0, 0, 0)))


def large(draw: random.Random, term: str) -> bytes:
    image = paper()
    face = font(draw, term, 10)
    face = face.font_variant(size=int(10 * 700 / face.getlength(term)))
    ImageDraw.Draw(image).text((40, draw.randint(20, 250)), term, fill=0, font=face)
    return encoded(image)


def rotated(draw: random.Random, term: str) -> bytes:
    image = write(paper(), draw, term, size=draw.randint(22, 32))
    return encoded(image.rotate(draw.uniform(-30, 30), Image.Resampling.BICUBIC, expand=True, fillcolor="white"))


def turned(draw: random.Random, term: str) -> bytes:
    image = write(paper(), draw, term, size=draw.randint(22, 32))
    return encoded(image.rotate(draw.choice([90, 180, 270]), expand=True))


def low_contrast(draw: random.Random, term: str) -> bytes:
    level = draw.randint(60, 200)
    ink = level + draw.choice([-1, 1]) * draw.randint(20, 40)
    return encoded(write(paper((level,) * 3), draw, term, size=draw.randint(22, 32), ink=(ink,) * 3))


def ghost(draw: random.Random, term: str) -> bytes:
    level = draw.randint(60, 245)
    return encoded(write(paper((level,) * 3), draw, term, size=draw.randint(22, 36), ink=(level + 8,) * 3))


def ghost_beside_black(draw: random.Random, term: str) -> bytes:
    """A heading in black, so that the picture as a whole uses all levels."""
    image = paper((235, 235, 235))
    below = write(paper((235, 235, 235), (800, 450)), draw, term, size=draw.randint(22, 36), ink=(243, 243, 243))
    image.paste(below, (0, 150))
    ImageDraw.Draw(image).text((30, 40), "MENU 2024", fill=0, font=ImageFont.truetype(str(fonts("en")[0]), 60))
    return encoded(image)


def on_photo(draw: random.Random, term: str) -> bytes:
    image = draw.choice(photos()).copy()
    ink = draw.choice([(255, 255, 255), (255, 240, 0), (255, 60, 60)])
    return encoded(write(image, draw, term, size=draw.randint(26, 44), ink=ink, outline=(0, 0, 0)), "JPEG", quality=88)


def on_photo_plain(draw: random.Random, term: str) -> bytes:
    """Without an outline: some of it has hardly any contrast."""
    image = draw.choice(photos()).copy()
    return encoded(write(image, draw, term, size=draw.randint(30, 44), ink=(255, 255, 255)), "JPEG", quality=88)


def watermark(draw: random.Random, term: str) -> bytes:
    """Half transparent, on a photograph."""
    image = draw.choice(photos()).copy()
    layer = Image.new("RGBA", image.size, (255, 255, 255, 0))
    write(layer, draw, term, size=draw.randint(34, 48), ink=(255, 255, 255, 130), outline=(0, 0, 0, 110))
    return encoded(Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB"), "JPEG", quality=88)


def compressed(draw: random.Random, term: str) -> bytes:
    return encoded(write(paper(), draw, term, size=draw.randint(18, 30)), "JPEG", quality=draw.randint(8, 20))


def noisy(draw: random.Random, term: str) -> bytes:
    image = write(paper(), draw, term, size=draw.randint(22, 36))
    grain = np.random.default_rng(draw.getrandbits(32)).normal(0, 40, (*SIZE[::-1], 3))
    return encoded(Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8)))


def blurred(draw: random.Random, term: str) -> bytes:
    image = write(paper(), draw, term, size=draw.randint(24, 36))
    return encoded(image.filter(ImageFilter.GaussianBlur(1.8)), "JPEG", quality=70)


def vertical(draw: random.Random, term: str) -> bytes:
    """Columns from the right; English, which is not written so, runs down turned on its side."""
    if language_of(term) == "en":
        return encoded(write(paper(), draw, term, size=26).rotate(270, expand=True))
    image, size = paper((255, 255, 255), (600, 800)), draw.randint(26, 34)
    columns = [draw.choice(_LINES["zh"]), sentence(draw, term), draw.choice(_LINES["zh"])]
    pitch = size * draw.choice((1.08, 1.3, 1.55))
    face, pen = font(draw, term, size), ImageDraw.Draw(image)
    for number, column in enumerate(columns):
        for row, character in enumerate(column):
            pen.text((480 - number * int(pitch * 1.7), 30 + row * int(pitch)), character, fill=0, font=face)
    return encoded(image)


def transparent(draw: random.Random, term: str) -> bytes:
    """Black or white on nothing: seen on one backdrop only."""
    level = draw.choice([0, 255])
    image = Image.new("RGBA", SIZE, (level, level, level, 0))
    return encoded(write(image, draw, term, size=draw.randint(22, 36), ink=(level, level, level, 255)))


def one_frame_of_an_animation(draw: random.Random, term: str) -> bytes:
    frames = [write(paper(), draw, "weather" if term.isascii() else "天气", size=26) for _ in range(5)]
    frames[draw.randrange(5)] = write(paper(), draw, term, size=26)
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100)


def code(draw: random.Random, term: str) -> bytes:
    made = zxingcpp.create_barcode(f"https://shop.test/ {sentence(draw, term)}", zxingcpp.BarcodeFormat.QRCode)
    image = draw.choice(photos()).copy()
    image.paste(Image.fromarray(np.array(made.to_image(scale=draw.randint(3, 5)))), (240, 180))
    return encoded(image.rotate(draw.uniform(-20, 20), Image.Resampling.BICUBIC), "JPEG", quality=80)


#: The first five are those that the service promises 97% of.
CONDITIONS: Mapping[str, Condition] = {
    "clean": clean,
    "rotated up to 30°": rotated,
    "small (11–14 px)": small,
    "low contrast (20–40 levels)": low_contrast,
    "on a photo, outlined": on_photo,
    "white on black": inverted,
    "coloured": coloured,
    "one huge line": large,
    "turned 90°, 180°, 270°": turned,
    "vertical": vertical,
    "ghost (8 levels)": ghost,
    "ghost beside black": ghost_beside_black,
    "small on a photo": small_on_photo,
    "on a photo, no outline": on_photo_plain,
    "watermark on a photo": watermark,
    "JPEG quality 8–20": compressed,
    "grain (σ 40)": noisy,
    "blurred (σ 1.8)": blurred,
    "transparent": transparent,
    "one frame of five": one_frame_of_an_animation,
    "in a QR code": code,
}
PROMISED = tuple(CONDITIONS)[:5]
