"""Photographs and clip art: where they come from, and how they are split between training and evaluation.

Trained on is only what may be used without conditions on what is made of it: public domain, CC0, CC-BY, Apache, BSD,
Expat. Pictures under the GPL or CC-BY-SA serve evaluation alone: whether weights that saw them would have to carry
their licence is a question the weights here need not answer.

What is left is split by photograph (all crops and renditions of one lie on one side), by a hash of its name.
"""

import dataclasses
import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from . import repositories

#: The packages and pictures are known ones, some wallpapers among them larger than Pillow thinks safe.
Image.MAX_IMAGE_PIXELS = None


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """A Debian package: the folder of its pictures, the licence its copyright file states, and what the paths below
    that folder begin with that may be trained on."""

    folder: str
    licence: str
    trained: tuple[str, ...] = ()


_EVERYTHING = ("",)

PHOTOGRAPHS = {
    "gnome-backgrounds": Source("usr/share/backgrounds", "CC-BY-SA-3.0"),
    "lomiri-wallpapers-16.04": Source(
        "usr/share/backgrounds",
        "CC-BY-SA-4.0; trained on: CC-BY-4.0, CC0-1.0",
        ("aitzgorri", "friends", "life", "picosdeeuropa", "Picture_0B", "Picture_1A", "seeding", "sunset", "umang"),
    ),
    "lomiri-wallpapers-20.04": Source("usr/share/backgrounds", "CC-BY-SA-3.0"),
    "mate-backgrounds": Source("usr/share/backgrounds", "GPL-2+, CC-BY-SA-4.0"),
    "mypaint-data-extras": Source("usr/share/mypaint/backgrounds", "CC0-1.0", _EVERYTHING),
    "opencv-doc": Source("usr/share/doc/opencv-doc/examples", "Apache-2.0, BSD-3-Clause", _EVERYTHING),
    "plasma-workspace-wallpapers": Source("usr/share/wallpapers", "GPL-2+, CC-BY-SA-4.0, LGPL-3"),
    "stellarium-data": Source("usr/share/stellarium/landscapes", "GPL-2+"),
    "sway-backgrounds": Source("usr/share/backgrounds", "Expat", _EVERYTHING),
    "ukui-wallpapers": Source("usr/share/backgrounds", "CC-BY-SA-3.0"),
}

#: Things without a ground.
CUTOUTS = {
    "openclipart-png": Source("usr/share/openclipart/png", "public domain", _EVERYTHING),
    "tuxpaint-stamps-default": Source("usr/share/tuxpaint/stamps", "GPL-2"),
}
PACKAGES = PHOTOGRAPHS | CUTOUTS

#: Of the clip art: folders of things that the model has no name for.
_CLIP_ART = (
    *("containers", "electronics", "recreation/music", "recreation/sports", "recreation/toys", "education", "office"),
    *("buildings/furniture", "food/fruit", "food/dairy", "food/vegetables", "food/breads_and_carbs", "food/desserts"),
    *("food/meats_and_eggs", "plants", "computer/hardware", "transportation/vehicles", "tools", "animals"),
    *("signs_and_symbols/weather", "geography"),
)

#: ... without what looks like something that it has a name for; authors wrote English, Italian and French.
_CLIP_ART_LEFT_OUT = (
    *("weapon", "bullet", "knife", "coltell", "dagger", "sword", "spad", "gun", "pistol", "rifle", "bomb", "grenade"),
    *(
        "bow",
        "arrow",
        "arco",
        "axe",
        "ascia",
        "hatchet",
        "scalpel",
        "scissor",
        "forbic",
        "razor",
        "blade",
        "saw",
        "ammo",
    ),
    *("nunchaku", "boomerang", "ninja", "blood", "sangue", "skull", "teschio", "bone", "zombie", "coffin", "bandag"),
    *("smok", "cigar", "sigar", "pipe", "pill", "syringe", "siring", "needle", "drug", "thermomet", "beer", "birra"),
    *(
        "wine",
        "vino",
        "vin_",
        "whisk",
        "bottle",
        "bottigl",
        "bottl",
        "glass",
        "bicchier",
        "cocktail",
        "champ",
        "martini",
    ),
    *("drink", "mug", "barrel", "tankard", "dice", "dadi", "card", "carte", "casino", "slot", "domino", "mahjong"),
    *("bikini", "kiss", "lips", "mouth", "underwear", "swim", "brief", "beach", "pencil", "pen_", "crayon", "brush"),
    *("cat_", "gatto", "dog", "cane_", "rabbit", "conigl", "panda", "frog", "rana", "fish", "pesce", "bird", "uccell"),
    *("elephant", "elefant", "butterfly", "farfall", "apple", "banana", "pizza", "burger", "cake", "torta", "gateau"),
    *("strawberr", "fragol", "carrot", "carot", "coffee", "caff", "car_", "auto", "bus", "bicycl", "bici", "plane"),
    *("aereo", "train", "treno", "boat", "ship", "barca", "tree", "albero", "sapin", "flower", "fiore", "rose", "sun"),
    *("sole_", "moon", "luna", "star", "house", "casa", "home", "ball", "guitar", "chitarra", "book", "libro", "bible"),
    *("umbrell", "ombrell", "gift", "regalo", "clock", "orolog", "watch", "dinosaur", "map", "flag", "text", "bw"),
)

#: Not ordinary pictures, or pictures of what the model calls an alarm.
_LEFT_OUT = (
    *("Wine_by", "cards.png", "/js_", "html", "alphamat/trimaps", "mask", "military", "medical"),
    *("household", "halloween", "body_parts", "symbols/money", "armor", "fog", "illum", "-lgt", "hips", "scenetext"),
    *("left0", "left1", "right0", "right1", "digits", "ela_", "text_", "imageText", "newyears", "toys", "explosion"),
)
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
_SHORT_SIDE_PX = 320
_CUTOUT_SIDE_PX = 176
_MIN_BYTES = 12_000
_MIN_OPAQUE = 0.97
_MIN_SIDE_PX = 64
_TEST_SHARE = 0.2


@dataclasses.dataclass(frozen=True)
class Photo:
    """`pixels` uint8 (height, width, 3), short side at most 320 px. `name` is the same for all renditions of one."""

    name: str
    pixels: np.ndarray
    held_out: bool


@dataclasses.dataclass(frozen=True)
class Cutout:
    """A photographed thing on a transparent ground, uint8 (height, width, 4)."""

    name: str
    pixels: np.ndarray
    held_out: bool


def fetch(folder: Path) -> None:
    """Download and unpack the packages with apt (installs nothing), and single files of repositories with git."""
    folder.mkdir(parents=True, exist_ok=True)
    repositories.fetch(folder)
    missing = [p for p in PACKAGES if not (folder / p).exists()]
    if missing:
        subprocess.run(["apt-get", "download", *missing], cwd=folder, check=True)  # noqa: S603, S607
    for package in missing:
        for archive in folder.glob(f"{package}_*.deb"):
            subprocess.run(["dpkg-deb", "-x", str(archive), str(folder / package)], check=True)  # noqa: S603, S607


def is_held_out(name: str, source: Source | None = None, path: str = "") -> bool:
    """Whether a picture is for evaluation; `path` is the one below the source's folder."""
    if source is not None and not path.startswith(source.trained or ("\0",)):
        return True
    return hashlib.sha256(name.encode()).digest()[0] < 256 * _TEST_SHARE


def freely_shown(photos: list[Photo]) -> list[Photo]:
    """Those whose licence asks for nothing when a picture of them is published with a credit: for the sheet."""
    return [p for p in photos if p.name.startswith(("scikit-", "opencv-doc", "mypaint"))]


def _common_name(package: str, path: Path, base: Path) -> str:
    """One name for all sizes and day or night versions of a picture."""
    relative = path.relative_to(base)
    if package == "plasma-workspace-wallpapers":
        return f"{package}/{relative.parts[0]}"
    stem = relative.with_suffix("").as_posix()
    if package == "stellarium-data":
        return f"{package}/{relative.parent.as_posix()}"
    for ending in ("-l", "-d", "_bg"):
        stem = stem.removesuffix(ending)
    # Sway's and Mate's renditions differ by a size or a tint after the name; stereo pairs and series by a last digit.
    stem = stem.split("_Wallpaper")[0].split("_3840")[0].split("_5640")[0].rstrip("0123456789LRAB")
    return f"{package}/{stem}"


@dataclasses.dataclass(frozen=True, slots=True)
class _File:
    name: str
    path: Path
    held_out: bool


def _files(folder: Path, sources: dict[str, Source]) -> Iterator[_File]:
    for package, source in sources.items():
        base = folder / package / source.folder
        for path in sorted(base.rglob("*")):
            if path.suffix.lower() not in _SUFFIXES or path.is_symlink():
                continue
            below = path.relative_to(base).as_posix()
            if package == "openclipart-png":
                wanted = below.startswith(_CLIP_ART) and not any(word in below.lower() for word in _CLIP_ART_LEFT_OUT)
            else:
                wanted = path.stat().st_size >= _MIN_BYTES and not any(word in path.as_posix() for word in _LEFT_OUT)
            if wanted:
                name = _common_name(package, path, base)
                yield _File(name, path, is_held_out(name, source, below))


def _shrunk(picture: Image.Image, side_px: int = _SHORT_SIDE_PX) -> Image.Image:
    scale = side_px / min(picture.size)
    if scale >= 1:
        return picture
    return picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BOX)


def load(folder: Path) -> tuple[list[Photo], list[Cutout]]:
    """Everything under `folder` (see `fetch`), scikit-image's and scikit-learn's samples included where installed."""
    photos: list[Photo] = []
    cutouts: list[Cutout] = []
    for file in _files(folder, PHOTOGRAPHS):
        pixels = _pixels(file.path)
        if min(pixels.shape[:2]) >= _MIN_SIDE_PX and (pixels[..., 3] > 0).mean() > _MIN_OPAQUE:
            photos.append(Photo(file.name, pixels[..., :3].copy(), file.held_out))
    for motif, path in repositories.pictures(folder):
        photos.append(Photo(motif, _pixels(path)[..., :3].copy(), is_held_out(motif)))
    for file in _files(folder, CUTOUTS):
        pixels = _pixels(file.path)
        box = Image.fromarray(pixels).getchannel("A").getbbox()
        if min(pixels.shape[:2]) < _MIN_SIDE_PX or box is None or (pixels[..., 3] > 0).mean() > _MIN_OPAQUE:
            continue
        thing = _shrunk(Image.fromarray(pixels).crop(box), _CUTOUT_SIDE_PX)
        cutouts.append(Cutout(file.name, np.asarray(thing), file.held_out))
    photos += [Photo(name, pixels, is_held_out(name)) for name, pixels in _wheel_samples()]
    return photos, cutouts


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        opened.draft("RGB", (2 * _SHORT_SIDE_PX, 2 * _SHORT_SIDE_PX))
        return np.asarray(_shrunk(opened.convert("RGBA")))


def _wheel_samples() -> Iterator[tuple[str, np.ndarray]]:
    from skimage import data  # noqa: PLC0415 - only needed here, and slow to import

    names = (
        *("astronaut", "camera", "chelsea", "coffee", "coins", "rocket", "page", "text", "moon", "brick", "grass"),
        *("gravel", "hubble_deep_field", "immunohistochemistry", "retina", "cell", "clock", "colorwheel"),
    )
    for name in names:
        try:
            pixels = np.asarray(getattr(data, name)())
        except (AttributeError, OSError, ModuleNotFoundError):
            continue  # not in this version's wheel
        rgb = Image.fromarray(pixels).convert("RGB")
        yield f"scikit-image/{name}", np.asarray(_shrunk(rgb))
    try:
        from sklearn.datasets import load_sample_images  # noqa: PLC0415
    except ModuleNotFoundError:
        return
    for index, pixels in enumerate(load_sample_images().images):
        yield f"scikit-learn/{index}", np.asarray(_shrunk(Image.fromarray(pixels)))
