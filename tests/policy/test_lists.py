"""Keyword list files: what is read, and how each mistake is named."""

import hashlib
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from app.domain import Severity, TextSource
from app.errors import PolicyInvalid, PolicyProblem
from app.policy import lists
from app.policy.list_text import MAX_PROBLEMS
from app.policy.lists import load_lists, parse_list
from app.policy.load import load_ruleset
from app.signals.keywords import AhoCorasickMatcher
from tests.policy.build import document, rule
from tests.signals.keyword_support import text_of

HEADER = "---\ncategory: contraband\nseverity: high\nlanguages: en, zh\n---\n"


def _problems(data: str | bytes, name: str = "contraband") -> tuple[PolicyProblem, ...]:
    with pytest.raises(PolicyInvalid) as caught:
        parse_list(name, data.encode() if isinstance(data, str) else data)
    return caught.value.problems


def _messages(data: str | bytes) -> list[tuple[int, int, str]]:
    return [(problem.line, problem.column, problem.message) for problem in _problems(data)]


def test_a_list_is_read() -> None:
    data = (
        "# who may edit this\n\n---\ncategory: scams\n  severity : critical\nlanguages: en, zh-Hant\n"
        "# and a comment\nsources: ocr, scene\nbinding: true\n---\n\n"
        "  fake passport \n# comment\n假护照\n🔫\n枪\nbuy now, pay later\nincall/outcall\n"
    ).encode()
    keywords = parse_list("my_list_2", data)
    assert keywords.name == "my_list_2"
    assert keywords.category == "scams"
    assert keywords.severity is Severity.CRITICAL
    assert keywords.languages == ("en", "zh-Hant")
    assert keywords.sources == {TextSource.OCR, TextSource.SCENE}
    assert keywords.binding
    assert keywords.terms == ("fake passport", "假护照", "🔫", "枪", "buy now, pay later", "incall/outcall")
    assert keywords.digest == "sha256:" + hashlib.sha256(data).hexdigest()


def test_the_documented_file_is_a_list() -> None:
    document = (Path(__file__).resolve().parents[2] / "docs" / "keywords.md").read_text(encoding="utf-8")
    example = document.partition("```text\n")[2].partition("```")[0]
    assert parse_list("contraband", example.encode()).terms == ("fake passport", "假护照")


def test_the_scene_is_no_source_unless_named() -> None:
    keywords = parse_list("contraband", (HEADER + "fake passport").encode())
    assert keywords.sources == {TextSource.OCR, TextSource.MODEL_TEXT, TextSource.QR, TextSource.CAPTION}
    assert not keywords.binding


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_files_of_other_editors_are_read_alike(line_end: str, mark: str) -> None:
    data = (mark + HEADER + "fake passport\n假护照\n").replace("\n", line_end).encode()
    keywords = parse_list("contraband", data)
    assert keywords.terms == ("fake passport", "假护照")
    assert keywords.category == "contraband"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", [(1, 1, "the header is missing")]),
        ("fake passport\n", [(1, 1, "the header is missing")]),
        ("fake passport\n" + HEADER, [(1, 1, "the header is missing")]),
        ("# c\n---\ncategory: scams\n", [(2, 1, "the header is not closed")]),
        (
            "---\n---\n",
            [
                (1, 1, "the header lacks `category`"),
                (1, 1, "the header lacks `severity`"),
                (1, 1, "the header lacks `languages`"),
                (3, 1, "the list is empty"),
            ],
        ),
        (HEADER.replace("high", "grave") + "abc\n", [(3, 11, "unknown severity “grave”")]),
        (HEADER.replace("high", "") + "abc\n", [(3, 11, "unknown severity “”")]),
        (HEADER.replace("contraband", "Fake-Docs") + "abc\n", [(2, 11, "“Fake-Docs” is not a category id")]),
        (HEADER.replace("en, zh", "en, english") + "abc\n", [(4, 12, "“english” is not a language")]),
        (HEADER.replace("en, zh", "en,, zh") + "abc\n", [(4, 12, "an empty value")]),
        (HEADER.replace("en, zh", "en, zh, en") + "abc\n", [(4, 12, "“en” is given twice")]),
        (HEADER[:-4] + "sources: ocr, pixels\n---\nabc\n", [(5, 10, "unknown source “pixels”")]),
        (HEADER[:-4] + "sources:\n---\nabc\n", [(5, 9, "an empty value")]),
        (HEADER[:-4] + "binding: yes\n---\nabc\n", [(5, 10, "“yes” is neither true nor false")]),
        (HEADER[:-4] + "  title: x\n---\nabc\n", [(5, 3, "unknown key `title`")]),
        (HEADER[:-4] + "severity: low\n---\nabc\n", [(5, 1, "`severity` is given twice")]),
        (HEADER[:-4] + "binding true\n---\nabc\n", [(5, 1, "not a `key: value` line")]),
        (HEADER[:-4] + "binding: " + "x" * 1000 + "\n---\nabc\n", [(5, 1, "a header line of 1009 characters")]),
    ],
)
def test_a_wrong_header(header: str, expected: list[tuple[int, int, str]]) -> None:
    assert _messages(header) == expected


@pytest.mark.parametrize(
    ("term", "column", "message"),
    [
        ("a", 1, "the term is a single letter or digit"),
        ("(a)", 1, "the term is a single letter or digit"),
        ("ａ", 1, "the term is a single letter or digit"),
        ("7", 1, "the term is a single letter or digit"),
        ("ж", 1, "the term is a single letter or digit"),
        ("🅰", 1, "the term is a single letter or digit"),
        ("ⓐ", 1, "the term is a single letter or digit"),
        ("--- ...", 1, "the term has nothing to match"),
        ("\u200b\u200b", 1, "the term has nothing to match"),
        ("\u3164", 1, "the term has nothing to match"),
        ("\u0301", 1, "the term has nothing to match"),
        ("ab\x00c", 3, "character U+0000 in a term"),
        ("ab\ufffd", 3, "character U+FFFD in a term"),
        ("- fake passport", 1, "a bullet before the term"),
        ("• fake passport", 1, "a bullet before the term"),
        ('"fake passport"', 1, "quotation marks around the term"),
        ("“假护照”", 1, "quotation marks around the term"),
        ("枪支,", 3, "a separator at the edge of the term"),
        ("，枪支", 1, "a separator at the edge of the term"),
        ("枪支、弹药", 3, "several terms on one line"),
        ("gun,knife", 4, "several terms on one line"),
        ("gun\tknife", 4, "several terms on one line"),
        ("gun | knife", 5, "several terms on one line"),
        ("x" * 201, 201, "the term has 201 characters; at most 200 are allowed"),
        ("fake passport", 1, "the term is listed already"),
        ("ＦＡＫＥ  passport", 1, "the term is listed already"),
    ],
)
def test_a_wrong_term(term: str, column: int, message: str) -> None:
    assert _messages(f"{HEADER}fake passport\n  {term}\n") == [(7, column + 2, message)]


@pytest.mark.parametrize(
    "term", ["vx", "枪", "🔫", "$$$", "1,000 dollars", "buy #coke", "don't", "'quoted", "x" * 200, "가"]
)
def test_an_unusual_but_sound_term(term: str) -> None:
    assert parse_list("contraband", (HEADER + term).encode()).terms == (term,)


def test_all_problems_come_at_once_and_read_well() -> None:
    data = b"---\ncategory: scams\nseverity: grave\n---\na\nfake passport\nfake passport\n" + b"\xc7\xff ok\n"
    with pytest.raises(PolicyInvalid) as caught:
        parse_list("scams", data, file="rules/scams.txt")
    assert str(caught.value) == (
        "rules/scams.txt:1:1: the header lacks `languages`\n"
        "    hint: add a line `languages: …`\n"
        "rules/scams.txt:3:11: unknown severity “grave”\n"
        "    severity: grave\n"
        "              ^\n"
        "    hint: one of low, medium, high, critical\n"
        "rules/scams.txt:5:1: the term is a single letter or digit\n"
        "    a\n"
        "    ^\n"
        "    hint: it would match in ordinary text; use a longer phrase\n"
        "rules/scams.txt:7:1: the term is listed already\n"
        "    fake passport\n"
        "    ^\n"
        "    hint: first in line 6; remove one of them\n"
        "rules/scams.txt:8:1: byte 0xc7 is not UTF-8\n"
        "    \ufffd\ufffd ok\n"
        "    ^\n"
        "    hint: save the file as UTF-8; it may be in GBK, Big5 or Latin-1"
    )


def test_a_line_that_is_not_utf8_is_named() -> None:
    assert _messages(HEADER.encode() + "假护照\n好".encode() + b"\xff\n") == [(7, 2, "byte 0xff is not UTF-8")]


def test_utf16_is_named() -> None:
    assert _messages((HEADER + "abc").encode("utf-16")) == [(1, 1, "the file is UTF-16")]


@pytest.mark.parametrize("name", ["Contraband", "my-list", "2nd", "", "a" * 65, "a.b", "../etc", "a\n", "in"])
def test_a_name_that_conditions_could_not_speak_of(name: str) -> None:
    (problem,) = _problems(HEADER + "abc", name=name)
    assert "cannot name a list" in problem.message


def test_an_empty_list() -> None:
    assert _messages(HEADER + "# nothing yet\n") == [(7, 1, "the list is empty")]


def test_a_list_too_large_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MAX_LIST_BYTES", 100)
    (problem,) = _problems(HEADER + "abc\n" * 100)
    assert problem.message == "the file has 462 bytes; at most 100 are read"


def test_too_many_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MAX_TERMS", 2)
    assert _messages(HEADER + "aa\nbb\ncc\ndd\n") == [(8, 1, "more than 2 terms")]
    assert len(parse_list("contraband", (HEADER + "aa\nbb\n").encode()).terms) == 2


def test_more_problems_than_anyone_reads_are_counted() -> None:
    problems = _problems(HEADER + "a\n" * (MAX_PROBLEMS + 50))
    assert len(problems) == MAX_PROBLEMS + 1
    assert problems[-1].message == "50 more problems are not shown"


def test_a_very_long_line_is_not_repeated_in_full() -> None:
    (problem,) = _problems(HEADER + "x" * 100_000)
    assert problem.source_line is None
    assert len(problem.render()) < 500


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12))
def test_an_accepted_term_can_be_found(term: str) -> None:
    try:
        keywords = parse_list("contraband", f"{HEADER}{term}\n".encode())
    except PolicyInvalid:
        return
    for accepted in keywords.terms:
        finding = AhoCorasickMatcher().match([keywords], {TextSource.CAPTION: text_of(accepted)})
        assert [match.term for match in finding.matches] == [accepted]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_list_or_a_policy_problem(data: bytes) -> None:
    for candidate in (data, HEADER.encode() + data):
        try:
            parse_list("contraband", candidate)
        except PolicyInvalid as invalid:
            problems = invalid.problems
        else:
            problems = ()
        assert all(problem.line >= 1 and problem.column >= 1 and problem.message for problem in problems)


def _write(directory: Path, **texts: str) -> None:
    for name, text in texts.items():
        (directory / f"{name}.txt").write_text(text, encoding="utf-8")


def test_a_directory_is_read_in_order(tmp_path: Path) -> None:
    _write(tmp_path, b=HEADER + "bb", a=HEADER + "aa", c=HEADER + "c")
    (tmp_path / "README.md").write_text("not a list")
    (tmp_path / ".a.txt").write_text("an editor's")
    (tmp_path / "a.txt~").write_text("a backup")
    loaded, problems = load_lists(tmp_path)
    assert [keywords.name for keywords in loaded] == ["a", "b"]
    assert [(problem.file, problem.line) for problem in problems] == [(f"{tmp_path.name}/c.txt", 6)]


@pytest.mark.parametrize("name", ["Scams.txt", "scams.TXT", "more scams.txt", "README.txt"])
def test_a_file_that_would_be_overlooked_is_a_problem(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(HEADER + "abc")
    loaded, (problem,) = load_lists(tmp_path)
    assert loaded == ()
    assert problem.file == f"{tmp_path.name}/{name}"
    assert "cannot name a list" in problem.message


def test_a_missing_directory_is_one_problem(tmp_path: Path) -> None:
    loaded, (problem,) = load_lists(tmp_path / "rules")
    assert loaded == ()
    assert problem.render() == (
        "rules:1:1: cannot be read: No such file or directory\n"
        "    hint: PORTCULLIS_RULES_DIR names the directory of the lists"
    )


def test_what_cannot_be_read_is_a_problem_and_hides_nothing_else(tmp_path: Path) -> None:
    _write(tmp_path, good=HEADER + "abc")
    (tmp_path / "directory.txt").mkdir()
    (tmp_path / "dangling.txt").symlink_to(tmp_path / "gone")
    (tmp_path / "loop.txt").symlink_to(tmp_path / "loop.txt")
    os.mkfifo(tmp_path / "pipe.txt")
    loaded, problems = load_lists(tmp_path)
    assert [keywords.name for keywords in loaded] == ["good"]
    assert [problem.file.rpartition("/")[2] for problem in problems] == [
        "dangling.txt",
        "directory.txt",
        "loop.txt",
        "pipe.txt",
    ]
    assert all("cannot be read" in problem.message for problem in problems)


def test_links_as_a_config_map_makes_them_are_followed(tmp_path: Path) -> None:
    data = tmp_path / "..data"
    data.mkdir()
    _write(data, scams=HEADER + "abc")
    (tmp_path / "scams.txt").symlink_to("..data/scams.txt")
    loaded, problems = load_lists(tmp_path)
    assert [keywords.name for keywords in loaded] == ["scams"]
    assert problems == ()


def test_a_file_too_large_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MAX_LIST_BYTES", 100)
    _write(tmp_path, big=HEADER + "abc\n" * 1000)
    loaded, (problem,) = load_lists(tmp_path)
    assert loaded == ()
    assert "at most 100" in problem.message


def test_without_the_directory_of_lists_nothing_else_is_told_of_them(tmp_path: Path) -> None:
    policy = tmp_path / "p.yaml"
    policy.write_text(yaml.safe_dump(document([rule("r", "keywords.banned.count > 0 && keywords.sworn.count > 0")])))
    with pytest.raises(PolicyInvalid) as invalid:
        load_ruleset(policy, tmp_path / "nowhere")
    assert [(one.file, one.message) for one in invalid.value.problems] == [
        ("nowhere", "cannot be read: No such file or directory")
    ]
