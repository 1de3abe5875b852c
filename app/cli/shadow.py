"""`portcullis policy shadow set`, `show`, `report`, `promote` and `remove`: on the database, as one more node would."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

import typer
from rich.console import Console

from app.cli.kept import open_database
from app.cli.retention import told_of
from app.cli.settings import load_settings
from app.domain import Outcome
from app.errors import ConfigurationError, NotFound, PolicyInvalid, PolicyProblem, PolicyTestsFailed
from app.policy.live import LiveRuleset
from app.policy.shadow import ShadowPolicy, shadow_path
from app.policy.shadow_report import ShadowReport, ShadowReports, report_on
from app.policy.since import since_when
from app.settings import Settings
from app.store import Database, SqlRulesets, SqlShadow

_AUTHOR = "command line"
_SHOWN_EXAMPLES = 3

T = TypeVar("T")

commands = typer.Typer(help="Try a whole policy beside the live one.", no_args_is_help=True, add_completion=False)

Why = Annotated[str | None, typer.Option(help="Kept in the history and the audit log.")]


@commands.command("set")
def set_shadow(
    policy: Annotated[Path, typer.Argument(help="The policy to try, with the lists of the live one.")], why: Why = None
) -> None:
    """Compare each decision from now on with what this policy, and what it includes, would have decided. Exit code 1:
    it has problems."""
    try:
        data = policy.read_bytes()
    except OSError as fault:
        raise ConfigurationError(f"{policy} cannot be read: {fault.strerror}") from fault

    async def work(node: _Node) -> str:
        entry = await node.shadow.put(data, author=_AUTHOR, why=why, file=policy)
        return f"tried from now on: {entry.policy_digest}"

    _print(_run(work))


@commands.command("show")
def show() -> None:
    """Print the policy that is tried. Exit code 2: none is."""

    async def work(node: _Node) -> str:
        _warn(node.shadow.status.problems)
        entry = node.shadow.status.entry
        if entry is None or entry.policy is None:
            raise NotFound("there is no shadow policy")
        return entry.policy

    typer.echo(_run(work), nl=False)


@commands.command("report")
def report(
    since: Annotated[str, typer.Option(help="How far back: 90m, 12h, 7d, 4w, or a date such as 2026-11-01.")] = "7d",
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """What the shadow policy, and the shadow rules of the live one, would have changed."""
    start = since_when(since, datetime.now(UTC))

    async def work(node: _Node) -> ShadowReports:
        _warn(node.shadow.status.problems)
        if wrong := await node.shadow.look_at_file():
            _warn(wrong, f"the newest content of {shadow_path(node.settings.policy).name} is not tried:")
        return await report_on(node.store, shadow=node.shadow.status.entry, live=node.live.current, since=start)

    found = _run(work)
    if as_json:
        typer.echo(json.dumps(found.model_dump(mode="json"), indent=2, ensure_ascii=False))
        return
    if found.policy is None and found.rules is None:
        _print("there is neither a shadow policy nor a shadow rule in the live one")
    if found.policy is not None:
        _print_report("the shadow policy", found.policy)
        if found.unrecorded:
            _print(f"{found.unrecorded} decisions were not compared: of the last second, or lost")
    if found.rules is not None:
        _print_report("the shadow rules of the live policy", found.rules)


@commands.command("promote")
def promote(
    why: Why = None,
    digest: Annotated[str | None, typer.Option(help="The shadow policy that is meant; refused if another is.")] = None,
    if_match: Annotated[str | None, typer.Option(help="The live policy's digest; refused if it is another.")] = None,
    *,
    force: Annotated[bool, typer.Option(help="Overrule failing policy tests; it is recorded.")] = False,
) -> None:
    """Make the shadow policy the live one, and try nothing any more. Exit code 1: policy tests fail."""

    async def work(node: _Node) -> list[str]:
        tried = node.shadow.current
        pictures = () if tried is None else await told_of(node.settings, node.database, node.live, tried)
        done = await node.shadow.promote(expected=if_match, shadow=digest, author=_AUTHOR, why=why, force=force)
        return [f"in force: {done.activation.policy_digest}, version {done.activation.seq}", *pictures]

    for line in _run(work):
        _print(line)


@commands.command("remove")
def remove(why: Why = None) -> None:
    """Try it no longer. What was compared is kept."""

    async def work(node: _Node) -> str:
        await node.shadow.remove(author=_AUTHOR, why=why)
        return "nothing is tried any more"

    _print(_run(work))


class _Node(NamedTuple):
    """What a command works with, as one more node of the service."""

    settings: Settings
    database: Database
    live: LiveRuleset
    store: SqlShadow
    shadow: ShadowPolicy


def _run(work: Callable[[_Node], Awaitable[T]]) -> T:
    try:
        return asyncio.run(_at_work(load_settings(), work))
    except (PolicyInvalid, PolicyTestsFailed) as problems:
        _print(problems.detail)
        raise typer.Exit(1) from problems


async def _at_work(settings: Settings, work: Callable[[_Node], Awaitable[T]]) -> T:
    async with open_database(settings) as database:
        live = LiveRuleset(settings.policy, settings.rules_dir, store=SqlRulesets(database))
        if not await live.follow():
            raise ConfigurationError("no policy was ever in force in this database: start the service first")
        store = SqlShadow(database)
        shadow = ShadowPolicy(shadow_path(settings.policy), live, store=store)
        await shadow.follow()
        return await work(_Node(settings, database, live, store, shadow))


def _print_report(what: str, report: ShadowReport) -> None:
    _print(f"\n{what}: {report.compared} decisions compared, {report.changed} would have been decided otherwise")
    if report.not_comparable:
        wanting = ", ".join(f"{name} ({count})" for name, count in report.missing.items())
        _print(f"{report.not_comparable} cannot be compared: what was never asked of them would matter: {wanting}")
    _print(f"\n{'decided':>10}{'would be:':>12}" + "".join(f"{outcome.value:>10}" for outcome in Outcome))
    for before in Outcome:
        _print(f"{before.value:>10}{'':12}" + "".join(f"{report.table[before][after]:>10}" for after in Outcome))
    load = report.reviews_a_day
    if load.before is not None and load.after is not None:
        _print(f"\nreviews a day: {load.before:.1f} before, {load.after:.1f} after (from {load.decisions} decisions)")
    for one in report.by_rule:
        changes = ", ".join(f"{count} {kind.replace('>', ' → ')}" for kind, count in one.changes.items()) or "no change"
        examples = " ".join(example.decision for example in one.examples[:_SHOWN_EXAMPLES])
        _print(f"  {one.rule or 'no rule any more'}: true on {one.fired}, {changes}   {examples}".rstrip())


def _warn(problems: Sequence[PolicyProblem], *before: str) -> None:
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    for line in (*before, *(problem.render() for problem in problems)):
        console.print(line)


def _print(text: str) -> None:
    Console(soft_wrap=True, highlight=False, markup=False).print(text)
