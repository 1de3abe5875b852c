"""A sheet of pictures with the model's answers under them, to look at."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .glyphs import CATEGORIES
from .questions import DESCRIBE, policy_questions
from .render import Rendered
from .service import Service

_COLUMNS, _CELL_W, _CELL_H, _PICTURE_H = 6, 200, 208, 150
_LINE_CHARACTERS = 32
_ALARM = 0.5


def draw(service: Service, pictures: list[Rendered], out: Path) -> None:
    """English probes only: right alarms in green, false and missed ones in red."""
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
    there = picture.truth.categories
    scored = list(zip(CATEGORIES, answers.p, strict=True))
    found = ", ".join(f"{c} {p:.2f}" for c, p in scored if p > _ALARM and c in there)
    wrong = [f"false {c} {p:.2f}" for c, p in scored if p > _ALARM and c not in there]
    wrong += [f"missed {c} {p:.2f}" for c, p in scored if p <= _ALARM and c in there]
    lines = [caption[:_LINE_CHARACTERS], caption[_LINE_CHARACTERS : 2 * _LINE_CHARACTERS]]
    for n, line in enumerate(lines):
        write.text((x + 4, y + _PICTURE_H + 6 + 12 * n), line, fill="black", font=font)
    write.text((x + 4, y + _PICTURE_H + 30), found or ("" if wrong else "no alarm"), fill="#207020", font=font)
    write.text((x + 4, y + _PICTURE_H + 42), ", ".join(wrong)[:_LINE_CHARACTERS], fill="#c00000", font=font)


def sample(pictures: list[Rendered], count: int = 30) -> list[Rendered]:
    """Some of each kind: by contents, not by how well they were answered."""
    order = np.argsort([len(p.truth.ids) for p in pictures], kind="stable")
    step = max(1, len(pictures) // count)
    return [pictures[int(i)] for i in order[::step]][:count]
