"""The command line: `portcullis serve`, `moderate`, `policy`, `backtest`, `audit`, `models`."""

import sys

import typer
from rich.console import Console
from rich.text import Text

import app as portcullis
from app.cli import audit, backtest, bench, lists, models, moderate, policy, serve
from app.errors import PolicyConflict, PortcullisError

cli = typer.Typer(
    name="portcullis",
    help="Self-hosted content moderation: one resident vision-language model and a rules engine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
cli.command("serve")(serve.serve)
cli.command("moderate")(moderate.moderate)
cli.command("backtest")(backtest.backtest)
cli.add_typer(policy.commands, name="policy")
cli.add_typer(lists.commands, name="lists")
cli.add_typer(audit.commands, name="audit")
cli.add_typer(models.commands, name="models")
cli.add_typer(bench.commands, name="bench")


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
