"""`portcullis lists check|test|add` on files of its own."""

import stat
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from app.cli.lists import commands
from app.errors import ConfigurationError, PolicyInvalid
from tests.store.test_out_of_reach import files_of_at_most

LIST = "---\ncategory: contraband\nseverity: high\nlanguages: en, zh\n---\nfake passport\n假护照"


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    (tmp_path / "contraband.txt").write_text(LIST, encoding="utf-8")
    (tmp_path / "more.txt").write_text(LIST.replace("假护照", "[allow] 水枪支持\n枪支\n"), encoding="utf-8")
    return tmp_path


def _run(rules: Path, *arguments: str, text: str | None = None) -> Result:
    command, *rest = arguments
    return CliRunner().invoke(commands, [command, "--rules-dir", str(rules), *rest], input=text)


def test_sound_lists_are_counted(rules: Path) -> None:
    done = _run(rules, "check")
    assert done.exit_code == 0
    assert "more: contraband, high; 2 terms; the usual views; 1 allow phrases" in done.output
    assert "sound: 2 lists with 4 terms" in done.output


def test_expired_terms_are_told(rules: Path) -> None:
    (rules / "more.txt").write_text(f"{LIST}\n[until=2001-01-01] old\n", encoding="utf-8")
    assert "1 terms have expired" in _run(rules, "check").output


def test_every_problem_of_every_list_is_told(rules: Path) -> None:
    for name in ("contraband", "more"):
        (rules / f"{name}.txt").write_text(LIST + "\nx\n", encoding="utf-8")
    done = _run(rules, "check")
    assert done.exit_code == 1
    assert done.output.count("the term is a single letter or digit") == 2


def test_a_text_is_tried(rules: Path) -> None:
    done = _run(rules, "test", "出售 f4ke passport", "--list", "contraband")
    assert done.exit_code == 1
    assert done.output == "contraband: fake passport (leet, score 0.80) in “f4ke passport”, line 1, characters 3-16\n"


def test_what_does_not_count_is_shown_and_is_no_hit(rules: Path) -> None:
    done = _run(rules, "test", "-", text="这是假护 照\n")
    assert done.exit_code == 0
    assert "does not count" in done.output


def test_nothing_found_is_said(rules: Path) -> None:
    done = _run(rules, "test", "水枪支持退货")
    assert (done.exit_code, done.output) == (0, "nothing found\n")


def test_a_list_that_is_not_there_is_named(rules: Path) -> None:
    assert isinstance(_run(rules, "test", "x", "--list", "nope").exception, ConfigurationError)
    assert isinstance(_run(rules, "add", "nope", "a term").exception, ConfigurationError)


def test_a_text_is_not_tried_on_half_the_lists(rules: Path) -> None:
    (rules / "more.txt").write_text(LIST + "\nx\n", encoding="utf-8")
    assert isinstance(_run(rules, "test", "fake passport").exception, PolicyInvalid)


def test_a_term_is_added_with_its_options(rules: Path) -> None:
    path = rules / "contraband.txt"
    path.chmod(0o640)
    options = ("-o", "word", "-o", "until=2027-01-31", "--comment", "case 12")
    assert _run(rules, "add", "contraband", "假证", *options).exit_code == 0
    assert path.read_text(encoding="utf-8") == f"{LIST}\n[word, until=2027-01-31] 假证  # case 12\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert sorted(one.name for one in rules.iterdir()) == ["contraband.txt", "more.txt"]


def test_an_added_term_goes_where_a_link_points(rules: Path) -> None:
    (rules / "data").mkdir()
    (rules / "contraband.txt").rename(rules / "data" / "contraband.txt")
    (rules / "contraband.txt").symlink_to("data/contraband.txt")
    assert _run(rules, "add", "contraband", "假证").exit_code == 0
    assert (rules / "contraband.txt").is_symlink()
    assert (rules / "data" / "contraband.txt").read_text(encoding="utf-8").endswith("假证\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("fake passport",), "listed already"),
        (("x",), "single letter"),
        (("two,words",), "several terms on one line"),
        (("abc", "-o", "nope"), "unknown option `nope`"),
        (("(a", "-o", "regex"), "not a pattern"),
    ],
)
def test_what_would_break_the_list_is_refused(rules: Path, arguments: tuple[str, ...], said: str) -> None:
    done = _run(rules, "add", "contraband", *arguments)
    assert done.exit_code == 1
    assert said in done.output
    assert (rules / "contraband.txt").read_text(encoding="utf-8") == LIST


@pytest.mark.parametrize("arguments", [("a\nb",), ("abc", "--comment", "x\ny"), ("abc", "-o", "word] x [")])
def test_one_line_is_added_and_no_more(rules: Path, arguments: tuple[str, ...]) -> None:
    assert isinstance(_run(rules, "add", "contraband", *arguments).exception, ConfigurationError)
    assert (rules / "contraband.txt").read_text(encoding="utf-8") == LIST


def test_a_list_that_finds_no_room_is_as_it_was(rules: Path) -> None:
    with files_of_at_most(len(LIST)):
        done = _run(rules, "add", "contraband", "forged papers")
    assert isinstance(done.exception, ConfigurationError)
    assert "cannot be written: File too large; it is as it was" in done.exception.detail
    assert (rules / "contraband.txt").read_text(encoding="utf-8") == LIST
    assert sorted(path.name for path in rules.iterdir()) == ["contraband.txt", "more.txt"]


NEVER = [
    (("#hashtag",), "is a comment"),
    (("",), "the term is empty"),
    (("  ",), "the term is empty"),
    (("", "-o", "word"), "the term is empty"),
    (("forged papers", "-o", "until=2001-01-01"), "until=2001-01-01 is past"),
    (("one, two",), "would be one term"),
    (("真票，假票",), "would be one term"),
    (("one, two", "-o", "allow"), "would be one term"),
    (("[word] forged papers",), "use --option"),
    (("[allow] forged papers",), "use --option"),
    (("forged # papers",), "use --comment"),
    (("\udcff\udcfe papers",), "not UTF-8"),
]


@pytest.mark.parametrize(("arguments", "said"), NEVER)
def test_what_would_never_be_looked_for_is_not_added(rules: Path, arguments: tuple[str, ...], said: str) -> None:
    done = _run(rules, "add", "contraband", *arguments)
    assert isinstance(done.exception, ConfigurationError)
    assert said in done.exception.detail
    assert (rules / "contraband.txt").read_text(encoding="utf-8") == LIST


@pytest.mark.parametrize(
    ("arguments", "line", "found_in"),
    [
        (("buy now, pay later", "--phrase"), "buy now, pay later", "so buy now, pay later!"),
        (("#hashtag", "-o", "word"), "[word] #hashtag", "a #hashtag"),
        (("hashtag",), "hashtag", "a #hashtag"),
        (("1,000 coins",), "1,000 coins", "for 1,000 coins"),
        (("a{1, 3}bc", "-o", "regex"), "[regex] a{1, 3}bc", "xa{1, 3}bc"),
    ],
)
def test_what_is_added_is_looked_for(rules: Path, arguments: tuple[str, ...], line: str, found_in: str) -> None:
    done = _run(rules, "add", "contraband", *arguments)
    assert (done.exit_code, done.output) == (0, f"added to contraband.txt: {line}\n")
    assert (rules / "contraband.txt").read_text(encoding="utf-8") == f"{LIST}\n{line}\n"
    assert _run(rules, "test", found_in, "--list", "contraband").exit_code == 1


def test_an_allow_phrase_is_added(rules: Path) -> None:
    assert _run(rules, "add", "more", "枪支展览", "-o", "allow").exit_code == 0
    assert "more: contraband, high; 2 terms; the usual views; 2 allow phrases" in _run(rules, "check").output


def test_a_mistyped_list_is_answered_with_those_there_are(rules: Path) -> None:
    (rules / "more.txt").write_text(LIST + "\nx\n", encoding="utf-8")  # not sound, and a list all the same
    done = _run(rules, "add", "contrabnd", "forged papers")
    assert isinstance(done.exception, ConfigurationError)
    assert done.exception.detail.endswith("there are: contraband, more")
