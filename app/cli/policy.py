"""`portcullis policy check`, `test` and `explain`; `shadow` is beside."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.cli import shadow
from app.cli.kept import open_database
from app.cli.retention import told_of_stored
from app.cli.settings import load_settings
from app.domain import DecisionRecord, Mode
from app.errors import ConfigurationError, PolicyInvalid
from app.policy.cases import cases_path, run_cases
from app.policy.explain import Explanation, explain
from app.policy.load import load_ruleset
from app.policy.retention import in_words, keeping
from app.policy.rows import RowReader
from app.policy.ruleset import Ruleset
from app.policy.versions import rebuild
from app.settings import Settings
from app.signals.keywords import AhoCorasickMatcher
from app.store import SqlDecisionStore, SqlRulesets

commands = typer.Typer(help="Check what decides, and try what might.", no_args_is_help=True, add_completion=False)
commands.add_typer(shadow.commands, name="shadow")


@commands.callback()
def _group() -> None:
    """Check what decides, and try what might."""


@commands.command("check")
def check(
    policy: Annotated[Path | None, typer.Argument(help="The policy file; default PORTCULLIS_POLICY.")] = None,
    rules_dir: Annotated[Path | None, typer.Option(help="The keyword lists; default PORTCULLIS_RULES_DIR.")] = None,
) -> None:
    """Load a policy with its lists and name everything wrong in it. Exit code 0: sound; 1: problems."""
    settings = load_settings()
    console = Console(soft_wrap=True, highlight=False, markup=False)
    try:
        ruleset = load_ruleset(policy or settings.policy, rules_dir or settings.rules_dir)
    except PolicyInvalid as invalid:
        console.print(invalid.detail)
        count = len(invalid.problems)
        console.print(f"\n{count} problem{'s' if count != 1 else ''}; nothing would be activated.")
        raise typer.Exit(1) from invalid
    modes = [rule.mode for rule in ruleset.policy.rules]
    console.print(
        f"sound: {modes.count(Mode.LIVE)} live, {modes.count(Mode.SHADOW)} shadow and {modes.count(Mode.DRAFT)} draft "
        f"rules, {len(ruleset.needs.probes)} probe questions, {len(ruleset.lists)} lists with "
        f"{sum(len(entry.terms) for entry in ruleset.lists)} terms\nruleset {ruleset.digest}"
    )
    passed = timedelta(hours=settings.keep_passed_hours)
    console.print(f"pictures are kept: {in_words(keeping(ruleset, passed_if_silent=passed))}")
    for line in told_of_stored(settings, ruleset):
        console.print(line)
    for warning in ruleset.warnings:
        console.print(f"warning: {warning.render()}")


@commands.command("test")
def run_tests(
    policy: Annotated[Path | None, typer.Argument(help="The policy file; default PORTCULLIS_POLICY.")] = None,
    rules_dir: Annotated[Path | None, typer.Option(help="The keyword lists; default PORTCULLIS_RULES_DIR.")] = None,
    cases: Annotated[Path | None, typer.Option(help="The tests; default policies.test.yaml beside the policy.")] = None,
) -> None:
    """Run the policy's tests. Exit code 0: all pass; 1: some fail, or the policy has problems."""
    settings = load_settings()
    console = Console(soft_wrap=True, highlight=False, markup=False)
    path = policy or settings.policy
    try:
        ruleset = load_ruleset(path, rules_dir or settings.rules_dir)
    except PolicyInvalid as invalid:
        console.print(invalid.detail)
        raise typer.Exit(1) from invalid
    if cases is not None and not cases.exists():
        raise ConfigurationError(f"--cases: there is no file {cases}")
    where = cases or cases_path(path)
    if not where.exists():
        console.print(f"nothing is tested: there is no file {where}")
        return
    report = run_cases(ruleset, where)
    for failure in report.failures:
        console.print(failure.render())
    console.print(f"{report.cases} tests, {len(report.failures)} failed")
    if report.failures:
        raise typer.Exit(1)


@commands.command("explain")
def explain_decision(
    decision_id: Annotated[str, typer.Argument(help="Such as dec_4f….")],
    other: Annotated[Path | None, typer.Option("--with", help="Another policy, to see what it would say.")] = None,
    rules_dir: Annotated[Path | None, typer.Option(help="Its keyword lists; default PORTCULLIS_RULES_DIR.")] = None,
) -> None:
    """Why a decision is what it is: every rule as a tree, and the smallest change that would have made it another."""
    settings = load_settings()
    console = Console(soft_wrap=True, highlight=False, markup=False)
    try:
        candidate = load_ruleset(other, rules_dir or settings.rules_dir) if other else None
    except PolicyInvalid as invalid:
        console.print(invalid.detail)
        raise typer.Exit(1) from invalid
    record, why = asyncio.run(_explained(settings, decision_id, candidate))
    decision = record.decision
    console.print(f"{decision.id}: {decision.outcome.value}, decided {decision.created_at:%Y-%m-%d %H:%M:%S} UTC")
    if candidate is not None:
        console.print(f"under {other}: {why.outcome.value}")
    console.print()
    for line in why.lines:
        console.print(line)
    console.print()
    for change in (why.value_change, why.threshold_change):
        if change is not None:
            console.print(f"{change.outcome.value} if {change.name} were {change.to:.6g} instead of {change.value:.6g}")
    if why.value_change is None and why.threshold_change is None:
        console.print("no single number would have changed the outcome")


async def _explained(
    settings: Settings, decision_id: str, candidate: Ruleset | None
) -> tuple[DecisionRecord, Explanation]:
    async with open_database(settings) as database:
        record = await SqlDecisionStore(database).find_record(decision_id)
        pins, findings = record.decision.pins, record.findings
        if candidate is None:
            candidate = rebuild(await SqlRulesets(database).find(pins.ruleset))
        else:
            findings = RowReader(candidate, AhoCorasickMatcher()).refound(findings, pins.lists)
        return record, explain(candidate, findings, record.context, model_digest=pins.model)
