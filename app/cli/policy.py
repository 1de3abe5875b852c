"""`portcullis policy check`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.cli.settings import load_settings
from app.domain import Mode
from app.errors import PolicyInvalid
from app.policy.load import load_ruleset

commands = typer.Typer(help="Check what decides.", no_args_is_help=True)


@commands.callback()
def _group() -> None:
    """Check what decides."""


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
