"""Every bad input gets its code, or is moderated correctly; nothing else ever comes out."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from app.domain import Backdrop
from app.errors import (
    DecodeFailed,
    EmptyUpload,
    NotAPicture,
    PictureTooLarge,
    PictureTooSmall,
    TruncatedPicture,
    UnsupportedFormat,
)
from tests.intake.pictures import animation, decode, encode, gif, pixels, plain, png, png_chunk, scene, steps


def test_empty() -> None:
    with pytest.raises(EmptyUpload):
        decode(b"")


@pytest.mark.parametrize("picture_format", ["JPEG", "PNG", "WEBP", "GIF", "AVIF"])
def test_half_a_picture(picture_format: str) -> None:
    data = encode(scene(), picture_format)
    with pytest.raises(TruncatedPicture):
        decode(data[: len(data) // 2])


@pytest.mark.parametrize("picture_format", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_a_header_and_nothing_more(picture_format: str) -> None:
    with pytest.raises((TruncatedPicture, DecodeFailed)):
        decode(encode(scene(), picture_format)[:40])


@pytest.mark.parametrize("place", [0.05, 0.3, 0.5, 0.9])
def test_a_png_with_a_flipped_byte_is_never_what_came_before_it(place: float) -> None:
    data = bytearray(encode(scene(), "PNG"))
    data[int(place * len(data))] ^= 0xFF
    with pytest.raises(DecodeFailed):
        decode(bytes(data))


@pytest.mark.parametrize("place", [0.05, 0.3, 0.5])
def test_a_png_whose_checksums_fit_but_whose_pixels_do_not(place: float) -> None:
    """What stands before the fault can be decoded, and must not be all that is looked at."""
    data = encode(scene(), "PNG")
    begin = data.index(b"IDAT")
    body = bytearray(data[begin + 4 : begin + 4 + int.from_bytes(data[begin - 4 : begin])])
    at = int(place * len(body))
    body[at : at + 40] = b"\xff" * 40
    with pytest.raises((TruncatedPicture, DecodeFailed)):
        decode(data[: begin - 4] + png_chunk(b"IDAT", bytes(body)) + png_chunk(b"IEND", b""))


@pytest.mark.parametrize("kind", [b"fdAT", b"fcTL"])
def test_a_damaged_frame_of_an_animation(kind: bytes) -> None:
    data = bytearray(animation(steps(4), "PNG"))
    data[data.rindex(kind) + 6] ^= 0xFF
    with pytest.raises((TruncatedPicture, DecodeFailed)):
        decode(bytes(data))


@pytest.mark.parametrize("data", [b"hello, world", b"\0" * 100, b"PK\x03\x04zip", b"\xff\xd8", b"RIFF\0\0\0\0WAVEfmt "])
def test_not_a_picture(data: bytes) -> None:
    with pytest.raises(NotAPicture):
        decode(data)


@pytest.mark.parametrize(
    "data",
    [
        b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- x --><!DOCTYPE svg>\n<svg></svg>',
        '\ufeff<?xml version="1.0"?><svg/>'.encode("utf-16"),
    ],
)
def test_svg(data: bytes) -> None:
    with pytest.raises(UnsupportedFormat, match="SVG"):
        decode(data)


def test_eps() -> None:
    with pytest.raises(UnsupportedFormat, match="PostScript"):
        decode(encode(plain(), "EPS"))


@pytest.mark.parametrize("data", [b"<!DOCTYPE html><html><body>cat.jpg", b"\n <HTML><svg></svg></HTML>", b"<script>"])
def test_html_named_jpg(data: bytes) -> None:
    with pytest.raises(NotAPicture, match="markup"):
        decode(data)


@pytest.mark.parametrize("picture_format", ["BMP", "TIFF", "ICO", "PDF", "JPEG2000"])
def test_formats_that_are_not_accepted(picture_format: str) -> None:
    with pytest.raises(UnsupportedFormat, match="are accepted"):
        decode(encode(plain(), picture_format))


def test_heic() -> None:
    brands = b"heic" + b"\0\0\0\0" + b"mif1heic"
    with pytest.raises(UnsupportedFormat, match="HEIC"):
        decode(struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands + b"\0" * 100)


def test_a_video() -> None:
    with pytest.raises(UnsupportedFormat, match="video"):
        decode(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"\0" * 100)


def test_a_decompression_bomb_is_refused_before_it_unpacks() -> None:
    rows = b"\0" * (1 + 12_000 // 8) * 12_000
    bomb = png(12_000, 12_000, depth=1, data=rows)
    assert len(bomb) < 20_000
    with pytest.raises(PictureTooLarge):
        decode(bomb)


def test_more_pixels_than_allowed_but_no_bomb_to_pillow() -> None:
    with pytest.raises(PictureTooLarge):
        decode(encode(plain((120, 100)), "PNG"), max_frame_pixels=10_000)


@pytest.mark.parametrize("picture_format", ["WEBP", "AVIF", "JPEG", "GIF"])
def test_a_bomb_of_every_format(picture_format: str) -> None:
    with pytest.raises(PictureTooLarge):
        decode(encode(plain((400, 400)), picture_format), max_frame_pixels=10_000)


def test_a_text_chunk_bomb() -> None:
    bomb = png_chunk(b"zTXt", b"c\0\0" + zlib.compress(b"x" * (100 << 20), 9))
    decoded_or_refused = png(1, 1, data=b"\0\0", chunks=bomb)
    with pytest.raises(DecodeFailed):
        decode(decoded_or_refused)


def test_a_60_frame_gif_of_3000_by_3000() -> None:
    with pytest.raises(PictureTooLarge, match="60 frames"):
        decode(gif((3000, 3000), [(3000, 3000)] * 60))


def test_a_gif_of_very_many_frames() -> None:
    with pytest.raises(PictureTooLarge, match="frames"):
        decode(gif((1, 1), [(1, 1)] * 100_000))


def test_an_animation_that_takes_too_long() -> None:
    with pytest.raises(PictureTooLarge, match="longer than"):
        decode(animation(steps(5), "GIF"), timeout_s=0.0)


def test_an_apng_that_promises_frames_it_lacks() -> None:
    data = animation(steps(3), "PNG")
    at = data.index(b"acTL") - 4
    lying = data[:at] + png_chunk(b"acTL", struct.pack(">II", 9, 0)) + data[at + 20 :]
    with pytest.raises(TruncatedPicture):
        decode(lying)


def test_a_gif_frame_larger_than_its_canvas() -> None:
    with pytest.raises(PictureTooLarge):
        decode(gif((1, 1), [(1, 1), (60_000, 60_000)]))


def test_16_bit_grey_keeps_its_levels() -> None:
    ramp = np.linspace(0, 65_535, 256).astype(np.uint16)[None, :].repeat(8, axis=0)
    image = decode(encode(Image.fromarray(ramp), "PNG"))
    assert np.array_equal(pixels(image.frames[0])[0, :, 0], np.arange(256))


def test_16_bit_grey_with_a_transparent_level() -> None:
    rows = b"".join(b"\0" + struct.pack(">8H", *[0, 65_535] * 4) for _ in range(8))
    image = decode(png(8, 8, depth=16, data=rows, chunks=png_chunk(b"tRNS", struct.pack(">H", 65_535))))
    assert image.facts.transparent
    white, black = (pixels(frame) for frame in image.frames)
    assert (white[0, 1], black[0, 1]) == (pytest.approx([255] * 3), pytest.approx([0] * 3))


def test_16_bit_colour() -> None:
    rows = b"\0" + struct.pack(">6H", 65_535, 0, 0, 0, 32_768, 65_535)
    image = decode(png(2, 1, depth=16, colour_type=2, data=rows))
    assert pixels(image.frames[0]).tolist() == [[[255, 0, 0], [0, 128, 255]]]


def test_cmyk() -> None:
    image = decode(encode(Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "JPEG", quality=95))
    red, green, blue = pixels(image.frames[0])[16, 16].tolist()
    assert red > 240
    assert max(green, blue) < 15


def test_palette() -> None:
    image = decode(encode(scene((64, 48)).quantize(16), "PNG"))
    assert len(image.frames) == 1
    assert image.frames[0].backdrop is Backdrop.NONE
    difference = np.abs(pixels(image.frames[0]).astype(int) - np.asarray(scene((64, 48)).quantize(16).convert("RGB")))
    assert difference.max() == 0


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGBA", "P", "RGB"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    image = decode(encode(plain((20, 10), "white").convert(mode), "PNG"))
    assert image.facts.transparent is False
    assert [pixels(frame).min() for frame in image.frames] == [255]


@pytest.mark.parametrize("picture_format", ["PNG", "WEBP", "AVIF", "GIF"])
def test_transparent_pictures_are_looked_at_on_white_and_on_black(picture_format: str) -> None:
    picture = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    picture.paste((0, 0, 0, 255), (20, 20, 44, 44))
    image = decode(encode(picture, picture_format))
    assert image.facts.transparent
    assert [frame.backdrop for frame in image.frames] == [Backdrop.WHITE, Backdrop.BLACK]
    assert [frame.index for frame in image.frames] == [0, 1]
    assert [frame.source_frame for frame in image.frames] == [0, 0]
    white, black = (pixels(frame) for frame in image.frames)
    assert (white[2, 2].min(), white[32, 32].max()) == (255, pytest.approx(0, abs=3))
    assert black.max() <= 3


def test_a_palette_with_transparency() -> None:
    picture = Image.new("P", (16, 16), 0)
    picture.putpalette([255, 255, 255, 255, 0, 0])
    image = decode(encode(picture, "PNG", transparency=0))
    assert [frame.backdrop for frame in image.frames] == [Backdrop.WHITE, Backdrop.BLACK]
    assert pixels(image.frames[1]).max() == 0


def test_an_alpha_channel_that_hides_nothing_is_no_transparency() -> None:
    image = decode(encode(Image.new("RGBA", (16, 16), (10, 20, 30, 255)), "PNG"))
    assert not image.facts.transparent
    assert len(image.frames) == 1


@pytest.mark.parametrize("data", [png(0, 0), png(0, 5), png(5, 0), gif((0, 0), [(0, 0)])])
def test_0_by_0(data: bytes) -> None:
    with pytest.raises((PictureTooSmall, DecodeFailed, TruncatedPicture)):
        decode(data)


@pytest.mark.parametrize("picture_format", ["JPEG", "PNG", "WEBP", "GIF", "AVIF"])
def test_1_by_1_is_a_picture(picture_format: str) -> None:
    image = decode(encode(plain((1, 1)), picture_format))
    assert (image.facts.width, image.facts.height) == (1, 1)
    assert len(image.frames[0].picture.rgb) == 3
    assert image.facts.pdq is None
    assert image.facts.pdq_quality is None


def test_1_by_20000() -> None:
    with pytest.raises(PictureTooLarge, match="a side"):
        decode(encode(plain((1, 20_000)), "PNG"))


def test_data_after_the_end_is_ignored() -> None:
    data = encode(scene(), "JPEG") + b"<html><script>alert(1)</script>" + encode(plain(), "PNG")
    image = decode(data)
    assert (image.media_type, image.facts.format) == ("image/jpeg", "jpeg")
    assert image.facts.size_bytes == len(data)


def test_a_gif_that_is_also_html_is_a_gif() -> None:
    data = b"GIF89a" + encode(plain(), "GIF")[6:] + b"<script>alert(1)</script>"
    assert decode(data).media_type == "image/gif"


def test_a_picture_of_one_format_is_never_decoded_as_another() -> None:
    with pytest.raises(DecodeFailed):
        decode(b"\xff\xd8\xff" + encode(plain(), "PNG")[3:])


@pytest.mark.parametrize("where", ["EXIF", "ICC"])
def test_damaged_metadata_does_not_matter(where: str) -> None:
    junk = {"EXIF": {"exif": b"Exif\0\0MM\0*\xff\xff\xff\xff"}, "ICC": {"icc_profile": b"\0" * 50}}[where]
    assert decode(encode(scene(), "JPEG", **junk)).facts.width == 320
