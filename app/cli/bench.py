"""`portcullis bench engine`."""

import subprocess
import sys
from pathlib import Path

import typer

from app.errors import ConfigurationError

commands = typer.Typer(help="Measure speed on this machine.", no_args_is_help=True, add_completion=False)

_ROOT = Path(__file__).resolve().parents[2]


@commands.callback()
def _group() -> None:
    """Measure speed on this machine."""


@commands.command(
    "engine",
    # Its own --help lists them all.
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def engine(context: typer.Context) -> None:
    """Measure the engine against the usual ways to ask a model; `--help` lists the options."""
    if not (_ROOT / "benchmarks" / "engine").is_dir():
        raise ConfigurationError("the benchmarks are not part of the installed package: run this in a clone")
    command = [sys.executable, "-m", "benchmarks.engine", *context.args]
    raise typer.Exit(subprocess.run(command, cwd=_ROOT, check=False).returncode)  # noqa: S603 - our own module
