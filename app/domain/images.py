"""A picture, from its facts to the pixels that signals look at."""

from dataclasses import dataclass
from enum import StrEnum

from app.domain.value import Value


class Backdrop(StrEnum):
    """What a transparent picture was composited on. Text that is black on nothing is only visible on white."""

    NONE = "none"
    WHITE = "white"
    BLACK = "black"


class ImageFacts(Value):
    """What is known of an upload without looking at what it shows.

    `width` and `height` are pixels after the EXIF orientation was applied. `frames` counts the frames in the file,
    `frames_sampled` those that were decoded and asked about. `pdq` is the 256-bit PDQ hash of the first frame in hex;
    `pdq_quality` is 0..100 (Facebook's PDQ reference paper), and both are None when the picture is too small to hash.
    """

    sha256: str
    width: int
    height: int
    format: str
    frames: int = 1
    frames_sampled: int = 1
    transparent: bool = False
    size_bytes: int
    pdq: str | None = None
    pdq_quality: int | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """Packed 8-bit RGB, row major, no padding: `len(rgb) == width * height * 3`, or nothing at all of a picture that is
    known from before and was not decoded again: of that one nothing can be asked."""

    width: int
    height: int
    rgb: bytes


@dataclass(frozen=True, slots=True)
class Frame:
    """One thing to look at: a frame of the upload, upright, on one backdrop, scaled down to the working size.

    `index` numbers the looked-at frames of an upload from 0 (composites of one source frame get numbers of their own).
    `scale` is upload pixels per frame pixel (>= 1), so that boxes found here can be given in upload pixels.
    """

    index: int
    source_frame: int
    backdrop: Backdrop
    scale: float
    picture: Picture


@dataclass(frozen=True, slots=True)
class Image:
    """A sound picture. `preview` is a small grey, blurred JPEG that may be shown to anyone."""

    facts: ImageFacts
    media_type: str
    frames: tuple[Frame, ...]
    preview: bytes

    @property
    def has_pixels(self) -> bool:
        return all(frame.picture.rgb for frame in self.frames)
