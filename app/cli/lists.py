"""`portcullis lists check|test|add`."""

import os
import re
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
from app.domain import (
    COUNTED_SCORE,
    DEFAULT_VIEWS,
    KeywordList,
    Status,
    TermKind,
    TermOptions,
    TextFinding,
    TextLine,
    TextSource,
)
from app.errors import ConfigurationError, PolicyInvalid
from app.logs import configure_logs
from app.policy.lists import load_lists, parse_list
from app.signals.keywords import AhoCorasickMatcher

commands = typer.Typer(
    help="The keyword lists: check them, try them, add to them.", no_args_is_help=True, add_completion=False
)

RulesDir = Annotated[Path | None, typer.Option(help="The keyword lists; default PORTCULLIS_RULES_DIR.")]

#: The list takes both, as part of a phrase ("buy now, pay later"); given to `add`, they are as likely several terms.
_COMMAS = re.compile(r"[,;]\s|[，；]")
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
    term: Annotated[str, typer.Argument(help="One term, without options and comment.")],
    option: Annotated[list[str] | None, typer.Option("--option", "-o", help=_OPTION_HELP)] = None,
    comment: Annotated[str | None, typer.Option(help="Why it is there.")] = None,
    rules_dir: RulesDir = None,
    *,
    phrase: Annotated[bool, typer.Option("--phrase", help="Its commas are part of it: it is one term.")] = False,
) -> None:
    """Add a line to a list, if the list is sound with it and looks for that term then. Exit code 0: added; 1: refused,
    the list would not be sound; 2: refused, the term would not be looked for. The file is then as it was."""
    console = _console()
    directory = _directory(rules_dir)
    path = directory / f"{name}.txt"
    line = _line(term, option or (), comment)
    try:
        before = path.read_bytes()
    except FileNotFoundError as error:
        raise _no_such_list(name, directory, _names(directory)) from error
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    after = (before if before.endswith(b"\n") or not before else before + b"\n") + line
    try:
        gained = parse_list(name, after, file=path.name)
    except PolicyInvalid as invalid:
        console.print(invalid.detail)
        console.print("nothing was added")
        raise typer.Exit(1) from invalid
    _require_looked_for(gained, term.strip(), phrase=phrase)
    _replace(path, after)
    console.print(f"added to {path.name}: {line.decode().rstrip()}")


def _line(term: str, options: Sequence[str], comment: str | None) -> bytes:
    """The line to add, which is neither blank nor a comment. Raises ConfigurationError."""
    if any(character in part for part in (term, comment or "", *options) for character in "\r\n"):
        raise ConfigurationError("a term, an option and a comment are one line each")
    if any(character in part for part in options for character in "[],"):
        raise ConfigurationError("name one option each time: --option word --option severity=high")
    if not term.strip():
        raise ConfigurationError("the term is empty; nothing was added")
    if term.lstrip().startswith("#") and not options:
        raise ConfigurationError(
            "a line that begins with # is a comment; nothing was added. Add the word without #, which is found in "
            "hashtags too; behind an option, such as --option word, it may begin with #"
        )
    before = f"[{', '.join(options)}] " if options else ""
    after = f"  # {comment.strip()}" if comment and comment.strip() else ""
    try:
        return f"{before}{term.strip()}{after}\n".encode()
    except UnicodeEncodeError as error:
        raise ConfigurationError("the term or the comment is not UTF-8; nothing was added") from error


def _require_looked_for(gained: KeywordList, term: str, *, phrase: bool) -> None:
    """Raises ConfigurationError unless the last line of the list stands for this term, and nothing else, from today
    on."""
    options = dict(gained.options).get(len(gained.terms) - 1, TermOptions())
    if gained.terms[-1:] == (term,):
        if options.until is not None and options.until < datetime.now(UTC).date():
            raise ConfigurationError(f"until={options.until} is past: it would never be looked for; nothing was added")
    elif gained.allow[-1:] != (term,):
        raise ConfigurationError(
            f"the list would not look for “{term}” as it is written: a term has no options (use --option) and no ` #` "
            "(use --comment); nothing was added"
        )
    if options.kind is TermKind.PLAIN and not phrase and _COMMAS.search(term):
        raise ConfigurationError(
            f"“{term}” would be one term, found only with all its words in this order; nothing was added. Add several "
            "one by one, or say --phrase if it is one"
        )


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
        raise _no_such_list(name, rules_dir, [one.name for one in lists])
    return chosen


def _no_such_list(name: str | None, rules_dir: Path, known: Sequence[str]) -> ConfigurationError:
    return ConfigurationError(
        f"there is no list called “{name}” in {rules_dir}; there are: {', '.join(known) or 'none'}"
    )


def _names(rules_dir: Path) -> list[str]:
    """Of all lists, sound or not."""
    return sorted(path.stem for path in rules_dir.glob("*.txt") if not path.name.startswith("."))


def _directory(given: Path | None) -> Path:
    return given or load_settings().rules_dir


def _console() -> Console:
    return Console(soft_wrap=True, highlight=False, markup=False)
