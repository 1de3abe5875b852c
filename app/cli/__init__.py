"""The command line: `portcullis serve`, `moderate`, `policy`, `backtest`, `audit`, `models`."""

import sys

import typer
from rich.console import Console
from rich.text import Text

import app as portcullis
from app.cli.lazy import Home, lazy_group
from app.errors import PolicyConflict, PortcullisError

HOMES = {
    "serve": Home(
        "app.cli.serve",
        "Serve the API and the console until stopped. Everything else is set by PORTCULLIS_* (docs/settings.md).",
    ),
    "moderate": Home(
        "app.cli.moderate",
        "Moderate files and folders. Exit code 0: all passed; 1: something rejected or in review; 2: an error.",
    ),
    "policy": Home("app.cli.policy", "Check what decides, and try what might."),
    "backtest": Home(
        "app.cli.backtest",
        "Decide the stored decisions again under another policy, and say what would have changed. Exit code 1: the "
        "policy has problems.",
    ),
    "lists": Home("app.cli.lists", "The keyword lists: check them, try them, add to them."),
    "audit": Home("app.cli.audit", "The audit log."),
    "models": Home("app.cli.models", "The models that can be resident."),
    "bench": Home("app.cli.bench", "Measure speed on this machine."),
}

cli = typer.Typer(
    name="portcullis",
    cls=lazy_group(HOMES),
    help="Self-hosted content moderation: one resident vision-language model and a rules engine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@cli.callback()
def _group() -> None:
    """Self-hosted content moderation: one resident vision-language model and a rules engine."""


@cli.command("version")
def version() -> None:
    """Print the version."""
    typer.echo(portcullis.__version__)


def main() -> None:
    """Entry point. A known error is one sentence and exit code 2; anything else is a bug and shows its traceback."""
    try:
        cli()
    except PortcullisError as error:
        message = Text.assemble(("error", "red"), f" ({error.code}): {error.detail}")
        if isinstance(error, PolicyConflict) and error.diff:
            message.append(f"\n\n{error.diff}")
        Console(stderr=True, soft_wrap=True, highlight=False).print(message)
        sys.exit(2)


__all__ = ["cli", "main"]
