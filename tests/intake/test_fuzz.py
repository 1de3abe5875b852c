"""Whatever the bytes, an Image or an UploadError comes out."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import UploadError
from tests.intake.pictures import animation, decode, encode, plain, scene, steps

_MAGIC = [
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF89a",
    b"RIFF\xff\0\0\0WEBPVP8X",
    b"\0\0\0\x18ftypavif\0\0\0\0mif1avif",
]


@cache
def samples() -> dict[str, bytes]:
    small = scene((48, 36))
    translucent = plain((20, 20), (1, 2, 3, 100), "RGBA")
    return {
        "jpeg": encode(small, "JPEG"),
        "progressive jpeg": encode(small, "JPEG", progressive=True),
        "png": encode(small, "PNG"),
        "translucent png": encode(translucent, "PNG"),
        "apng": animation(steps(3), "PNG"),
        "gif": encode(small, "GIF"),
        "animated gif": animation(steps(4), "GIF"),
        "webp": encode(small, "WEBP"),
        "translucent webp": encode(translucent, "WEBP", lossless=True),
        "animated webp": animation(steps(3), "WEBP"),
        "avif": encode(small, "AVIF"),
    }


def attempt(data: bytes) -> None:
    try:
        image = decode(data, max_frame_pixels=1_000_000)
    except UploadError:
        return
    for frame in image.frames:
        picture = frame.picture
        assert len(picture.rgb) == picture.width * picture.height * 3
        assert frame.scale >= 1
    assert image.facts.frames_sampled <= image.facts.frames


@settings(max_examples=150)
@given(data=st.binary(max_size=400))
def test_random_bytes(data: bytes) -> None:
    attempt(data)


@settings(max_examples=150)
@given(magic=st.sampled_from(_MAGIC), data=st.binary(max_size=400))
def test_random_bytes_behind_a_signature(magic: bytes, data: bytes) -> None:
    attempt(magic + data)


@pytest.mark.parametrize("name", samples())
def test_cut_off_anywhere(name: str) -> None:
    data = samples()[name]
    for end in range(0, len(data), max(1, len(data) // 60)):
        attempt(data[:end])


@settings(max_examples=200)
@given(
    name=st.sampled_from(sorted(samples())),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1, max_size=6),
)
def test_flipped_bits(name: str, flips: list[tuple[float, int]]) -> None:
    data = bytearray(samples()[name])
    for place, bit in flips:
        data[int(place * len(data))] ^= 1 << bit
    attempt(bytes(data))


@settings(max_examples=100)
@given(name=st.sampled_from(sorted(samples())), place=st.floats(0, 1, exclude_max=True), junk=st.binary(max_size=30))
def test_bytes_put_in(name: str, place: float, junk: bytes) -> None:
    data = samples()[name]
    at = int(place * len(data))
    attempt(data[:at] + junk + data[at:])
