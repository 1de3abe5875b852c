"""What pages show of a decision, without the web."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from app.domain import KeywordMatch, Severity, TextSource
from app.web.login import own_path
from app.web.templates import STATIC, _age, _number
from app.web.views import highlight, span_box


def match(start: int, end: int, term: str = "t") -> KeywordMatch:
    return KeywordMatch(
        list="l", category="c", term=term, matched="m", source=TextSource.OCR, span=(start, end), line=0, view="fold"
    )


@given(
    text=st.text(max_size=40),
    spans=st.lists(st.tuples(st.integers(-3, 45), st.integers(-3, 45)), max_size=6),
)
def test_highlighting_keeps_the_text_and_marks_what_was_matched(text: str, spans: list[tuple[int, int]]) -> None:
    matches = [match(start, end) for start, end in spans]
    segments = highlight(text, matches)
    assert "".join(segment.text for segment in segments) == text
    at = 0
    for segment in segments:
        assert segment.text
        for one in matches:
            inside = 0 <= one.span[0] <= at and at + len(segment.text) <= one.span[1] <= len(text)
            assert (one in segment.matches) == (inside and one.span[0] < one.span[1])
        at += len(segment.text)


def test_overlapping_matches_are_both_told() -> None:
    first, second = match(0, 4, "first"), match(2, 6, "second")
    assert [(one.text, [hit.term for hit in one.matches]) for one in highlight("abcdefg", [first, second])] == [
        ("ab", ["first"]),
        ("cd", ["first", "second"]),
        ("ef", ["second"]),
        ("g", []),
    ]


@given(st.text())
def test_the_log_in_never_leads_elsewhere(target: str) -> None:
    path = own_path(target)
    assert path.startswith("/")
    assert not path.startswith(("//", "/\\"))


def test_the_log_in_knows_the_tricks() -> None:
    for trick in ("//evil.test", "/\\evil.test", "https://evil.test", "/\t/evil.test", "\\\\evil", "javascript:x", ""):
        assert own_path(trick) == "/"
    for path in ("/", "/review", "/review/case_1?state=open", "/decisions/dec_1"):
        assert own_path(path) == path


def test_values_read_as_conditions_saw_them() -> None:
    assert [_number(value) for value in (None, True, 0.93333, 3, "x")] == ["unknown", "true", "0.9333", "3", "x"]


def test_ages_are_short() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    ages = [_age(now - timedelta(seconds=seconds), now) for seconds in (-5, 59, 61, 7300, 90_000, 400_000)]
    assert ages == ["0 s", "59 s", "1 min", "2 h", "25 h", "4 d"]


def test_every_severity_has_a_colour() -> None:
    css = (STATIC / "portcullis.css").read_text()
    assert [
        one.name for one in Severity if one is not Severity.LOW and f".severity-{one.name.lower()}" not in css
    ] == []


@given(
    text=st.text(alphabet="ab，办证", min_size=1, max_size=20),
    span=st.tuples(st.integers(0, 20), st.integers(0, 20)),
    size=st.tuples(st.integers(1, 500), st.integers(1, 500)),
)
def test_the_box_of_a_span_lies_in_the_box_of_its_line(text: str, span: tuple[int, int], size: tuple[int, int]) -> None:
    start, end = min(*span, len(text)), min(max(span), len(text))
    (width, height) = size
    box = span_box(text, ((0, 0), (width, 0), (width, height), (0, height)), (start, end))
    for x, y in box:
        assert -1e-6 <= x <= width + 1e-6
        assert -1e-6 <= y <= height + 1e-6


def test_a_span_is_marked_where_its_characters_stand() -> None:
    wide, tall = (
        ((0.0, 0.0), (80.0, 0.0), (80.0, 20.0), (0.0, 20.0)),
        ((0.0, 0.0), (20.0, 0.0), (20.0, 80.0), (0.0, 80.0)),
    )
    assert span_box("ab办证cd", wide, (2, 4)) == ((20, 0), (60, 0), (60, 20), (20, 20))
    assert span_box("加微信了", tall, (1, 3)) == ((0, 20), (20, 20), (20, 60), (0, 60))
    assert span_box("turned", tall, (1, 3)) == tall
