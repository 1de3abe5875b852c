"""`portcullis lists check|test|add`."""

import os
import stat
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.cli.settings import load_settings
from app.domain import COUNTED_SCORE, DEFAULT_VIEWS, KeywordList, Status, TextFinding, TextLine, TextSource
from app.errors import ConfigurationError, PolicyInvalid
from app.logs import configure_logs
from app.policy.lists import load_lists, parse_list
from app.signals.keywords import AhoCorasickMatcher

commands = typer.Typer(
    help="The keyword lists: check them, try them, add to them.", no_args_is_help=True, add_completion=False
)

RulesDir = Annotated[Path | None, typer.Option(help="The keyword lists; default PORTCULLIS_RULES_DIR.")]
_OPTION_HELP = "As in the file: exact, word, inside, allow, regex, builtin, until=2027-01-31, severity=high."


@commands.command("check")
def check(rules_dir: RulesDir = None) -> None:
    """Name everything wrong in the lists. Exit code 0: sound; 1: problems."""
    console = _console()
    lists, problems = load_lists(_directory(rules_dir))
    for problem in problems:
        console.print(problem.render())
    if problems:
        raise typer.Exit(1)
    today = datetime.now(UTC).date()
    for one in lists:
        expired = sum(options.until is not None and options.until < today for _, options in one.options)
        views = "the usual views" if one.views == DEFAULT_VIEWS else ", ".join(view for view, _ in one.views)
        parts = [f"{one.category}, {one.severity.name.lower()}", f"{len(one.terms)} terms", views]
        parts += [f"{len(one.allow)} allow phrases"] if one.allow else []
        parts += [f"{expired} terms have expired"] if expired else []
        console.print(f"{one.name}: {'; '.join(parts)}")
    console.print(f"sound: {len(lists)} lists with {sum(len(one.terms) for one in lists)} terms")


@commands.command("test")
def try_text(
    text: Annotated[str, typer.Argument(help="What to look in; `-` reads it from standard input.")],
    name: Annotated[str | None, typer.Option("--list", help="One list only.")] = None,
    rules_dir: RulesDir = None,
) -> None:
    """Show what the lists find in a text, by which view, and what it is worth. Exit code 0: nothing that counts; 1:
    something."""
    configure_logs(level="warning", as_json=False)
    console = _console()
    lists = _usable(_directory(rules_dir), name)
    written = typer.get_text_stream("stdin").read() if text == "-" else text
    lines = tuple(TextLine(text=line) for line in written.splitlines())
    # The source that every list is asked over here, whichever it names.
    asked = [replace(one, sources=frozenset({TextSource.CAPTION})) for one in lists]
    found = AhoCorasickMatcher().match(asked, {TextSource.CAPTION: TextFinding(status=Status.OK, lines=lines)})
    if found.sources[TextSource.CAPTION] is not Status.OK:
        console.print("The text is too long: its end was not looked at.")
    for match in found.matches:
        place = f"line {match.line + 1}, characters {match.span[0]}-{match.span[1]}"
        worth = f"score {match.score:.2f}" + ("" if match.score >= COUNTED_SCORE else ", does not count")
        console.print(f"{match.list}: {match.term} ({match.view}, {worth}) in “{match.matched}”, {place}")
    if not found.matches:
        console.print("nothing found")
    if any(match.score >= COUNTED_SCORE for match in found.matches):
        raise typer.Exit(1)


@commands.command("add")
def add(
    name: Annotated[str, typer.Argument(metavar="LIST", help="The list, without `.txt`.")],
    term: Annotated[str, typer.Argument(help="The term, as it is to stand in the file.")],
    option: Annotated[list[str] | None, typer.Option("--option", "-o", help=_OPTION_HELP)] = None,
    comment: Annotated[str | None, typer.Option(help="Why it is there.")] = None,
    rules_dir: RulesDir = None,
) -> None:
    """Add a line to a list, if the list is sound with it. Exit code 0: added; 1: refused, the file is as it was."""
    console = _console()
    path = _directory(rules_dir) / f"{name}.txt"
    line = _line(term, option or (), comment)
    try:
        before = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    after = before if before.endswith(b"\n") or not before else before + b"\n"
    try:
        parse_list(name, after + line.encode(), file=path.name)
    except PolicyInvalid as invalid:
        console.print(invalid.detail)
        console.print("nothing was added")
        raise typer.Exit(1) from invalid
    _replace(path, after + line.encode())
    console.print(f"added to {path.name}: {line.rstrip()}")


def _line(term: str, options: Sequence[str], comment: str | None) -> str:
    if any(character in part for part in (term, comment or "", *options) for character in "\r\n"):
        raise ConfigurationError("a term, an option and a comment are one line each")
    if any(character in part for part in options for character in "[],"):
        raise ConfigurationError("name one option each time: --option word --option severity=high")
    before = f"[{', '.join(options)}] " if options else ""
    return f"{before}{term.strip()}{f'  # {comment.strip()}' if comment and comment.strip() else ''}\n"


def _replace(path: Path, data: bytes) -> None:
    """All or nothing: the service may read the file at any moment. A link keeps pointing where it does."""
    target = path.resolve()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(stat.S_IMODE(target.stat().st_mode))
        Path(name).replace(target)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise ConfigurationError(f"{path} cannot be written: {error.strerror or error}; it is as it was") from error


def _usable(rules_dir: Path, name: str | None) -> tuple[KeywordList, ...]:
    """The sound lists, or the one that is named. Raises ConfigurationError when it is not there."""
    lists, problems = load_lists(rules_dir)
    chosen = tuple(one for one in lists if name in (None, one.name))
    bad = [problem for problem in problems if name is None or Path(problem.file).stem == name]
    if bad:
        raise PolicyInvalid(tuple(bad))
    if not chosen:
        known = ", ".join(one.name for one in lists) or "none"
        raise ConfigurationError(f"there is no list called “{name}” in {rules_dir}; there are: {known}")
    return chosen


def _directory(given: Path | None) -> Path:
    return given or load_settings().rules_dir


def _console() -> Console:
    return Console(soft_wrap=True, highlight=False, markup=False)
