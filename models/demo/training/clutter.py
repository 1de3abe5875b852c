"""Things of no name: shaded outlines heaped on a picture, as objects lie on tables and shelves.

The statistics of photographs come from things that hide one another at all sizes ("dead leaves": Lee, Mumford, Huang,
"Occlusion models for natural images", 2001). Of these there is no end, where free photographs are few; what the model
is to learn from them is that strong colours, edges and highlights alone are nothing that it has a name for.
"""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

_SMALLEST_PX = 16
_OVERSAMPLED = 2


def heap(rng: np.random.Generator, canvas: Image.Image, count: int) -> None:
    """Draw `count` things onto `canvas`, large ones first; half of the heaps keep to few colours, half to one form."""
    family = _colours(rng, int(rng.integers(2, 7)) if rng.random() < 0.5 else count)  # noqa: PLR2004
    form = int(rng.integers(len(_FORMS))) if rng.random() < 0.5 else None  # noqa: PLR2004
    largest = min(canvas.size) * float(rng.uniform(0.25, 0.8))
    # Sizes by an inverse power, as the sizes of things in photographs are.
    sides = _SMALLEST_PX * (largest / _SMALLEST_PX) ** rng.random(count)
    for side in sorted(sides, reverse=True):
        colour = family[int(rng.integers(len(family)))]
        thing = _thing(rng, int(side), colour, int(rng.integers(len(_FORMS))) if form is None else form)
        x = int(rng.integers(-side // 2, canvas.width - side // 2))
        y = int(rng.integers(-side // 2, canvas.height - side // 2))
        if rng.random() < 0.4:  # noqa: PLR2004
            shadow = thing.getchannel("A").filter(ImageFilter.GaussianBlur(2)).point(lambda alpha: alpha // 2)
            canvas.paste((0, 0, 0), (x + 2, y + 3), shadow)
        canvas.paste(thing, (x, y), thing)


def _colours(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 3) in 0..255, from grey to gaudy: most of what is photographed is neither."""
    greyness = rng.uniform(0, 0.9, (count, 1))
    colours: np.ndarray = rng.uniform(0, 255, (count, 3)) * (1 - greyness) + rng.uniform(0, 255, (count, 1)) * greyness
    return colours


def _thing(rng: np.random.Generator, side: int, colour: np.ndarray, form: int) -> Image.Image:
    """One outline of about `side` px, shaded across, perhaps with a highlight, a rim or stripes."""
    yy, xx = np.mgrid[0:side, 0:side].astype(np.float32) / side - 0.5
    angle = rng.uniform(0, 2 * math.pi)
    along, across = xx * math.cos(angle) + yy * math.sin(angle), yy * math.cos(angle) - xx * math.sin(angle)
    light = rng.uniform(0, 1.4) * along
    if rng.random() < 0.5:  # noqa: PLR2004 - round like a cup or a ball
        light = light - rng.uniform(0.5, 2.5) * across**2
    if rng.random() < 0.25:  # noqa: PLR2004
        light = light + rng.uniform(0.1, 0.4) * np.sign(np.sin(along * rng.uniform(12, 60)))
    pixels = colour + 160 * light[..., None] + rng.normal(0, rng.choice([0, 4, 12]), (side, side, 1))
    if rng.random() < 0.4:  # noqa: PLR2004
        spot = rng.uniform(-0.25, 0.25, 2)
        gleam = np.exp(-((xx - spot[0]) ** 2 + (yy - spot[1]) ** 2) / rng.uniform(0.001, 0.02))
        pixels = pixels + 200 * gleam[..., None]
    thing = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    mask = Image.new("L", (side * _OVERSAMPLED, side * _OVERSAMPLED))
    _FORMS[form](rng, ImageDraw.Draw(mask), side * _OVERSAMPLED)
    mask = mask.rotate(math.degrees(angle)).resize((side, side), Image.Resampling.BOX)
    if rng.random() < 0.25:  # noqa: PLR2004
        rim = mask.filter(ImageFilter.FIND_EDGES)
        thing.paste(tuple(int(v * 0.4) for v in colour.clip(0, 255)), (0, 0), rim)
    if rng.random() < 0.2:  # noqa: PLR2004 - out of focus
        mask = mask.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.5, 2.5))))
    thing.putalpha(mask)
    return thing


def _round(rng: np.random.Generator, draw: ImageDraw.ImageDraw, side: int) -> None:
    thin = side * rng.uniform(0, 0.35)
    draw.ellipse((0, thin, side - 1, side - 1 - thin), fill=255)


def _box(rng: np.random.Generator, draw: ImageDraw.ImageDraw, side: int) -> None:
    thin = side * rng.uniform(0, 0.42)
    draw.rounded_rectangle((0, thin, side - 1, side - 1 - thin), radius=side * rng.uniform(0, 0.2), fill=255)


def _vessel(rng: np.random.Generator, draw: ImageDraw.ImageDraw, side: int) -> None:
    top, bottom, low = rng.uniform(0.2, 0.5), rng.uniform(0.1, 0.45), rng.uniform(0.7, 0.98)
    corners = [(0.5 - top, 0.08), (0.5 + top, 0.08), (0.5 + bottom, low), (0.5 - bottom, low)]
    draw.polygon([(x * side, y * side) for x, y in corners], fill=255)
    draw.ellipse(((0.5 - top) * side, 0, (0.5 + top) * side, 0.16 * side), fill=255)


def _petals(rng: np.random.Generator, draw: ImageDraw.ImageDraw, side: int) -> None:
    count, depth = int(rng.integers(3, 12)), rng.uniform(0.1, 0.7)
    turns = np.linspace(0, 2 * math.pi, 90)
    radii = side / 2 * (1 - depth / 2 + depth / 2 * np.cos(turns * count))
    outline = [
        (side / 2 + r * math.cos(turn), side / 2 + r * math.sin(turn)) for r, turn in zip(radii, turns, strict=True)
    ]
    draw.polygon(outline, fill=255)


def _shard(rng: np.random.Generator, draw: ImageDraw.ImageDraw, side: int) -> None:
    turns = np.sort(rng.uniform(0, 2 * math.pi, int(rng.integers(3, 9))))
    radii = side / 2 * rng.uniform(0.4, 1, turns.size)
    corners = [
        (side / 2 + r * math.cos(turn), side / 2 + r * math.sin(turn)) for r, turn in zip(radii, turns, strict=True)
    ]
    draw.polygon(corners, fill=255)


def _strap(rng: np.random.Generator, draw: ImageDraw.ImageDraw, side: int) -> None:
    xs = np.linspace(0, side, 24)
    bend, waves = rng.uniform(0, 0.35) * side, rng.uniform(0.3, 2.5)
    ys = side / 2 + bend * np.sin(xs / side * waves * 2 * math.pi)
    draw.line(list(zip(xs, ys, strict=True)), fill=255, width=max(2, int(side * rng.uniform(0.04, 0.3))), joint="curve")


_FORMS = (_round, _box, _vessel, _petals, _shard, _strap)
