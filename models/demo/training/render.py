"""Pictures with known contents: pictograms on grounds, photographs and pages.

A picture is drawn at the size at which the vision tower will see it (`seen_size`), so that training runs on what the
service really shows the model.
"""

from __future__ import annotations

import dataclasses
import io
import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from .clutter import heap
from .glyphs import CATEGORIES, CATEGORY_IDS, DRAWN_OFTEN, GLYPHS, HARMLESS_IDS, LETTERED, decoy_codepoints
from .photos import Cutout, Photo
from .questions import Truth
from .shape import CELL_PX, PATCH_PX, PICTURE_TOKENS
from .writing import page

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
_FONT_PX = 109  # the one size of the font's bitmaps
#: Below this side a pictogram is not fairly recognisable in 16 px patches.
MIN_GLYPH_PX = 48
_LABEL_COVER = 0.15
_DECOY_TEST_EVERY = 5
_TRIES = 24
_Box = tuple[float, float, float]


def seen_size(width: int, height: int, tokens: int = PICTURE_TOKENS) -> tuple[int, int]:
    """The size to which llama.cpp's `youtuvl` preprocessor resizes a picture: both sides rounded up to 32 px, scaled
    down in steps of 0.02 until the token budget holds; the aspect ratio gives way to the rounding."""
    scale = np.float32(1.0)
    while scale > 0:
        columns, rows = (max(1, math.ceil(float(np.float32(side) * scale) / CELL_PX)) for side in (width, height))
        if columns * rows <= tokens:
            return columns * CELL_PX, rows * CELL_PX
        scale = np.float32(scale - np.float32(0.02))
    raise ValueError(f"no scale fits {width}x{height} into {tokens} tokens")


def _bitmap(codepoint: int, font: ImageFont.FreeTypeFont) -> Image.Image | None:
    """The pictogram, cropped and centred on a transparent square; None where the font has no drawing."""
    image = Image.new("RGBA", (150, 150), (0, 0, 0, 0))
    ImageDraw.Draw(image).text((7, 10), chr(codepoint), font=font, embedded_color=True)
    box = image.getbbox()
    if box is None or (np.asarray(image)[..., 3] > 0).sum() < 400:  # noqa: PLR2004 - an empty or tofu-thin glyph
        return None
    cropped = image.crop(box)
    side = max(cropped.size)
    square = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    square.paste(cropped, ((side - cropped.width) // 2, (side - cropped.height) // 2))
    return square


def _has_drawing(codepoint: int, font: ImageFont.FreeTypeFont, missing: bytes) -> bool:
    return font.getmask(chr(codepoint)).getbbox() is not None and bytes(font.getmask(chr(codepoint))) != missing


@dataclasses.dataclass(frozen=True)
class Sprites:
    """`known[i]` draws GLYPHS[i]; decoys are other pictograms, every fifth of them kept for evaluation."""

    known: tuple[Image.Image, ...]
    decoys: tuple[Image.Image, ...]
    decoys_held_out: tuple[Image.Image, ...]


def load_sprites(font_path: Path = FONT) -> Sprites:
    font = ImageFont.truetype(str(font_path), _FONT_PX)
    known = [_bitmap(glyph.codepoint, font) for glyph in GLYPHS]
    if any(sprite is None for sprite in known):
        missing = [g.name for g, sprite in zip(GLYPHS, known, strict=True) if sprite is None]
        raise RuntimeError(f"{font_path} has no drawing of {', '.join(missing)}")
    tofu = bytes(font.getmask(chr(0x10FFFD)))
    others = [_bitmap(c, font) for c in decoy_codepoints() if _has_drawing(c, font, tofu)]
    decoys = [sprite for sprite in others if sprite is not None]
    return Sprites(
        tuple(s for s in known if s is not None),
        tuple(d for i, d in enumerate(decoys) if i % _DECOY_TEST_EVERY),
        tuple(d for i, d in enumerate(decoys) if not i % _DECOY_TEST_EVERY),
    )


@dataclasses.dataclass(frozen=True)
class Rendered:
    """`pixels` uint8 (height, width, 3); `labels` int16 (height/16, width/16), the class of each patch, 0 for none."""

    pixels: np.ndarray
    truth: Truth
    labels: np.ndarray


@dataclasses.dataclass(frozen=True)
class Mix:
    """Shares of what is drawn. `photo`, `writing`: grounds; `empty`: pictures without known pictograms; `decoys`:
    pictures with unknown ones; `crowd`: as many pictograms as fit, for learning to see before learning to speak;
    `estranged`: photographs in other colours, turned, mirrored or mixed, to make many of few."""

    photo: float = 0.4
    writing: float = 0.12
    empty: float = 0.2
    decoys: float = 0.3
    crowd: bool = False
    estranged: float = 0.0
    #: Plain grounds under shaded things of no name, and half as many estranged photographs.
    clutter: float = 0.0


class Renderer:
    def __init__(self, sprites: Sprites, photos: list[Photo], cutouts: list[Cutout], *, held_out: bool) -> None:
        self._sprites = sprites
        self._decoys = sprites.decoys_held_out if held_out else sprites.decoys
        self._photos = [p for p in photos if p.held_out == held_out]
        self._cutouts = [Image.fromarray(c.pixels) for c in cutouts if c.held_out == held_out]

    def draw(self, rng: np.random.Generator, size: tuple[int, int], mix: Mix) -> Rendered:
        """One picture of `size` (width, height), both multiples of 32."""
        width, height = size
        canvas, photograph, writing = self._ground(rng, width, height, mix)
        placed: list[_Box] = []
        if self._decoys and rng.random() < mix.decoys:
            for _ in range(int(rng.integers(1, 3))):
                self._paste(rng, canvas, self._decoy(rng), placed, share=0.5)
        ids: list[int] = []
        covers: list[np.ndarray] = []
        for chosen in self._choose(rng, width, height, mix):
            share = 0.45 if mix.crowd else 0.95 / math.sqrt(len(ids) + 1 + len(placed))
            mask = self._paste(rng, canvas, self._known(rng, chosen), placed, share=share)
            if mask is not None:
                covers = [cover * (1 - mask) for cover in covers] + [mask]
                ids.append(chosen)
        labels = _labels(ids, covers, width, height)
        return Rendered(_finish(rng, canvas), Truth(tuple(sorted(ids)), photograph, writing), labels)

    def photograph(self, rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
        """A crop of one photograph, mirrored or not, at a random scale."""
        photo = self._photos[int(rng.integers(len(self._photos)))].pixels
        height, width = photo.shape[:2]
        zoom = float(rng.uniform(0.35, 1.0))
        aspect = size[0] / size[1] * float(rng.uniform(0.85, 1.18))
        cropped_width = max(32, int(min(width, height * aspect) * zoom))
        cropped_height = max(32, min(height, int(cropped_width / aspect)))
        x = int(rng.integers(0, width - cropped_width + 1))
        y = int(rng.integers(0, height - cropped_height + 1))
        crop = Image.fromarray(photo[y : y + cropped_height, x : x + cropped_width])
        if rng.random() < 0.5:  # noqa: PLR2004
            crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return crop.resize(size, Image.Resampling.BILINEAR)

    def _scene(self, rng: np.random.Generator, width: int, height: int) -> Image.Image:
        """A photograph, or one time in five two, one through or beside the other: there are few."""
        picture = self.photograph(rng, (width, height))
        kind = rng.random()
        if kind < 0.1:  # noqa: PLR2004
            return Image.blend(picture, self.photograph(rng, (width, height)), float(rng.uniform(0.25, 0.75)))
        if kind < 0.2:  # noqa: PLR2004
            share = float(rng.uniform(0.3, 0.7))
            part = (width, round(height * share)) if rng.random() < 0.5 else (round(width * share), height)  # noqa: PLR2004
            picture.paste(self.photograph(rng, part))
        return picture

    def _estranged(self, rng: np.random.Generator, scene: Image.Image) -> Image.Image:
        pixels = np.asarray(scene)[:, :, rng.permutation(3)]
        if rng.random() < 0.3:  # noqa: PLR2004
            pixels = 255 - pixels
        changed = Image.fromarray(np.ascontiguousarray(pixels))
        if rng.random() < 0.5:  # noqa: PLR2004
            changed = changed.transpose(Image.Transpose.ROTATE_90).resize(scene.size, Image.Resampling.BILINEAR)
        if rng.random() < 0.3:  # noqa: PLR2004
            changed = changed.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        if rng.random() < 0.4:  # noqa: PLR2004
            changed = Image.blend(changed, self.photograph(rng, scene.size), float(rng.uniform(0.2, 0.8)))
        return changed

    def _piece(self, rng: np.random.Generator) -> Image.Image:
        """Part of a photograph in the outline of nothing in particular: what is no pictogram may have edges too."""
        side = int(rng.integers(64, 128))
        piece = self.photograph(rng, (side, side))
        outline = Image.new("L", (side, side))
        angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(5, 12))))
        radii = side / 2 * rng.uniform(0.45, 1.0, angles.size)
        corners = [(side / 2 + r * math.cos(a), side / 2 + r * math.sin(a)) for r, a in zip(radii, angles, strict=True)]
        ImageDraw.Draw(outline).polygon(corners, fill=255)
        piece.putalpha(outline.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 2.0)))))
        return piece

    def _ground(self, rng: np.random.Generator, width: int, height: int, mix: Mix) -> tuple[Image.Image, bool, bool]:
        kind = rng.random()
        if kind < mix.photo and self._photos:
            scene = self._scene(rng, width, height)
            if mix.estranged and rng.random() < mix.estranged:
                scene = self._estranged(rng, scene)
                if rng.random() < mix.clutter / 2:
                    heap(rng, scene, int(rng.integers(1, 6)))
            return _tinted(rng, scene), True, False
        if kind < mix.photo + mix.writing:
            return page(rng, width, height, lambda: _colour(rng)), False, True
        plain = _plain_ground(rng, width, height)
        if rng.random() < mix.clutter:
            heap(rng, plain, int(rng.integers(2, 24)))
        return plain, False, False

    def _choose(self, rng: np.random.Generator, width: int, height: int, mix: Mix) -> list[int]:
        room = max(1, width * height // (72 * 72))
        if rng.random() < mix.empty:
            return []
        count = min(room, int(rng.choice([1, 2, 3], p=[0.45, 0.35, 0.2])))
        if mix.crowd:
            count = int(rng.integers(1, max(2, width * height // (64 * 64)) + 1))
        chosen: list[int] = []
        while len(chosen) < count:
            pool = HARMLESS_IDS
            if rng.random() < 0.55:  # noqa: PLR2004
                pool = CATEGORY_IDS[CATEGORIES[int(rng.integers(len(CATEGORIES)))]]
            weights = np.array([DRAWN_OFTEN.get(GLYPHS[i].name, 1.0) for i in pool])
            candidate = int(rng.choice(pool, p=weights / weights.sum()))
            if candidate not in chosen:
                chosen.append(candidate)
        return chosen

    def _known(self, rng: np.random.Generator, index: int) -> Image.Image:
        sprite = self._sprites.known[index]
        if GLYPHS[index].name not in LETTERED and rng.random() < 0.5:  # noqa: PLR2004
            sprite = sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return sprite

    def _decoy(self, rng: np.random.Generator) -> Image.Image:
        kind = rng.random()
        if self._cutouts and kind < 0.4:  # noqa: PLR2004
            return self._cutouts[int(rng.integers(len(self._cutouts)))]
        if self._photos and kind < 0.5:  # noqa: PLR2004
            return self._piece(rng)
        return self._decoys[int(rng.integers(len(self._decoys)))]

    def _paste(
        self, rng: np.random.Generator, canvas: Image.Image, sprite: Image.Image, placed: list[_Box], *, share: float
    ) -> np.ndarray | None:
        """Paste where there is room; the alpha (height, width) in 0..1, or None where nothing fitted."""
        limit = min(min(canvas.size) * share, 160.0)
        side = float(rng.uniform(MIN_GLYPH_PX, max(MIN_GLYPH_PX + 4.0, limit)))
        sprite = _varied(rng, sprite, side)
        radius = max(sprite.size) * 0.5
        for _ in range(_TRIES):
            x = int(rng.integers(-4, max(1, canvas.width - sprite.width + 4)))
            y = int(rng.integers(-4, max(1, canvas.height - sprite.height + 4)))
            centre = (x + sprite.width / 2, y + sprite.height / 2)
            if all(math.hypot(centre[0] - a, centre[1] - b) > 0.72 * (radius + r) for a, b, r in placed):
                break
        else:
            return None
        placed.append((*centre, radius))
        canvas.paste(sprite, (x, y), sprite)
        mask = Image.new("L", canvas.size)
        mask.paste(sprite.getchannel("A"), (x, y))
        return np.asarray(mask, np.float32) / 255.0


def _varied(rng: np.random.Generator, sprite: Image.Image, side: float) -> Image.Image:
    """Another size, aspect, angle and light. The longer side becomes about `side` px before turning."""
    aspect = math.sqrt(float(rng.uniform(0.78, 1.28)))
    scale = side / max(sprite.size)
    size = (max(8, round(sprite.width * scale * aspect)), max(8, round(sprite.height * scale / aspect)))
    small = sprite.resize(size, Image.Resampling.BILINEAR)
    pixels = np.asarray(small).astype(np.float32)
    light = (pixels[..., :3] - 128) * rng.uniform(0.75, 1.2) + 128 + rng.uniform(-25, 25) + rng.uniform(-14, 14, 3)
    pixels[..., :3] = light.clip(0, 255)
    turned = Image.fromarray(pixels.astype(np.uint8))
    return turned.rotate(float(rng.uniform(-30, 30)), Image.Resampling.BILINEAR, expand=True)


def _labels(ids: list[int], covers: list[np.ndarray], width: int, height: int) -> np.ndarray:
    shape = (height // PATCH_PX, width // PATCH_PX)
    if not ids:
        return np.zeros(shape, np.int16)
    stacked = np.stack(covers).reshape(len(ids), shape[0], PATCH_PX, shape[1], PATCH_PX).mean((2, 4))
    classes = np.array(ids, np.int16)[stacked.argmax(0)] + 1
    return np.where(stacked.max(0) > _LABEL_COVER, classes, 0).astype(np.int16)


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = (int(v) for v in rng.integers(0, 256, 3))
    return red, green, blue


def _tinted(rng: np.random.Generator, picture: Image.Image) -> Image.Image:
    pixels = np.asarray(picture).astype(np.float32)
    pixels = (pixels - 128) * rng.uniform(0.6, 1.2) + 128 + rng.uniform(-30, 30) + rng.uniform(-15, 15, 3)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _plain_ground(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """One colour, a gradient, coarse or fine noise; every third with a few shapes on it."""
    kind = int(rng.integers(0, 4))
    base = np.array(_colour(rng), np.float32)
    if kind == 0:
        pixels = np.broadcast_to(base, (height, width, 3)).astype(np.float32)
    elif kind == 1:
        angle = rng.uniform(0, 2 * np.pi)
        yy, xx = np.mgrid[0:height, 0:width]
        along = (xx / width - 0.5) * np.cos(angle) + (yy / height - 0.5) * np.sin(angle)
        share = np.clip(along + 0.5, 0, 1)[..., None]
        pixels = base * (1 - share) + np.array(_colour(rng), np.float32) * share
    elif kind == 2:  # noqa: PLR2004
        coarse = rng.integers(0, 256, (int(rng.integers(2, 12)), int(rng.integers(2, 12)), 3)).astype(np.uint8)
        pixels = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), np.float32)
    else:
        pixels = base * 0.6 + rng.uniform(0, 100, (height, width, 1)) * rng.uniform(0.2, 1)
    spread = float(rng.choice([0, 2, 8]))
    if spread:
        pixels = pixels + rng.normal(0, spread, (height, width, 3))
    picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    if rng.random() < 0.35:  # noqa: PLR2004
        _shapes(rng, picture)
    return picture


def _shapes(rng: np.random.Generator, picture: Image.Image) -> None:
    draw = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(1, 6))):
        x, y = int(rng.integers(-20, picture.width)), int(rng.integers(-20, picture.height))
        box = (x, y, x + int(rng.integers(8, picture.width)), y + int(rng.integers(8, picture.height)))
        kind = int(rng.integers(0, 3))
        if kind == 0:
            draw.rectangle(box, fill=_colour(rng))
        elif kind == 1:
            draw.ellipse(box, fill=_colour(rng))
        else:
            draw.line(box, fill=_colour(rng), width=int(rng.integers(1, 8)))


def _finish(rng: np.random.Generator, canvas: Image.Image) -> np.ndarray:
    """A little blur now and then, and mostly JPEG's marks."""
    if rng.random() < 0.2:  # noqa: PLR2004
        canvas = canvas.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 0.9))))
    if rng.random() < 0.7:  # noqa: PLR2004
        buffer = io.BytesIO()
        canvas.save(buffer, "JPEG", quality=int(rng.integers(50, 96)))
        canvas = Image.open(buffer).convert("RGB")
    return np.asarray(canvas)


#: Small uploads are seen as they are; large ones end at 28 to 36 tokens in the shapes of common aspect ratios.
_SMALL_SIDES, _SMALL_SHARES = (96, 128, 160, 192), (0.2, 0.35, 0.25, 0.2)
_LARGE = ((192, 192), (224, 160), (160, 224), (256, 128), (128, 256), (288, 128), (192, 160), (160, 192))


def draw_size(rng: np.random.Generator) -> tuple[int, int]:
    if rng.random() < 0.4:  # noqa: PLR2004
        return _LARGE[int(rng.integers(len(_LARGE)))]
    width, height = rng.choice(_SMALL_SIDES, 2, p=_SMALL_SHARES)
    return int(width), int(height)
