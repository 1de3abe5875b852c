"""`portcullis policy check`, which looks at a database only where there is one, and `test`, which needs none; `explain`
and `shadow` are beside."""

import shlex
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.cli.lazy import Home, lazy_group
from app.cli.settings import load_settings
from app.domain import Mode
from app.errors import ConfigurationError, PolicyInvalid
from app.policy.cases import CasesReport, cases_path, run_cases
from app.policy.load import load_ruleset
from app.policy.retention import in_words, keeping

_HOMES = {
    "explain": Home(
        "app.cli.explain",
        "Why a decision is what it is: every rule as a tree, and the smallest change that would have made it another.",
    ),
    "shadow": Home("app.cli.shadow", "Try a whole policy beside the live one."),
}

commands = typer.Typer(
    cls=lazy_group(_HOMES),
    help="Check what decides, and try what might.",
    no_args_is_help=True,
    add_completion=False,
)


@commands.callback()
def _group() -> None:
    """Check what decides, and try what might."""


@commands.command("check")
def check(
    policy: Annotated[Path | None, typer.Argument(help="The policy file; default PORTCULLIS_POLICY.")] = None,
    rules_dir: Annotated[Path | None, typer.Option(help="The keyword lists; default PORTCULLIS_RULES_DIR.")] = None,
) -> None:
    """Load a policy with its lists and name everything wrong in it; of the tests beside it, say how many fail. Exit
    code 0: sound, whatever its tests say; 1: problems."""
    settings = load_settings()
    console = Console(soft_wrap=True, highlight=False, markup=False)
    path = policy or settings.policy
    try:
        ruleset = load_ruleset(path, rules_dir or settings.rules_dir)
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
    if (tests := cases_path(path)).exists():
        given = [str(policy)] if policy else []
        given += ["--rules-dir", str(rules_dir)] if rules_dir else []
        named_by = f"portcullis policy test {shlex.join(given)}".rstrip()
        console.print(_tests_told(tests.name, run_cases(ruleset, tests), named_by))
    passed = timedelta(hours=settings.keep_passed_hours)
    console.print(f"pictures are kept: {in_words(keeping(ruleset, passed_if_silent=passed))}")
    if settings.database_url is not None or settings.own_database.is_file():
        from app.cli.retention import told_of_stored  # noqa: PLC0415 - the database is large, and mostly not needed

        for line in told_of_stored(settings, ruleset):
            console.print(line)
    for warning in ruleset.warnings:
        console.print(f"warning: {warning.render()}")


def _tests_told(name: str, report: CasesReport, named_by: str) -> str:
    """A policy that fails one is not put in force; `named_by` is the command that names what fails."""
    cases = f"{report.cases} case{'s' if report.cases != 1 else ''}"
    if report.failing:
        return f"{name}: {cases}, {report.failing} fail{'s' if report.failing == 1 else ''}: {named_by}"
    return f"{name}: cannot be run: {named_by}" if report.failures else f"{name}: {cases}, none fails"


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
    cannot = report.failures and not report.failing
    console.print("the tests cannot be run" if cannot else f"{report.cases} tests, {report.failing} failed")
    if report.failures:
        raise typer.Exit(1)
