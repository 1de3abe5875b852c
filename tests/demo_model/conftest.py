"""The shipped pair, and the means to draw pictures for it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from training.llama import Llama
from training.render import Renderer, Sprites
from training.service import Service, demo_files

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
#: Sixty-four pictograms as this project draws them, 8 to a row, in the order of `training.glyphs.GLYPHS`.
_ATLAS, _ATLAS_COLUMNS, _SPRITE_PX = HERE / "sprites.webp", 8, 128


@pytest.fixture(scope="session")
def renderer() -> Renderer:
    """Draws training's pictures without the font, the photographs and the decoys."""
    with Image.open(_ATLAS) as atlas:
        sheet = atlas.convert("RGBA")
    corners = [(n % _ATLAS_COLUMNS * _SPRITE_PX, n // _ATLAS_COLUMNS * _SPRITE_PX) for n in range(64)]
    sprites = tuple(sheet.crop((x, y, x + _SPRITE_PX, y + _SPRITE_PX)) for x, y in corners)
    return Renderer(Sprites(sprites, (), ()), [], [], held_out=False)


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    with Service(demo_files()) as running:
        yield running


@pytest.fixture(scope="session")
def llama() -> Llama:
    files = demo_files()
    return Llama(files.model, files.projector, picture_tokens=files.picture_tokens)


@pytest.fixture(scope="session")
def reference() -> dict[str, np.ndarray]:
    """What PyTorch computed when the shipped pair was exported."""
    with np.load(HERE / "reference.npz") as arrays:
        return dict(arrays)
