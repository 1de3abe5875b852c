"""`portcullis backtest`."""

import asyncio
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from app.cli.kept import open_database
from app.cli.settings import load_settings
from app.domain import Outcome
from app.errors import ConfigurationError, MalformedRequest, PolicyInvalid
from app.policy.backtest import Agreement, Flip, Report
from app.policy.load import load_ruleset
from app.policy.plot import plot
from app.policy.rerun import Plan, rerun
from app.policy.ruleset import Ruleset
from app.policy.since import since_when
from app.policy.surfaces import place_of
from app.policy.sweep import Moved, sweep
from app.settings import Settings
from app.signals.keywords import AhoCorasickMatcher
from app.store import SqlArchive

commands = typer.Typer(add_completion=False)

_SHOWN_EXAMPLES = 3


@commands.command()
def backtest(
    policy: Annotated[Path, typer.Argument(help="The policy that might decide.")],
    *,
    since: Annotated[str, typer.Option(help="How far back: 90m, 12h, 7d, 4w, or a date such as 2026-11-01.")] = "7d",
    rules_dir: Annotated[Path | None, typer.Option(help="Its keyword lists; default PORTCULLIS_RULES_DIR.")] = None,
    flips: Annotated[Path | None, typer.Option(help="Write every flip to this file, a JSON object a line.")] = None,
    sweeps_asked: Annotated[
        list[str] | None,
        typer.Option("--sweep", help="Move a threshold, as in `reject=0.5..0.99`, and report the shares."),
    ] = None,
    plot_to: Annotated[Path | None, typer.Option("--plot", help="Draw the swept thresholds into this SVG.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    processes: Annotated[int, typer.Option(min=1, max=256, help="Default: one a core.")] = os.cpu_count() or 1,
) -> None:
    """Decide the stored decisions again under another policy, and say what would have changed. Exit code 1: the policy
    has problems."""
    settings = load_settings()
    console = Console(soft_wrap=True, highlight=False, markup=False)
    try:
        ruleset = load_ruleset(policy, rules_dir or settings.rules_dir)
    except PolicyInvalid as invalid:
        console.print(invalid.detail)
        raise typer.Exit(1) from invalid
    sweeps = {name: values for text in sweeps_asked or () for name, values in _sweep(text, ruleset).items()}
    if plot_to is not None and not sweeps:
        raise ConfigurationError("--plot draws what --sweep moves: add for instance `--sweep reject=0.5..0.99`")
    with ExitStack() as stack:
        # Both before the work begins: nobody wants to hear at its end that its result cannot be kept.
        out = stack.enter_context(_Result(flips, "--flips")) if flips else None
        drawing = stack.enter_context(_Result(plot_to, "--plot")) if plot_to else None

        def keep(found: Sequence[Flip]) -> None:
            if out is not None:
                out.write("".join(f"{flip.model_dump_json()}\n" for flip in found))

        bar = Progress(
            "deciding again",
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        task = stack.enter_context(bar).add_task("", total=None)
        plan = Plan(
            ruleset=ruleset,
            since=since_when(since, datetime.now(UTC)),
            matcher=AhoCorasickMatcher,
            processes=processes,
            sweeps=sweeps,
            on_total=lambda total: bar.update(task, total=total),
            on_progress=lambda done: bar.update(task, completed=done),
            on_flips=keep,
        )
        report = asyncio.run(_run(settings, plan))
        if drawing is not None:
            drawing.write(plot(report.curves))
    if as_json:
        typer.echo(json.dumps(report.model_dump(mode="json"), indent=2, ensure_ascii=False))
    else:
        _print(console, report)


class _Result:
    """A file that an option names. Raises ConfigurationError as soon as it cannot be written."""

    def __init__(self, path: Path, option: str) -> None:
        self._path = path
        self._option = option
        with self._named():
            self._file = path.open("w", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._named():
            self._file.close()

    def write(self, text: str) -> None:
        """It is in the file then: a full disk is no news for the end of a long run."""
        with self._named():
            self._file.write(text)
            self._file.flush()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            said = f"{self._option}: {self._path} cannot be written: {error.strerror or error}"
            raise ConfigurationError(said) from error


async def _run(settings: Settings, plan: Plan) -> Report:
    async with open_database(settings) as database:
        return await rerun(plan, SqlArchive(database))


def _sweep(text: str, ruleset: Ruleset) -> Mapping[str, Sequence[float]]:
    found = re.fullmatch(r"((?:thresholds\.)?[A-Za-z0-9_.-]+)=([-0-9.e]+)\.\.([-0-9.e]+)", text)
    try:
        moved = Moved(found[1], float(found[2]), float(found[3])) if found else None
    except ValueError:
        moved = None
    if moved is None:
        raise ConfigurationError(f"--sweep: `{text}` is not of the form `reject=0.5..0.99`")
    try:
        return sweep(ruleset, moved)
    except MalformedRequest as fault:
        raise ConfigurationError(f"--sweep: {fault.detail}") from fault


def _print(console: Console, report: Report) -> None:
    replayed = report.decisions - report.not_replayable - report.unreadable
    console.print(f"{report.decisions} decisions, {replayed} decided again under {report.ruleset[:19]}…")
    if report.not_replayable:
        wanting = ", ".join(f"{name} ({count})" for name, count in report.missing.items())
        console.print(f"{report.not_replayable} cannot be: what was never asked of them would matter: {wanting}")
    if report.unreadable:
        console.print(f"{report.unreadable} are stored in a shape that this version does not read")
    console.print(f"\n{'':10}{'before':>10}{'after':>10}{'change':>10}")
    for outcome in Outcome:
        before, after = report.before[outcome], report.after[outcome]
        console.print(f"{outcome.value:10}{before:>10}{after:>10}{after - before:>+10}")
    if report.reviews_a_day_before is not None and report.reviews_a_day_after is not None:
        change = f"{report.reviews_a_day_before:.1f} before, {report.reviews_a_day_after:.1f} after"
        console.print(f"\nreviews a day: {change}")
    if report.agreement_before.verdicts:
        console.print(f"\nagainst {report.agreement_before.verdicts} verdicts of reviewers:")
        console.print(f"  before: {_agreement(report.agreement_before)}")
        console.print(f"  after:  {_agreement(report.agreement_after)}")
    console.print(f"\n{report.flips} would have been decided otherwise" + (":" if report.flips else "."))
    for one in report.by_rule:
        counts = ", ".join(f"{count} {kind.replace('>', ' → ')}" for kind, count in sorted(one.counts.items()))
        examples = " ".join(flip.decision for flip in one.examples[:_SHOWN_EXAMPLES])
        console.print(f"  {one.rule or 'no rule any more'}: {counts}   {examples}")
    for curve in report.curves:
        console.print(f"\n{place_of(curve.threshold):<25}{'pass':>8}{'review':>8}{'reject':>8}")
        for at in range(0, len(curve.values), max(1, len(curve.values) // 10)):
            shares = "".join(f"{curve.shares[outcome][at]:>8.1%}" for outcome in Outcome)
            console.print(f"  {curve.values[at]:<23.4g}{shares}")


def _agreement(agreement: Agreement) -> str:
    def share(value: float | None) -> str:
        return "nothing to measure" if value is None else f"{value:.1%}"

    return f"precision {share(agreement.precision)}, recall {share(agreement.recall)}"
