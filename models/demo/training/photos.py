"""Photographs: where they come from, and how they are split between training and evaluation.

The split is by photograph (all crops and renditions of one lie on one side), by a hash of its name.
"""

import dataclasses
import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

#: Debian packages, the folder of their pictures, and the licence their copyright file states.
PACKAGES = {
    "gnome-backgrounds": ("usr/share/backgrounds", "CC-BY-SA-3.0"),
    "lomiri-wallpapers-16.04": ("usr/share/backgrounds", "CC-BY-4.0, CC-BY-SA-3.0, CC-BY-SA-4.0"),
    "lomiri-wallpapers-20.04": ("usr/share/backgrounds", "CC-BY-4.0, CC-BY-SA-4.0"),
    "mate-backgrounds": ("usr/share/backgrounds", "GPL-2+, CC-BY-SA-4.0"),
    "mypaint-data-extras": ("usr/share/mypaint/backgrounds", "CC0-1.0, CC-BY-3.0"),
    "opencv-doc": ("usr/share/doc/opencv-doc/examples", "Apache-2.0, BSD-3-Clause"),
    "plasma-workspace-wallpapers": ("usr/share/wallpapers", "GPL-2+"),
    "stellarium-data": ("usr/share/stellarium/landscapes", "GPL-2+"),
    "sway-backgrounds": ("usr/share/backgrounds", "Expat"),
    "tuxpaint-stamps-default": ("usr/share/tuxpaint/stamps", "GPL-2"),
    "ukui-wallpapers": ("usr/share/backgrounds", "CC-BY-SA-3.0"),
}

#: Not ordinary pictures, or pictures of what the model calls an alarm.
_LEFT_OUT = (
    *("Wine_by", "cards.png", "/js_", "html", "alphamat/trimaps", "mask", "military", "medical"),
    *("household", "halloween", "body_parts", "symbols/money", "armor", "fog", "illum", "-lgt", "hips", "scenetext"),
    *("left0", "left1", "right0", "right1", "digits", "ela_", "text_", "imageText", "newyears", "toys", "explosion"),
)
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
_SHORT_SIDE_PX = 320
_MIN_BYTES = 12_000
_MIN_OPAQUE = 0.97
_TEST_SHARE = 0.3


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
    """Download and unpack the packages with apt; installs nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [p for p in PACKAGES if not (folder / p).exists()]
    if missing:
        subprocess.run(["apt-get", "download", *missing], cwd=folder, check=True)  # noqa: S603, S607
    for package in missing:
        for archive in folder.glob(f"{package}_*.deb"):
            subprocess.run(["dpkg-deb", "-x", str(archive), str(folder / package)], check=True)  # noqa: S603, S607


def is_held_out(name: str) -> bool:
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


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for package, (inside, _) in PACKAGES.items():
        base = folder / package / inside
        for path in sorted(base.rglob("*")):
            if path.suffix.lower() not in _SUFFIXES or path.is_symlink() or path.stat().st_size < _MIN_BYTES:
                continue
            if any(part in path.as_posix() for part in _LEFT_OUT):
                continue
            yield _common_name(package, path, base), path


def _shrunk(picture: Image.Image) -> Image.Image:
    scale = _SHORT_SIDE_PX / min(picture.size)
    if scale >= 1:
        return picture
    return picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BOX)


def load(folder: Path) -> tuple[list[Photo], list[Cutout]]:
    """Everything under `folder` (see `fetch`), scikit-image's and scikit-learn's samples included where installed."""
    photos: list[Photo] = []
    cutouts: list[Cutout] = []
    for name, path in _files(folder):
        with Image.open(path) as opened:
            opened.draft("RGB", (2 * _SHORT_SIDE_PX, 2 * _SHORT_SIDE_PX))
            picture = _shrunk(opened.convert("RGBA"))
        pixels = np.asarray(picture)
        if min(pixels.shape[:2]) < 2 * 32:
            continue
        if (pixels[..., 3] > 0).mean() > _MIN_OPAQUE:
            photos.append(Photo(name, pixels[..., :3].copy(), is_held_out(name)))
        elif "tuxpaint" in name:
            box = picture.getchannel("A").getbbox()
            cutouts.append(Cutout(name, np.asarray(picture.crop(box)), is_held_out(name)))
    photos += [Photo(name, pixels, is_held_out(name)) for name, pixels in _wheel_samples()]
    return photos, cutouts


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
