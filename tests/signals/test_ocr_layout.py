import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.findings import Box
from app.signals.ocr_layout import Quad, bounds, is_vertical, reading_order, same_place, tile_spans
from app.signals.ocr_seams import enclose, join_seams


def quad(left: float, top: float, right: float, bottom: float) -> Quad:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], dtype=np.float32)


def box(left: float, top: float, right: float, bottom: float) -> Box:
    return (left, top), (right, top), (right, bottom), (left, bottom)


class TestTiles:
    @pytest.mark.parametrize("length", [1, 1280, 1792])
    def test_a_moderate_side_is_one_tile(self, length: int) -> None:
        assert tile_spans(length, tile=1280, overlap=160, stretch=1.4) == [(0, length)]

    @given(length=st.integers(1793, 20_000))
    def test_tiles_cover_everything_and_overlap(self, length: int) -> None:
        spans = tile_spans(length, tile=1280, overlap=160, stretch=1.4)
        assert (spans[0][0], spans[-1][1]) == (0, length)
        assert all(0 < end - start <= 1280 for start, end in spans)
        assert all(end - next_start >= 160 for (_, end), (next_start, _) in itertools.pairwise(spans))

    @given(length=st.integers(1793, 20_000))
    def test_no_more_tiles_than_needed(self, length: int) -> None:
        spans = tile_spans(length, tile=1280, overlap=160, stretch=1.4)
        assert (len(spans) - 1) * (1280 - 160) + 160 < length


class TestSeams:
    def joined(self, tiles: list[tuple[float, list[Quad]]], *, tall: bool) -> list[tuple[float, ...]]:
        found = itertools.chain.from_iterable(join_seams(tiles, tall=tall))
        return sorted(tuple(round(edge) for edge in bounds(one)) for one in found)

    def test_a_line_that_both_tiles_see_is_one(self) -> None:
        tiles = [(900.0, [quad(10, 950, 200, 980)]), (2000.0, [quad(11, 951, 199, 981)])]
        assert self.joined(tiles, tall=True) == [(10, 950, 200, 981)]

    def test_a_line_cut_lengthwise_is_one(self) -> None:
        tiles = [(900.0, [quad(10, 1020, 200, 1030)]), (2000.0, [quad(10, 1018, 200, 1050)])]
        assert self.joined(tiles, tall=True) == [(10, 1018, 200, 1050)]

    def test_a_line_cut_across_is_one(self) -> None:
        tiles = [(900.0, [quad(100, 50, 1030, 80)]), (2000.0, [quad(905, 48, 1800, 79)])]
        assert self.joined(tiles, tall=False) == [(100, 48, 1800, 80)]

    def test_a_line_through_three_tiles_is_one(self) -> None:
        tiles = [
            (900.0, [quad(100, 50, 1030, 80)]),
            (1800.0, [quad(900, 50, 1930, 80)]),
            (2800.0, [quad(1800, 50, 2700, 80)]),
        ]
        assert self.joined(tiles, tall=False) == [(100, 50, 2700, 80)]

    def test_neighbouring_lines_stay_apart(self) -> None:
        tiles = [(900.0, [quad(10, 920, 200, 952)]), (2000.0, [quad(10, 948, 200, 980)])]
        assert self.joined(tiles, tall=True) == [(10, 920, 200, 952), (10, 948, 200, 980)]

    def test_words_of_one_row_stay_apart(self) -> None:
        tiles = [(900.0, [quad(800, 50, 950, 80)]), (2000.0, [quad(960, 50, 1200, 80)])]
        assert self.joined(tiles, tall=False) == [(800, 50, 950, 80), (960, 50, 1200, 80)]

    def test_slanted_neighbours_whose_bounds_overlap_stay_apart(self) -> None:
        one = np.array([[0, 900], [300, 1200], [290, 1210], [-10, 910]], dtype=np.float32)
        other = one + np.array([60, 0], dtype=np.float32)
        assert len(self.joined([(900.0, [one]), (2000.0, [other])], tall=True)) == 2

    def test_what_cannot_grow_is_given_at_once(self) -> None:
        given_first = next(iter(join_seams([(900.0, [quad(0, 10, 90, 40), quad(0, 890, 90, 920)])], tall=True)))
        assert [bounds(one) for one in given_first] == [(0, 10, 90, 40)]

    @given(
        corners=st.lists(
            st.tuples(st.floats(0, 1000, width=32), st.floats(0, 1000, width=32)), min_size=3, max_size=12, unique=True
        )
    )
    def test_an_enclosing_box_encloses(self, corners: list[tuple[float, float]]) -> None:
        points = np.array(corners, dtype=np.float32)
        around = enclose(points)
        left, top, right, bottom = bounds(around)
        slack = 0.05 * max(1.0, *np.ptp(points, axis=0))
        assert (points[:, 0] >= left - slack).all()
        assert (points[:, 0] <= right + slack).all()
        assert (points[:, 1] >= top - slack).all()
        assert (points[:, 1] <= bottom + slack).all()


ROWS = [
    [box(0, 0, 50, 20), box(60, 3, 90, 22), box(100, -2, 140, 18)],
    [box(0, 30, 200, 50)],
    [box(5, 60, 40, 80), box(50, 58, 90, 78)],
]


class TestReadingOrder:
    @given(shuffled=st.permutations([one for row in ROWS for one in row]))
    def test_rows_from_the_top_each_from_the_left(self, shuffled: list[Box]) -> None:
        assert reading_order(shuffled, lambda one: one) == [one for row in ROWS for one in row]

    def test_columns_from_the_right_below_their_heading(self) -> None:
        heading, first, second = box(0, 0, 90, 20), box(60, 30, 80, 130), box(20, 30, 40, 110)
        ordered = reading_order([second, heading, first], lambda one: one, lambda one: one is not heading)
        assert ordered == [heading, first, second]

    def test_columns_are_of_scripts_that_run_down(self) -> None:
        assert is_vertical("加微信，领奖", box(0, 0, 20, 120))
        assert not is_vertical("加微信，领奖", box(0, 0, 120, 20))
        assert not is_vertical("turned words 加", box(0, 0, 20, 120))
        assert not is_vertical("…", box(0, 0, 20, 20))

    def test_nothing_is_nothing(self) -> None:
        assert reading_order([], lambda one: one) == []


class TestSamePlace:
    def test_a_box_is_where_it_is(self) -> None:
        assert same_place(box(0, 0, 10, 10), box(1, 1, 11, 11))

    def test_a_part_is_where_the_whole_is(self) -> None:
        assert same_place(box(0, 0, 100, 10), box(80, 0, 100, 10))

    @pytest.mark.parametrize("other", [box(20, 0, 30, 10), box(0, 0, 0, 10), box(6, 6, 16, 16)])
    def test_elsewhere_is_not(self, other: Box) -> None:
        assert not same_place(box(0, 0, 10, 10), other)
