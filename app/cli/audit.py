"""`portcullis audit verify`."""

import asyncio

import typer
from rich.console import Console

from app.audit.chain import ChainReport
from app.cli.kept import open_audit_log
from app.cli.settings import load_settings

commands = typer.Typer(help="The audit log.", no_args_is_help=True, add_completion=False)


@commands.callback()
def _group() -> None:
    """The audit log."""


@commands.command("verify")
def verify() -> None:
    """Check the whole hash chain. Exit code 0: intact; 1: altered, with the first bad entry named."""
    report = asyncio.run(_verify())
    console = Console(soft_wrap=True, highlight=False, markup=False)
    if report.problem is None:
        console.print(f"intact: {report.checked} entries, the last with hash {report.point.hash.hex()}")
        return
    console.print(f"{report.problem.fault.value} at entry {report.problem.seq}: {report.problem.detail}")
    console.print(f"{report.checked} entries before it are sound")
    raise typer.Exit(1)


async def _verify() -> ChainReport:
    async with open_audit_log(load_settings()) as audit_log:
        return await audit_log.verify()
