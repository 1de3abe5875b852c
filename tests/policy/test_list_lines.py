"""The options of a list's lines: what they come to, and how each mistake is worded."""

import re
from datetime import date
from pathlib import Path

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from app.domain import BUILTIN_MATCHERS, DEFAULT_VIEWS, VIEWS, KeywordList, Severity, TermKind, TermOptions
from app.errors import PolicyInvalid
from app.policy import list_lines, lists
from app.policy.list_lines import read_line
from app.policy.list_terms import term_complaints
from app.policy.lists import parse_list
from app.signals import patterns
from app.signals.builtins import BUILTINS

_GOLDEN = Path(__file__).parent / "golden_lists"
_HEADER = "---\ncategory: contraband\nseverity: high\nlanguages: en, zh\n---\n"


def _list(body: str, header: str = _HEADER) -> KeywordList:
    return parse_list("contraband", (header + body).encode())


def test_every_option_is_read() -> None:
    keywords = _list(
        "[allow] 路口交通  # a place\n"
        "口交\n"
        "  [exact , until = 2027-01-31, severity=critical]   共产 # until then\n"
        "[regex] 加?v[xX]\\d+\n"
        "[builtin] url\n"
        "[word] 他妈\n"
        "[inside] gun\n"
        "buy #coke #\n"
    )
    assert keywords.terms == ("口交", "共产", "加?v[xX]\\d+", "url", "他妈", "gun", "buy #coke")
    assert keywords.allow == ("路口交通",)
    assert dict(keywords.options) == {
        1: TermOptions(exact=True, until=date(2027, 1, 31), severity=Severity.CRITICAL),
        2: TermOptions(kind=TermKind.REGEX),
        3: TermOptions(kind=TermKind.BUILTIN),
        4: TermOptions(word=True),
        5: TermOptions(inside=True),
    }
    assert keywords.views == DEFAULT_VIEWS


def test_the_documented_options_and_views_are_read() -> None:
    document = (Path(__file__).resolve().parents[2] / "docs" / "keywords.md").read_text(encoding="utf-8")
    example = document.split("```text\n")[2].partition("```")[0]
    keywords = parse_list("documented", example.encode())
    assert {name for _, options in keywords.options for name in _said(options)} == {
        *("exact", "until", "word", "severity", "inside", "regex", "builtin")
    }
    assert keywords.allow == ("路口交通",)
    for header in re.findall(r"\| `(views: .*?)` \|", document):
        _list("abc", _HEADER[:-4] + f"{header}\n---\n")
    for view, weight in VIEWS.items():
        assert f"| `{view}` | {weight:g} |" in document


def _said(options: TermOptions) -> set[str]:
    given = {name for name in ("exact", "word", "inside", "until", "severity") if getattr(options, name)}
    return given | ({options.kind.value} - {"plain"})


@pytest.mark.parametrize("path", sorted(_GOLDEN.glob("*.list")), ids=lambda path: path.stem)
def test_mistakes_are_worded_so(path: Path) -> None:
    with pytest.raises(PolicyInvalid) as caught:
        parse_list("golden", path.read_bytes(), file=path.name)
    assert str(caught.value) + "\n" == path.with_suffix(".txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("fold", {"fold": 1.0}),
        ("pinyin=0.25, leet", {"fold": 1.0, "pinyin": 0.25, "leet": VIEWS["leet"]}),
        ("default, reversed=0", {view: weight for view, weight in DEFAULT_VIEWS if view != "reversed"}),
        ("reversed=0, default", {view: weight for view, weight in DEFAULT_VIEWS if view != "reversed"}),
        ("default, homophones", dict(VIEWS)),
    ],
)
def test_views_of_the_header(written: str, expected: dict[str, float]) -> None:
    assert dict(_list("abc", _HEADER[:-4] + f"views: {written}\n---\n").views) == expected


def test_a_pattern_and_a_term_that_read_alike_are_two() -> None:
    assert _list("abc\n[regex] abc\n").terms == ("abc", "abc")


def test_more_patterns_than_an_upload_may_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MAX_PATTERNS", 2)
    with pytest.raises(PolicyInvalid) as caught:
        _list("[regex] ab+\n[regex] ac+\n[regex] ad+\n[regex] ae+\n")
    assert [(problem.line, problem.message) for problem in caught.value.problems] == [(8, "more than 2 patterns")]


@given(
    st.text("abc枪支 [](),=#!9\\", min_size=1, max_size=12).filter(lambda line: line.strip() and line.strip()[0] != "#")
)
def test_the_quick_way_for_plain_lines_agrees_with_the_whole(line: str) -> None:
    entry = read_line(line)
    if list_lines._PLAIN_LINE.fullmatch(line):
        assert list(term_complaints(line)) == []
        assert entry.text == line.strip()


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_pattern_is_compiled_by_both_sides_or_refused(text: str) -> None:
    entry = read_line(f"[regex] {text}")
    if not entry.complaints:
        patterns.compile_pattern(entry.text)


def test_both_sides_know_the_same_matchers_and_budget() -> None:
    assert set(BUILTIN_MATCHERS) == set(BUILTINS)
    assert list_lines._PATTERN_BYTES == patterns.PATTERN_BYTES
    with pytest.raises(re2.error):
        patterns.compile_pattern("(a{1000}){1000}")
