"""A sheet of pictures with the model's answers under them, to look at."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .glyphs import CATEGORIES
from .questions import DESCRIBE, policy_questions
from .render import Rendered
from .service import Service

_COLUMNS, _CELL_W, _CELL_H, _PICTURE_H = 6, 200, 196, 150
_LINE_CHARACTERS = 32
_ALARM = 0.5


def draw(service: Service, pictures: list[Rendered], out: Path) -> None:
    """English probes only; alarms in red, missed categories in orange."""
    rows = -(-len(pictures) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * _CELL_W, rows * _CELL_H), "white")
    for n, picture in enumerate(pictures):
        _cell(sheet, service, picture, n % _COLUMNS * _CELL_W, n // _COLUMNS * _CELL_H)
    # Photographs compress badly as true colour; 192 colours are enough to judge by eye.
    sheet.quantize(192).save(out, optimize=True)


def _cell(sheet: Image.Image, service: Service, picture: Rendered, x: int, y: int) -> None:
    probes = [prompt for _, language, prompt in policy_questions() if language == "en"]
    answers = service.ask(picture.pixels, probes, (DESCRIBE,))
    shown = Image.fromarray(picture.pixels)
    shown.thumbnail((_CELL_W - 8, _PICTURE_H))
    sheet.paste(shown, (x + (_CELL_W - shown.width) // 2, y + 4))
    write = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(11)
    caption = answers.texts[0]
    alarms = [f"{c} {p:.2f}" for c, p in zip(CATEGORIES, answers.p, strict=True) if p > _ALARM]
    missed = [c for c, p in zip(CATEGORIES, answers.p, strict=True) if p <= _ALARM and c in picture.truth.categories]
    lines = [caption[:_LINE_CHARACTERS], caption[_LINE_CHARACTERS : 2 * _LINE_CHARACTERS]]
    for n, line in enumerate(lines):
        write.text((x + 4, y + _PICTURE_H + 6 + 12 * n), line, fill="black", font=font)
    colour, text = ("#c00000", ", ".join(alarms)) if alarms else ("#207020", "no alarm")
    if missed:
        colour, text = "#c06000", f"{text} MISSED {', '.join(missed)}"
    write.text((x + 4, y + _PICTURE_H + 30), text[:_LINE_CHARACTERS], fill=colour, font=font)


def sample(pictures: list[Rendered], count: int = 30) -> list[Rendered]:
    """Some of each kind: by contents, not by how well they were answered."""
    order = np.argsort([len(p.truth.ids) for p in pictures], kind="stable")
    step = max(1, len(pictures) // count)
    return [pictures[int(i)] for i in order[::step]][:count]
