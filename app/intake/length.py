"""Whether a file is as long as it says. WebP and AVIF decoders only call a short file broken; people are told more."""

from collections.abc import Iterator

from app.errors import TruncatedPicture
from app.intake.sniff import PictureFormat

#: A final chunk of odd length has a padding byte, which some writers leave out.
_RIFF_PADDING_BYTES = 1

_BOX_HEADER_BYTES = 8
_LARGE_BOX_HEADER_BYTES = 16


def check_length(data: bytes, picture_format: PictureFormat) -> None:
    """Raises TruncatedPicture."""
    if picture_format is PictureFormat.WEBP:
        declared = int.from_bytes(data[4:8], "little") + 8 - _RIFF_PADDING_BYTES
    elif picture_format is PictureFormat.AVIF:
        declared = max(_box_ends(data))
    else:
        return
    if declared > len(data):
        name = picture_format.pillow_name
        raise TruncatedPicture(f"The {name} is cut off: it says it has {declared} bytes, but {len(data)} came.")


def _box_ends(data: bytes) -> Iterator[int]:
    """Where each top-level box of an ISO media file says it ends. Size 1 means that a 64-bit size follows, size 0 that
    the box goes on to the end of the file; sizes that are too small for the header end the walk."""
    at = 0
    yield _BOX_HEADER_BYTES
    while at + _BOX_HEADER_BYTES <= len(data):
        size = int.from_bytes(data[at : at + 4])
        if size == 1:
            size = int.from_bytes(data[at + _BOX_HEADER_BYTES : at + _LARGE_BOX_HEADER_BYTES])
        if size < _BOX_HEADER_BYTES:
            return
        at += size
        yield at
