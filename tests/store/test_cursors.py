import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import MalformedRequest
from app.store.cursors import page_limit, read_cursor, time_of, write_cursor


@given(st.integers(-(2**53), 2**53), st.text(alphabet=st.characters(codec="utf-8"), max_size=40))
def test_a_cursor_comes_back(number: int, text: str) -> None:
    assert read_cursor("cases", write_cursor("cases", [number, text]), [int, str]) == [number, text]


@given(st.text(max_size=600))
def test_anything_else_is_refused(cursor: str) -> None:
    with pytest.raises(MalformedRequest):
        read_cursor("cases", cursor, [str])


@pytest.mark.parametrize(
    "values", ['["decisions","x"]', '["cases",1]', '["cases",true]', '["cases"]', '["cases","x","y"]', "{}", "[" * 350]
)
def test_a_cursor_of_another_shape_is_refused(values: str) -> None:
    with pytest.raises(MalformedRequest):
        read_cursor("cases", base64.urlsafe_b64encode(values.encode()).decode(), [str])


@pytest.mark.parametrize("value", ["", "yesterday", "2026-01-01T00:00:00", 5])
def test_a_time_that_is_none_is_refused(value: str | int) -> None:
    with pytest.raises(MalformedRequest):
        time_of(value)


@pytest.mark.parametrize("limit", [-1, 0, 501, 10**30])
def test_a_page_has_a_sensible_size(limit: int) -> None:
    with pytest.raises(MalformedRequest):
        page_limit(limit)
