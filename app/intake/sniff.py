"""What an upload is, by its first bytes. Names and media types that a client claims are never looked at."""

from enum import Enum

from app.errors import EmptyUpload, NotAPicture, UnsupportedFormat


class PictureFormat(Enum):
    """The accepted formats: Pillow's name and the media type."""

    JPEG = ("JPEG", "image/jpeg")
    PNG = ("PNG", "image/png")
    WEBP = ("WEBP", "image/webp")
    GIF = ("GIF", "image/gif")
    AVIF = ("AVIF", "image/avif")

    def __init__(self, pillow_name: str, media_type: str) -> None:
        self.pillow_name = pillow_name
        self.media_type = media_type


ACCEPTED = "JPEG, PNG, WebP, GIF and AVIF are accepted"

#: Pictures, and things that people send for pictures, that are recognised only to say so.
_UNSUPPORTED = (
    (b"BM", "a BMP"),
    (b"II*\0", "a TIFF"),
    (b"MM\0*", "a TIFF"),
    (b"II+\0", "a TIFF"),
    (b"MM\0+", "a TIFF"),
    (b"8BPS", "a Photoshop file"),
    (b"\0\0\1\0", "a Windows icon"),
    (b"\0\0\2\0", "a Windows cursor"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (b"%!PS", "a PostScript file"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript file"),
    (b"%PDF-", "a PDF"),
    (b"\x1a\x45\xdf\xa3", "a WebM or Matroska video"),
)

_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})

#: `sniff` looks no further than this: an `<svg` or `<html` may come after XML declarations, comments and doctypes.
HEAD_BYTES = 4096
_BRAND_BYTES = 4
_MAX_BRANDS = 32


def sniff(data: bytes) -> PictureFormat:
    """Raises EmptyUpload, UnsupportedFormat for a known format that is not accepted, and NotAPicture."""
    if not data:
        raise EmptyUpload("The upload is empty.")
    if data.startswith(b"\xff\xd8\xff"):
        return PictureFormat.JPEG
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return PictureFormat.PNG
    if data.startswith((b"GIF87a", b"GIF89a")):
        return PictureFormat.GIF
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return PictureFormat.WEBP
    if data[4:8] == b"ftyp":
        return _sniff_iso_media(data)
    for magic, name in _UNSUPPORTED:
        if data.startswith(magic):
            raise UnsupportedFormat(f"The upload is {name}; {ACCEPTED}.")
    return _refuse_markup(data)


def _sniff_iso_media(data: bytes) -> PictureFormat:
    """AVIF, HEIC and MP4 share a container; the `ftyp` box lists brands of four bytes each."""
    box_bytes = min(int.from_bytes(data[:4]), 16 + _BRAND_BYTES * _MAX_BRANDS)
    major = data[8:12]
    compatible = {data[at : at + _BRAND_BYTES] for at in range(16, box_bytes, _BRAND_BYTES)}
    if major in _AVIF_BRANDS or (major in _HEIF_BRANDS and compatible & _AVIF_BRANDS):
        return PictureFormat.AVIF
    if major in _HEIF_BRANDS or compatible & _HEIF_BRANDS:
        raise UnsupportedFormat(f"The upload is a HEIC picture; convert it to JPEG: {ACCEPTED}.")
    raise UnsupportedFormat(f"The upload is a video; {ACCEPTED}.")


def _refuse_markup(data: bytes) -> PictureFormat:
    head = data[:HEAD_BYTES].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").lower()
    if head.startswith(b"<") and b"<svg" in head and b"<html" not in head:
        raise UnsupportedFormat(f"The upload is an SVG drawing; render it to PNG first: {ACCEPTED}.")
    if head.startswith(b"<"):
        raise NotAPicture(f"The upload is markup (HTML or XML), not a picture; {ACCEPTED}.")
    raise NotAPicture(f"The upload is not a picture of a known format; {ACCEPTED}.")
