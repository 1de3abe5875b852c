"""Pages, posters and screens with printed words: writing must not alarm, whatever it says."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_FOLDERS = ("/usr/share/fonts/truetype/dejavu", "/usr/share/fonts/truetype/liberation")
_CJK = "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"
_ENGLISH_WORDS = (
    "the of and a to in is you that it he was for on are as with his they at be this have from or one had by word but "
    "not what all were we when your can said there use an each which she do how their if will up other about out many "
    "then them these so some her would make like him into time has look two more write go see number no way could "
    "people my than first water been call who oil its now find long down day did get come made may part weapon gun "
    "knife blood violence drugs smoking alcohol beer wine casino betting adult sale open bakery street office invoice "
    "total price email phone address news market weather report summer winter music school Corner Bakery Fresh bread"
)
_ENGLISH = _ENGLISH_WORDS.split()
_CHINESE = (
    "的一是不了人我在有他这中大来上个国到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可她里后小么心多天而能好都然没日于起还发成事只作当想看文无开手十用主行方又如前所本见经头面公同三已老从动两长"
    "知民样现分将外但身些与高意进把法此实回二理美点月明其种声全工己话儿者向情部正名定女问力机给等几很业最间新什打便位因重被走电四第门相次东政海口使教西再平真听世气信北少关并内加化由却代军产入先山五太水万市"
    "武器毒品酒赌博暴力"
)


@cache
def _fonts() -> tuple[Path, ...]:
    return tuple(sorted(p for folder in _FOLDERS for p in Path(folder).glob("*.ttf")))


def _font(rng: np.random.Generator, size: int, *, chinese: bool) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    if chinese and Path(_CJK).exists():
        return ImageFont.truetype(_CJK, size)
    fonts = _fonts()
    if not fonts or rng.random() < 0.2:  # noqa: PLR2004
        return ImageFont.load_default(size)
    return ImageFont.truetype(fonts[int(rng.integers(len(fonts)))], size)


def _words(rng: np.random.Generator, count: int, *, chinese: bool) -> str:
    if chinese:
        return "".join(_CHINESE[int(i)] for i in rng.integers(0, len(_CHINESE), count * 3))
    return " ".join(_ENGLISH[int(i)] for i in rng.integers(0, len(_ENGLISH), count))


def page(rng: np.random.Generator, width: int, height: int, colour: Callable[[], tuple[int, int, int]]) -> Image.Image:
    """A page of text: dark on light, light on dark, or a poster of a few large words in two colours."""
    dark = tuple(int(v) for v in rng.integers(0, 70, 3))
    light = tuple(int(v) for v in rng.integers(195, 256, 3))
    kind = rng.random()
    poster = kind > 0.6  # noqa: PLR2004
    paper, ink = (light, dark) if kind < 0.4 else (dark, light) if kind < 0.5 else (colour(), colour())  # noqa: PLR2004
    if sum(abs(a - b) for a, b in zip(paper, ink, strict=True)) < 160:  # noqa: PLR2004 - it has to be seen
        paper, ink = light, dark
    picture = Image.new("RGB", (width, height), paper)
    draw = ImageDraw.Draw(picture)
    chinese = bool(rng.random() < 0.35)  # noqa: PLR2004
    size = int(rng.integers(18, 44)) if poster else int(rng.integers(7, 18))
    font = _font(rng, size, chinese=chinese)
    y = float(rng.integers(2, 14))
    if poster and rng.random() < 0.4:  # noqa: PLR2004
        draw.rounded_rectangle((4, 4, width - 5, height - 5), radius=8, outline=ink, width=int(rng.integers(1, 5)))
    left = int(rng.integers(3, 20))
    while y < height:
        words = int(rng.integers(1, 4)) if poster else 12
        if rng.random() > 0.08:  # noqa: PLR2004 - blank lines
            draw.text((left, y), _words(rng, words, chinese=chinese), font=font, fill=ink)
        y += size * float(rng.uniform(1.15, 1.6))
    return picture
