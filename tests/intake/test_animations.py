import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.domain import Backdrop
from app.intake.sampling import sample_frames
from tests.intake.pictures import animation, decode, encode, pixels, plain, steps


@pytest.mark.parametrize("picture_format", ["GIF", "PNG", "WEBP", "AVIF"])
def test_a_short_animation_is_looked_at_whole(picture_format: str) -> None:
    image = decode(animation([plain(colour=(40 * index, 0, 0)) for index in range(5)], picture_format))
    assert (image.facts.frames, image.facts.frames_sampled) == (5, 5)
    assert [frame.source_frame for frame in image.frames] == [0, 1, 2, 3, 4]
    reds = [int(pixels(frame)[..., 0].mean()) for frame in image.frames]
    assert reds == sorted(reds)
    assert reds[-1] - reds[0] > 120


@pytest.mark.parametrize("picture_format", ["GIF", "PNG", "WEBP"])
def test_a_long_animation_is_sampled_from_end_to_end(picture_format: str) -> None:
    options = {"lossless": True} if picture_format == "WEBP" else {}
    image = decode(animation(steps(60), picture_format, **options))
    assert (image.facts.frames, image.facts.frames_sampled) == (60, 16)
    sources = [frame.source_frame for frame in image.frames]
    assert (sources[0], sources[-1]) == (0, 59)
    assert sources == sorted(set(sources))
    seen = [int(np.median(pixels(frame))) for frame in image.frames]
    assert seen == pytest.approx(sources, abs=1)


def test_the_sample_depends_on_the_seed_alone() -> None:
    data = animation(steps(60), "GIF")
    plans = {seed: [frame.source_frame for frame in decode(data, seed=seed).frames] for seed in (b"a", b"b")}
    assert plans[b"a"] != plans[b"b"]
    assert plans[b"a"] == [frame.source_frame for frame in decode(data, seed=b"a").frames]


def test_large_canvases_are_sampled_more_sparsely() -> None:
    image = decode(animation(steps(30, (100, 100)), "GIF"), max_total_pixels=50_000)
    assert image.facts.frames_sampled == 5


def test_frames_of_an_animation_share_the_working_size() -> None:
    image = decode(animation(steps(4, (100, 100)), "GIF"), work_total_pixels=10_000)
    assert {(frame.picture.width, frame.picture.height) for frame in image.frames} == {(50, 50)}
    assert {frame.scale for frame in image.frames} == {2.0}


def transparent(level: int) -> Image.Image:
    image = Image.new("RGBA", (24, 24), (0, 0, 0, 0))
    image.paste((level, level, level, 255), (4, 4, 12, 12))
    return image


def test_a_transparent_animation_costs_two_looks_a_frame() -> None:
    image = decode(animation([transparent(index) for index in range(30)], "PNG"))
    assert image.facts.transparent
    assert image.facts.frames_sampled == 8
    assert len(image.frames) == 16
    assert [frame.index for frame in image.frames] == list(range(16))
    assert [frame.backdrop for frame in image.frames] == [Backdrop.WHITE, Backdrop.BLACK] * 8
    sources = [frame.source_frame for frame in image.frames]
    assert (sources[0], sources[-1]) == (0, 29)


def test_pictures_hidden_inside_a_jpeg_are_not_frames() -> None:
    image = decode(encode(plain(), "MPO", save_all=True, append_images=[plain(colour="blue")]))
    assert (image.facts.format, image.facts.frames) == ("jpeg", 1)


@given(total=st.integers(1, 5000), at_most=st.integers(2, 32), seed=st.binary(max_size=8))
def test_samples_are_distinct_bounded_and_hold_both_ends(total: int, at_most: int, seed: bytes) -> None:
    order = sample_frames(total, at_most, seed)
    assert len(order) == min(total, at_most) == len(set(order))
    assert order[0] == 0
    assert total - 1 in order[:2]
    assert all(0 <= frame < total for frame in order)
    assert order == sample_frames(total, at_most, seed)


@given(total=st.integers(100, 5000), seed=st.binary(max_size=8))
def test_no_stretch_of_an_animation_goes_unseen(total: int, seed: bytes) -> None:
    order = sorted(sample_frames(total, 16, seed))
    gaps = [later - earlier for earlier, later in itertools.pairwise(order)]
    assert max(gaps) <= 2 * -(-total // 14)
