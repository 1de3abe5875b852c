"""What comes out of a sound picture: facts, size, orientation, hash, preview."""

import hashlib
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.intake.pixels import working_size
from tests.intake.pictures import SHA256, decode, encode, pixels, scene


@pytest.mark.parametrize("picture_format", ["JPEG", "PNG", "WEBP", "GIF", "AVIF"])
def test_facts(picture_format: str) -> None:
    data = encode(scene(), picture_format)
    image = decode(data)
    facts = image.facts
    assert (facts.width, facts.height, facts.format) == (320, 240, picture_format.lower())
    assert (facts.frames, facts.frames_sampled, facts.transparent) == (1, 1, False)
    assert (facts.sha256, facts.size_bytes) == (SHA256, len(data))
    assert image.media_type == f"image/{picture_format.lower()}"
    (frame,) = image.frames
    assert frame.scale == 1
    assert np.abs(pixels(frame).astype(int) - np.asarray(scene())).mean() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("picture_format", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_is_applied(picture_format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = scene().transpose(undo[orientation]) if orientation in undo else scene()
    image = decode(encode(stored, picture_format, exif=exif))
    assert (image.facts.width, image.facts.height) == (320, 240)
    assert (image.frames[0].picture.width, image.frames[0].picture.height) == (320, 240)
    assert np.abs(pixels(image.frames[0]).astype(int) - np.asarray(scene())).mean() < 12


def test_a_photo_is_scaled_to_the_working_size() -> None:
    image = decode(encode(scene((4000, 3000)), "JPEG"))
    (frame,) = image.frames
    assert (frame.picture.width, frame.picture.height) == (1707, 1280)
    assert frame.scale == pytest.approx(4000 / 1707)
    assert (image.facts.width, image.facts.height) == (4000, 3000)


def test_a_long_screenshot_stays_readable() -> None:
    (frame,) = decode(encode(Image.new("L", (1080, 10_000)), "PNG")).frames
    assert frame.scale < 1.5
    assert frame.picture.width * frame.picture.height <= 6_010_000


@given(
    width=st.integers(1, 16_384),
    height=st.integers(1, 16_384),
    side=st.integers(16, 2048),
    area=st.integers(1024, 10_000_000),
)
def test_working_sizes_hold_their_bounds(width: int, height: int, side: int, area: int) -> None:
    new_width, new_height = working_size(width, height, max_short_side_px=side, max_pixels=area)
    assert 1 <= new_width <= width
    assert 1 <= new_height <= height
    assert min(new_width, new_height) <= side + 1
    assert (new_width - 1) * (new_height - 1) <= area


def test_one_pixel_in_a_large_picture_still_counts() -> None:
    """A filter that skips pixels would let an uploader hide one picture among those of another."""
    checks = np.indices((2600, 2600)).sum(axis=0) % 2 * 255
    (frame,) = decode(encode(Image.fromarray(checks.astype(np.uint8)), "PNG")).frames
    inner = pixels(frame)[10:-10, 10:-10]
    assert inner.min() > 100
    assert inner.max() < 155


def test_the_pdq_hash_survives_scaling_and_reencoding_and_tells_others_apart() -> None:
    def bits(data: bytes) -> int:
        digest = decode(data).facts.pdq
        assert digest is not None
        assert len(digest) == 64
        return int(digest, 16)

    original = bits(encode(scene((800, 600)), "PNG"))
    same = bits(encode(scene((800, 600)).resize((400, 300)), "JPEG", quality=60))
    other = bits(encode(scene((800, 600)).transpose(Image.Transpose.ROTATE_180), "PNG"))
    assert (original ^ same).bit_count() <= 31
    assert (original ^ other).bit_count() > 80


def test_the_preview_is_small_grey_blurred_and_bare() -> None:
    exif = Image.Exif()
    exif[0x010E] = "a secret place"
    picture = Image.new("RGB", (600, 300), "white")
    picture.paste((255, 0, 0), (300, 0, 600, 300))
    image = decode(encode(picture, "JPEG", exif=exif, comment=b"a comment", icc_profile=b"x" * 200))
    shown = Image.open(io.BytesIO(image.preview))
    assert (shown.format, shown.mode, shown.size) == ("JPEG", "L", (64, 32))
    assert not shown.getexif()
    assert b"secret" not in image.preview
    assert b"a comment" not in image.preview
    edge = np.asarray(shown)[16, 29:36].astype(int)
    assert np.abs(np.diff(edge)).max() < 60


def test_decoding_is_deterministic() -> None:
    data = encode(scene((3000, 2000)), "JPEG")
    first, second = decode(data), decode(data)
    assert first == second
    assert hashlib.sha256(first.preview).digest() == hashlib.sha256(second.preview).digest()
