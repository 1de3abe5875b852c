"""Whether the parts of a file fit the checksums that it carries. Pillow reads over those of a PNG's pixels."""

import zlib
from collections.abc import Iterator

from app.errors import DecodeFailed
from app.intake.sniff import PictureFormat

_SIGNATURE_BYTES = 8
#: Length and name before a chunk's content, the checksum after it.
_BEFORE_BYTES, _AFTER_BYTES = 8, 4
#: What is shown hangs on these too, though a decoder may go without.
_SHOWN = frozenset({b"acTL", b"fcTL", b"fdAT", b"tRNS"})


def check_sums(data: bytes, picture_format: PictureFormat) -> None:
    """Raises DecodeFailed where what is seen of a picture would hang on a part that is damaged: viewers stop there, or
    show something else than was looked at. Text and other things around the picture may be as they like."""
    if picture_format is PictureFormat.PNG:
        for kind, content, checksum in _chunks(memoryview(data)):
            if (kind[:1].isupper() or kind in _SHOWN) and zlib.crc32(content, zlib.crc32(kind)) != checksum:
                raise DecodeFailed("The PNG is damaged: a part of it does not fit its own checksum.")


def _chunks(data: memoryview) -> Iterator[tuple[bytes, memoryview, int]]:
    """Up to the end, or the first that is cut off: of which the decoder tells."""
    at = _SIGNATURE_BYTES
    while at + _BEFORE_BYTES + _AFTER_BYTES <= len(data):
        begin = at + _BEFORE_BYTES
        end = begin + int.from_bytes(data[at : at + 4])
        kind = bytes(data[at + 4 : begin])
        if end + _AFTER_BYTES > len(data):
            return
        yield kind, data[begin:end], int.from_bytes(data[end : end + _AFTER_BYTES])
        if kind == b"IEND":
            return
        at = end + _AFTER_BYTES
