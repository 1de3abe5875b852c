"""Terms that go on over a line break."""

import pytest

from app.domain import Status, TextFinding, TextLine, TextSource
from app.signals.keywords import AhoCorasickMatcher
from tests.signals.keyword_support import find, found, keyword_list


def test_a_wrapped_match_lies_on_the_line_where_it_begins() -> None:
    box = ((0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0))
    lines = (TextLine(text="buy a Fake  ", frame=2, box=box), TextLine(text="  Passport now", frame=2))
    finding = AhoCorasickMatcher().match(
        [keyword_list("fake passport")], {TextSource.OCR: TextFinding(status=Status.OK, lines=lines)}
    )
    (match,) = finding.matches
    assert (match.term, match.matched, match.span, match.line) == ("fake passport", "Fake", (6, 10), 0)
    assert (match.frame, match.box, match.view) == (2, box, "wrapped")


@pytest.mark.parametrize(
    ("term", "lines"),
    [
        ("fake passport", ("a fake pass-", "port")),
        ("fake passport", ("a fake pass‐ ", " port")),
        ("ak-47 for sale", ("AK-", "47 for", "sale")),
        ("follow-up", ("follow-", "up")),
        ("fake passport", ("fake", "", "passport")),
        ("fake passport", ("fake\npassport",)),
        ("fake passport", ("fake\r\npassport",)),
        ("fake passport", ("fake\u2028passport",)),
        ("假护照", ("办假", "护照")),
        ("假护照", ("假", "护", "照")),
        ("假护照", ("办假\n护照",)),
        ("加vx领", ("加", "vx", "领")),
        ("假护照", ("假\x85护照",)),
    ],
)
def test_found_over_the_break(term: str, lines: tuple[str, ...]) -> None:
    assert found([term], *lines) == [term]


@pytest.mark.parametrize(
    ("term", "lines"),
    [
        ("passport", ("pass", "port")),
        ("fakepassport", ("fake", "passport")),
        ("枪支", ("玩具水枪", "支持退货")),
        ("枪支", ("水枪\n支持",)),
        ("ass", ("cl-", "ass")),
        ("pass", ("pass-", "port1", "a")),
    ],
)
def test_not_found_over_the_break(term: str, lines: tuple[str, ...]) -> None:
    wrapped = [match for match in find([term], *lines).matches if match.view == "wrapped"]
    assert wrapped == []


def test_a_line_that_ends_in_a_hyphen_is_read_both_ways() -> None:
    assert found(["passport", "pass", "port"], "pass-", "port") == ["passport"]
    assert found(["pass", "port"], "pass-", "port") == ["pass", "port"]
    assert found(["pass-port", "passport"], "pass-", "port") == ["pass-port"]


def test_a_dash_before_a_break_is_no_hyphen() -> None:
    assert found(["passport", "pass"], "pass -", "port") == ["pass"]


def test_frames_were_never_beside_each_other() -> None:
    lines = (TextLine(text="fake", frame=0), TextLine(text="passport", frame=1), TextLine(text="photo", frame=0))
    finding = AhoCorasickMatcher().match(
        [keyword_list("fake passport", "fake photo")], {TextSource.OCR: TextFinding(status=Status.OK, lines=lines)}
    )
    assert [(match.term, match.line, match.frame) for match in finding.matches] == [("fake photo", 0, 0)]


def test_lines_after_a_break_inside_a_line_are_counted_right() -> None:
    matches = find(["gun"], "a gun\nand a gun", "", "gun").matches
    assert [(match.line, match.span) for match in matches] == [(0, (2, 5)), (0, (12, 15)), (2, (0, 3))]


def test_a_term_that_only_wraps_counts_as_often_as_it_stands_there() -> None:
    assert found(["fake passport"], "fake", "passport fake", "passport") == ["fake passport", "fake passport"]
