"""`portcullis models list|path|pull`."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from app.cli.settings import load_settings
from app.engine import download
from app.engine.catalogue import entry_paths, load_catalogue, require_files

commands = typer.Typer(help="The models that can be resident.", no_args_is_help=True, add_completion=False)

ModelId = Annotated[str, typer.Argument(metavar="ID", help="A model id, as `portcullis models list` shows it.")]


@commands.command("list")
def list_models() -> None:
    """List the catalogue, and which of it is on this machine."""
    settings = load_settings()
    table = Table("Id", "Model", "Licence", "Here")
    for entry in load_catalogue(settings.catalogue).models:
        here = all(path.is_file() for path in entry_paths(entry, settings.models_dir))
        title = f"{entry.title}\n{entry.note}"
        table.add_row(entry.id, title, entry.licence, "yes" if here else "no")
    Console().print(table)


@commands.command("path")
def path(model_id: ModelId) -> None:
    """Print where a model's files lie. When they are not there, say which to put where."""
    settings = load_settings()
    for file in require_files(load_catalogue(settings.catalogue).entry(model_id), settings.models_dir):
        typer.echo(file)


@commands.command("pull")
def pull(model_id: ModelId) -> None:
    """Download a model's files, resuming what was interrupted and checking digests where they are known."""
    settings = load_settings()
    for file in download.pull(load_catalogue(settings.catalogue).entry(model_id), settings.models_dir):
        checked = "as the catalogue names it" if file.verified else "the catalogue knows no digest to compare it with"
        typer.echo(f"{file.path}\n  {file.digest} ({checked})")
