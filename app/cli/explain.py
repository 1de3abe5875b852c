"""`portcullis policy explain`."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.cli.kept import open_database
from app.cli.settings import load_settings
from app.domain import DecisionRecord
from app.errors import PolicyInvalid
from app.policy.explain import Explanation, explain
from app.policy.load import load_ruleset
from app.policy.rows import RowReader
from app.policy.ruleset import Ruleset
from app.policy.versions import rebuild
from app.settings import Settings
from app.signals.keywords import AhoCorasickMatcher
from app.store import SqlDecisionStore, SqlRulesets

commands = typer.Typer(add_completion=False)


@commands.command()
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
