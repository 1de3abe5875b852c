"""Making faint writing plain: where, how much, and where not."""

import numpy as np
import numpy.typing as npt
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageDraw, ImageFont

from app.signals.ocr_faint import make_plain


def written(ink: int, ground: int = 235, *, black: bool = False) -> npt.NDArray[np.uint8]:
    image = Image.new("RGB", (600, 400), (ground,) * 3)
    pen = ImageDraw.Draw(image)
    pen.text((220, 250), "nearly nothing", fill=(ink,) * 3, font=ImageFont.load_default(28))
    if black:
        pen.text((20, 20), "HEADING", fill=0, font=ImageFont.load_default(60))
    return np.asarray(image)


@pytest.mark.parametrize("ink", [227, 231, 243])
@pytest.mark.parametrize("black", [False, True])
def test_faint_writing_becomes_plain_and_is_found_where_it_stands(ink: int, black: bool) -> None:
    faint = make_plain(written(ink, black=black))
    assert faint is not None
    assert 160 < faint.left < 225
    assert 200 < faint.top < 270
    assert int(faint.pixels.max()) - int(faint.pixels.min()) > 90


def test_what_is_plain_is_left_alone() -> None:
    assert make_plain(written(0)) is None
    assert make_plain(written(235)) is None
    assert make_plain(np.asarray(skimage.data.coffee())) is None


def test_what_is_plain_is_no_part_of_what_is_made_plain() -> None:
    image = written(231).copy()
    image[300:304, 200:400] = 0
    faint = make_plain(image)
    assert faint is not None
    assert (faint.pixels[300 - faint.top : 304 - faint.top, 200 - faint.left : 400 - faint.left] == 128).all()


@given(
    hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))),
    st.sampled_from([1, 4, 60]),
)
@settings(max_examples=40)
def test_any_picture(pixels: npt.NDArray[np.uint8], levels: int) -> None:
    image = np.kron(pixels % levels, np.ones((4, 4, 1), np.uint8)).astype(np.uint8)
    faint = make_plain(image)
    if faint is not None:
        height, width = faint.pixels.shape[:2]
        assert height > 0 < width
        assert faint.left + width <= image.shape[1]
        assert faint.top + height <= image.shape[0]
