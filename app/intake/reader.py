"""Decoding, as it runs inside a media worker. Everything that goes wrong here comes out as an UploadError."""

import io
import struct
import time
import warnings
from dataclasses import dataclass

from PIL import AvifImagePlugin, ImageFile, UnidentifiedImageError
from PIL import Image as Pil

from app.domain import Frame, Image, ImageFacts
from app.errors import DecodeFailed, PictureTooLarge, PictureTooSmall, TruncatedPicture, UploadError
from app.intake.checksums import check_sums
from app.intake.derived import pdq, preview
from app.intake.length import check_length
from app.intake.limits import IntakeLimits
from app.intake.pixels import Orientation, backdrops, scaled, to_8_bit, to_picture, working_size
from app.intake.sampling import sample_frames
from app.intake.sniff import PictureFormat

#: A JPEG file may hold further pictures (depth maps, gain maps), which no browser shows.
_STILL = frozenset({PictureFormat.JPEG})

#: Formats whose decoders go from frame to frame, so that the clock can be looked at between them.
_SEQUENTIAL = frozenset({PictureFormat.GIF, PictureFormat.PNG, PictureFormat.WEBP})

#: What a decoder's code runs into when the bytes end too soon.
_SHORT_READS = (EOFError, IndexError, struct.error)

#: Part of the time limit that an animation may use up, so that it is refused with a reason before it is killed.
_ANIMATION_TIME_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class _Source:
    """A frame of the file, upright, scaled to the working size; RGBA only if it is really transparent. `width` and
    `height` are those of the file, upright."""

    index: int
    width: int
    height: int
    image: Pil.Image

    @property
    def looks(self) -> int:
        """How many frames to look at it makes."""
        return 2 if self.image.mode == "RGBA" else 1


def decode_picture(data: bytes, picture_format: PictureFormat, sha256: str, seed: bytes, limits: IntakeLimits) -> Image:
    """Raises only UploadError subclasses. `seed` decides which frames of an animation are sampled."""
    check_length(data, picture_format)
    check_sums(data, picture_format)
    Pil.MAX_IMAGE_PIXELS = limits.max_frame_pixels
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Pil.DecompressionBombWarning)
            with Pil.open(io.BytesIO(data), formats=[picture_format.pillow_name]) as image:
                total, sources = _sources(image, picture_format, seed, limits)
    except UploadError:
        raise
    except Exception as error:
        raise _translated(error, picture_format) from error
    return _assembled(data, picture_format, sha256, total, sources)


def _sources(
    image: Pil.Image, picture_format: PictureFormat, seed: bytes, limits: IntakeLimits
) -> tuple[int, list[_Source]]:
    """The number of frames in the file, and the frames to look at."""
    _check_size(image, limits)
    total = 1 if picture_format in _STILL else getattr(image, "n_frames", 1)
    if total == 1:
        return 1, [_read_frame(image, 0, limits, limits.work_frame_pixels)]
    return total, _sampled(image, total, picture_format, seed, limits)


def _check_size(image: Pil.Image, limits: IntakeLimits) -> None:
    width, height = image.size
    if min(width, height) < 1:
        raise PictureTooSmall(f"The picture has no pixels ({width}×{height}).")
    if max(width, height) > limits.max_side_px:
        raise PictureTooLarge(f"The picture is {width}×{height} px; a side may have {limits.max_side_px} px.")
    if width * height > limits.max_frame_pixels:
        most = limits.max_frame_pixels / 1e6
        raise PictureTooLarge(f"The picture is {width}×{height} px; at most {most:g} megapixels are accepted.")


def _read_frame(
    image: Pil.Image, index: int, limits: IntakeLimits, max_pixels: int, orientation: Orientation | None = None
) -> _Source:
    """The file's own orientation where none is given."""
    _check_size(image, limits)
    width, height = image.size
    size = working_size(width, height, max_short_side_px=limits.work_side_px, max_pixels=max_pixels)
    image.draft(None, size)  # lets JPEG decode at a half, a quarter or an eighth
    image.load()
    orientation = orientation or Orientation.of(image)
    if orientation.swaps_sides:
        width, height = height, width
    looked_at = orientation.apply(scaled(to_8_bit(image), size))
    # The next seek changes the image in place.
    return _Source(index, width, height, looked_at.copy() if looked_at is image else looked_at)


def _sampled(
    image: Pil.Image, total: int, picture_format: PictureFormat, seed: bytes, limits: IntakeLimits
) -> list[_Source]:
    canvas = image.width * image.height
    _check_animation(total, canvas, limits)
    image.load()
    orientation = Orientation.of(image)
    at_most = max(2, min(limits.max_frames, limits.max_total_pixels // canvas))
    order = sample_frames(total, at_most, seed)
    max_pixels = min(limits.work_frame_pixels, limits.work_total_pixels // len(order))
    give_up_at = time.monotonic() + limits.timeout_s * _ANIMATION_TIME_SHARE
    sources: dict[int, _Source] = {}
    for index in range(total) if picture_format in _SEQUENTIAL else sorted(order):
        if time.monotonic() > give_up_at:
            raise PictureTooLarge(f"The animation takes longer than {limits.timeout_s:g} s to decode.")
        image.seek(index)
        if index in order:
            sources[index] = _read_frame(image, index, limits, max_pixels, orientation)
        else:
            image.load()
    return _affordable([sources[index] for index in order], limits.max_frames)


def _check_animation(total: int, canvas: int, limits: IntakeLimits) -> None:
    if total > limits.max_animation_frames:
        raise PictureTooLarge(f"The animation has {total} frames; at most {limits.max_animation_frames} are accepted.")
    if total * canvas > limits.max_animation_pixels:
        most = limits.max_animation_pixels / 1e6
        raise PictureTooLarge(
            f"The animation has {total} frames, {total * canvas / 1e6:.0f} megapixels in all; "
            f"at most {most:g} are accepted."
        )


def _affordable(sources: list[_Source], max_looks: int) -> list[_Source]:
    """As many sources, the most important first, as make at most `max_looks` frames; in the file's order."""
    kept, looks = [], 0
    for source in sources:
        if looks + source.looks <= max_looks:
            kept.append(source)
            looks += source.looks
    return sorted(kept, key=lambda source: source.index)


def _assembled(data: bytes, picture_format: PictureFormat, sha256: str, total: int, sources: list[_Source]) -> Image:
    frames: list[Frame] = []
    for source in sources:
        scale = max(source.width, source.height) / max(source.image.size)
        for backdrop, ground in backdrops(source.image):
            frames.append(Frame(len(frames), source.index, backdrop, scale, to_picture(ground)))
    _, first = backdrops(sources[0].image)[0]
    hashed = pdq(first)
    facts = ImageFacts(
        sha256=sha256,
        width=sources[0].width,
        height=sources[0].height,
        format=picture_format.pillow_name.lower(),
        frames=total,
        frames_sampled=len(sources),
        transparent=any(source.image.mode == "RGBA" for source in sources),
        size_bytes=len(data),
        pdq=None if hashed is None else hashed[0],
        pdq_quality=None if hashed is None else hashed[1],
    )
    return Image(facts, picture_format.media_type, tuple(frames), preview(first))


def _translated(error: Exception, picture_format: PictureFormat) -> UploadError:
    name = picture_format.pillow_name
    if isinstance(error, Pil.DecompressionBombError | Pil.DecompressionBombWarning):
        return PictureTooLarge(f"The {name} unpacks to more pixels than are accepted.")
    if isinstance(error, MemoryError):
        return PictureTooLarge(f"Decoding the {name} takes more memory than is allowed.")
    if isinstance(error, UnidentifiedImageError):
        return DecodeFailed(f"The upload begins like a {name}, but its header is damaged or incomplete.")
    if isinstance(error, _SHORT_READS) or "truncated" in str(error).lower():
        return TruncatedPicture(f"The {name} is cut off: it ends before its last pixel.")
    return DecodeFailed(f"The {name} is damaged and cannot be decoded.")
