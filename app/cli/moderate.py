"""`portcullis moderate PATH…`: decide on files without a server, as the API would."""

import asyncio
import json
import os
import shlex
import stat
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

from app.cli.settings import load_settings
from app.domain import Decision, Outcome, UploadContext
from app.errors import ConfigurationError, NotFound, PolicyConflict, PortcullisError, Unavailable, UploadError
from app.http.moderate import require_wait
from app.http.uploads import upload_fields
from app.intake.sniff import ACCEPTED, HEAD_BYTES, sniff
from app.main import build
from app.moderation.pipeline import Upload
from app.service import Service
from app.settings import Settings

commands = typer.Typer(add_completion=False)

_COLOURS = {Outcome.PASS: "green", Outcome.REVIEW: "yellow", Outcome.REJECT: "red"}

_KEY_ID = "cli"

#: What a shell says of a program that wrote into a pipe that nobody reads any more, as `| head` leaves one.
_NOBODY_READS = 128 + 13

#: A 4B model is read from a slow disk within this, in seconds.
_READY_WITHIN_S = 300

#: How often an upload that is refused for want of room is tried.
_ATTEMPTS = 4


class NobodyReads(Exception):
    """Of what is printed: the rest need not be decided."""


class Output(Console):
    """Raises NobodyReads, where the base ends with the exit code for pictures that did not pass."""

    def on_broken_pipe(self) -> None:
        raise NobodyReads


@dataclass(frozen=True, slots=True)
class Found:
    """`files` are tried. Of what lies in folders beside them, `others` are no pictures of an accepted kind, and `links`
    lead to other folders."""

    files: tuple[Path, ...]
    others: int
    links: int

    @property
    def left(self) -> str:
        """What is not tried and why, in words; empty where there is nothing."""
        said = []
        if self.others:
            files = "1 file was" if self.others == 1 else f"{self.others} files were"
            said.append(f"{files} left: no picture of an accepted kind ({ACCEPTED})")
        if self.links:
            links = "1 link to a folder was" if self.links == 1 else f"{self.links} links to folders were"
            said.append(f"{links} not followed")
        return "; ".join(said)


@dataclass(frozen=True, slots=True)
class Judged:
    """One file's end: a decision, or the error that kept it from one."""

    path: Path
    decision: Decision | None
    error: PortcullisError | None

    @property
    def word(self) -> str:
        return self.decision.outcome.value if self.decision is not None else "error"


@commands.command()
def moderate(
    paths: Annotated[list[Path], typer.Argument(help="Pictures, and folders to search for pictures.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line: path, and decision or error.")
    ] = False,
    surface: Annotated[str | None, typer.Option(help="Where the uploads would appear, such as avatar.")] = None,
    deadline_s: Annotated[
        float | None, typer.Option(help="Seconds a decision may take, at least 1; default PORTCULLIS_MAX_DEADLINE_S.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Pictures in work at once.")] = 2,
) -> None:
    """Moderate files and folders. Exit code 0: all passed; 1: something rejected or in review; 2: an error."""
    settings = load_settings()
    context = upload_fields({"surface": surface}).context()
    if deadline_s is None:
        deadline_s = settings.max_deadline_s
    else:
        require_wait(deadline_s, settings.max_deadline_s, field="deadline-s")
    found = _search(paths)
    if not found.files:
        raise NotFound(f"no pictures there; {found.left}" if found.left else "no pictures there")
    service = build(settings.model_copy(update={"log_level": "error"}), beside=True).service
    try:
        judged = asyncio.run(
            _run(service, settings, found.files, context, deadline_s=deadline_s, jobs=jobs, as_json=as_json)
        )
        if not as_json:
            _report(judged)
        if found.left:
            Output(stderr=as_json, soft_wrap=True, highlight=False).print(Text(found.left))
    except* NobodyReads:
        # What is still to be written would be tried once more at the end of the process, and be a complaint then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = _NOBODY_READS
    else:
        code = _exit_code(judged)
    raise typer.Exit(code)


def _search(paths: list[Path]) -> Found:
    """Files that are named are always tried, those in folders by what their first bytes say. What cannot be looked at
    there is tried too, and so becomes an error of its own. Raises NotFound for a name without anything behind it."""
    files: list[Path] = []
    others = links = 0
    for path in paths:
        if not os.path.lexists(path):
            raise NotFound(f"{path}: no such file or folder")
        if not os.path.isdir(path):  # noqa: PTH112 - `Path.is_dir` raises where a folder above may not be looked into
            files.append(path)
            continue
        inside, folder_links = _inside(path)
        pictures = [one for one in inside if _is_worth_trying(one)]
        files += pictures
        others += len(inside) - len(pictures)
        links += folder_links
    return Found(tuple(files), others, links)


def _inside(folder: Path) -> tuple[list[Path], int]:
    """What lies in a folder and those below, with the folders that cannot be listed; and how many links lead to other
    folders, which may lie around it."""
    found: list[Path] = []
    links = 0
    for root, below, names in os.walk(folder, onerror=lambda fault: found.append(Path(fault.filename))):
        found.extend(Path(root, name) for name in names)
        links += sum(Path(root, name).is_symlink() for name in below)
    return sorted(found), links


def _is_worth_trying(path: Path) -> bool:
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            return True
        if not stat.S_ISREG(kind):  # whoever opens a pipe waits for its other end
            return False
        with path.open("rb") as file:
            sniff(file.read(HEAD_BYTES))
    except OSError:
        return True
    except UploadError:
        return False
    return True


async def _run(
    service: Service,
    settings: Settings,
    paths: Sequence[Path],
    context: UploadContext,
    *,
    deadline_s: float,
    jobs: int,
    as_json: bool,
) -> list[Judged]:
    console = Output(stderr=True)
    with console.status("Loading the model…"):
        await _start(service, settings)
        try:
            await service.wait_ready(_READY_WITHIN_S)
        except PortcullisError as fault:
            console.print(f"[yellow]Decisions will be degraded:[/] {fault.detail}")
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    room = asyncio.Semaphore(jobs)
    judged: dict[Path, Judged] = {}
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            bar = progress.add_task("Moderating", total=len(paths))

            async def one(path: Path) -> None:
                async with room:
                    judged[path] = await _judge(service, path, context, deadline_s)
                if as_json:
                    _print_line(_json_line(judged[path]))
                progress.advance(bar)

            async with asyncio.TaskGroup() as group:
                for path in paths:
                    group.create_task(one(path))
    finally:
        await service.stop()
    return [judged[path] for path in paths]


async def _start(service: Service, settings: Settings) -> None:
    """Raises what `Service.start` raises, and ConfigurationError where another policy is in force than the file's: the
    database may be that of a running service."""
    try:
        await service.start()
    except PolicyConflict as conflict:
        elsewhere = "PORTCULLIS_DATA_DIR=$(mktemp -d)"
        if settings.database_url is not None:
            elsewhere = f"env -u PORTCULLIS_DATABASE_URL {elsewhere}"
        policy = shlex.quote(str(settings.policy))
        raise ConfigurationError(
            f"{conflict.detail}, and `moderate` does not change that. To try it in a place of its own: `{elsewhere} "
            f"portcullis moderate …`; to try it on the past: `portcullis backtest {policy}`; to have it decide here, "
            "put it in force through the service first"
        ) from conflict


async def _judge(service: Service, path: Path, context: UploadContext, deadline_s: float) -> Judged:
    try:
        data = await asyncio.to_thread(path.read_bytes)
    except OSError as error:
        return Judged(path, None, NotFound(f"cannot read it: {error.strerror}"))
    upload = Upload(data=data, context=context, key_id=_KEY_ID)
    for attempt in range(_ATTEMPTS):
        try:
            return Judged(path, await service.moderator.moderate(upload, deadline_s=deadline_s), None)
        except Unavailable as unavailable:
            refusal = unavailable
            await asyncio.sleep(unavailable.retry_after_s * (attempt + 1))
        except PortcullisError as error:
            return Judged(path, None, error)
    return Judged(path, None, refusal)


def _print_line(line: str) -> None:
    try:
        typer.echo(line)
    except BrokenPipeError as error:
        raise NobodyReads from error


def _json_line(judged: Judged) -> str:
    # Names that are not UTF-8 would make a line that is no JSON.
    line: dict[str, object] = {"path": str(judged.path).encode("utf-8", "backslashreplace").decode()}
    if judged.decision is not None:
        line["decision"] = judged.decision.model_dump(mode="json")
    elif judged.error is not None:
        line["error"] = {"code": judged.error.code, "detail": judged.error.detail}
    return json.dumps(line, ensure_ascii=False)


def _report(judged: list[Judged]) -> None:
    console = Output()
    # A path that does not fit goes on in the next line: cut off, it could not be opened.
    table = Table(Column("File", overflow="fold"), "Outcome", "Why", Column("Seconds", justify="right"))
    for item in judged:
        table.add_row(Text(_printable(str(item.path))), _outcome_cell(item), Text(_why(item)), _seconds(item))
    console.print(table)
    counts = Counter(item.word for item in judged)
    passed = counts[Outcome.PASS.value]
    console.print(
        f"{len(judged)} files: {passed} passed, {counts[Outcome.REJECT.value]} rejected, "
        f"{counts[Outcome.REVIEW.value]} in review, {counts['error']} errors; pass rate {passed / len(judged):.1%}"
    )
    if any(item.decision is not None and item.decision.demo for item in judged):
        console.print("[yellow]Decided by the demonstration model, which is not a moderator.[/]")


def _printable(name: str) -> str:
    """Whoever names the files must not write on the terminal: an escape sequence could hide a line, or colour it."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode() for char in name
    )


def _outcome_cell(item: Judged) -> Text:
    if item.decision is None:
        return Text("error", style="magenta")
    degraded = " (degraded)" if item.decision.degraded else ""
    return Text(item.word + degraded, style=_COLOURS[item.decision.outcome])


def _why(item: Judged) -> str:
    if item.decision is None:
        return item.error.detail if item.error is not None else ""
    reasons = [violation.reason for violation in item.decision.violations]
    matched = dict.fromkeys(f"{match.list}: {match.term}" for match in item.decision.findings.keywords.matches)
    return " ".join([*reasons, "; ".join([*matched, *item.decision.degraded_by])]).strip()


def _seconds(item: Judged) -> str:
    return f"{item.decision.timing_ms['total'] / 1000:.2f}" if item.decision is not None else ""


def _exit_code(judged: list[Judged]) -> int:
    if any(item.decision is None for item in judged):
        return 2
    return 0 if all(item.decision.passed for item in judged if item.decision is not None) else 1
