import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import Question, QuestionKind
from app.engine.mistakes import mistake
from app.engine.stopping import MOST_STOP_CHARS, MOST_STOPS, Stopping, cut_at_stop

TEXT = st.text("ab是\n", max_size=12)
STOPS = st.lists(st.text("ab是\n", min_size=1, max_size=3), min_size=1, max_size=4)


@given(text=TEXT, stops=STOPS, cuts=st.lists(st.integers(0, 40), max_size=12))
def test_in_whatever_pieces_it_comes_it_is_cut_where_the_whole_is(text: str, stops: list[str], cuts: list[int]) -> None:
    """Pieces of bytes, as tokens are: a character may be spread over several."""
    whole = text.encode()
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    stopping = Stopping([stop.encode() for stop in stops])

    stopped = any(stopping.hear(whole[start:end]) for start, end in itertools.pairwise(edges))

    assert (stopping.text.decode(), stopped) == cut_at_stop(text, stops)


def test_it_ends_before_the_stop_that_is_complete_first() -> None:
    assert cut_at_stop("one, two. three", [". t", ","]) == ("one", True)
    assert cut_at_stop("abcd", ["abcd", "c"]) == ("ab", True)
    assert cut_at_stop("abcd", ["d", "cd"]) == ("ab", True)
    assert cut_at_stop("abcd", ["x"]) == ("abcd", False)
    assert cut_at_stop("abcd", []) == ("abcd", False)


def question(*stop: str, kind: QuestionKind = QuestionKind.GENERATE, schema: str | None = None) -> Question:
    return Question("q", kind, "Describe.", 8, choices=("a", "b"), json_schema=schema, stop=stop)


@pytest.mark.parametrize(
    "wrong",
    [
        question(""),
        question("x" * (MOST_STOP_CHARS + 1)),
        question("\ud800"),
        question(*"abcdefgh"[: MOST_STOPS + 1]),
        question("x", kind=QuestionKind.YES_NO),
        question("x", kind=QuestionKind.CHOICE),
        question("x", schema='{"type": "string"}'),
    ],
)
def test_stops_that_cannot_be_held_to_are_a_mistake(wrong: Question) -> None:
    assert mistake(wrong) == "stop_unusable"


def test_a_few_short_ones_are_none() -> None:
    assert mistake(question("\n", "x" * MOST_STOP_CHARS, "。", "END")) is None
