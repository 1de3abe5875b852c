"""`portcullis audit verify`."""

import asyncio

import typer
from rich.console import Console

from app.audit.chain import ChainReport
from app.cli.settings import load_settings
from app.main import open_audit_log

commands = typer.Typer(help="The audit log.", no_args_is_help=True)


@commands.callback()
def _group() -> None:
    """The audit log."""


@commands.command("verify")
def verify() -> None:
    """Check the whole hash chain. Exit code 0: intact; 1: altered, with the first bad entry named."""
    report = asyncio.run(_verify())
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(report.describe())
    raise typer.Exit(0 if report.intact else 1)


async def _verify() -> ChainReport:
    async with open_audit_log(load_settings()) as audit_log:
        return await audit_log.verify()
