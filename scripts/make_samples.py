"""Draw the pictures of docs/samples/: one with listed terms in it, one innocent. Font: Pillow's own (Aileron, CC0)."""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

_FOLDER = Path(__file__).resolve().parent.parent / "docs" / "samples"

_FORGED_PAPERS = (
    "#f4ead5",
    "#7a1f1f",
    ["Passports & driving licences", "buy fake passport online", "fast, discreet, any country"],
)
_BAKERY = ("#eaf3ee", "#1f4d3a", ["Corner Bakery", "Fresh bread every morning", "Open Monday to Saturday, 7 to 6"])


def _draw(name: str, paper: str, ink: str, lines: list[str]) -> None:
    picture = Image.new("RGB", (800, 420), paper)
    draw = ImageDraw.Draw(picture)
    draw.rounded_rectangle((24, 24, 776, 396), radius=18, outline=ink, width=5)
    for row, (line, size) in enumerate(zip(lines, (46, 42, 32), strict=True)):
        draw.text((400, 110 + row * 95), line, font=ImageFont.load_default(size), fill=ink, anchor="mm")
    picture.save(_FOLDER / name, optimize=True)


if __name__ == "__main__":
    _FOLDER.mkdir(parents=True, exist_ok=True)
    _draw("forged-papers.png", *_FORGED_PAPERS)
    _draw("bakery.png", *_BAKERY)
