"""Commands that are imported when they are asked for: the whole service takes a second to import, and `policy check`
needs none of it."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup


class Home(NamedTuple):
    """A module with `commands`, and what the list of commands says of them."""

    module: str
    help: str


def lazy_group(homes: Mapping[str, Home]) -> type[TyperGroup]:
    """A class for `typer.Typer`; its own commands come after those of `homes`, of which only a sign with
    the name is there until then."""

    class LazyGroup(TyperGroup):
        _listing = False

        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            signs = {name: TyperCommand(name, help=home.help) for name, home in homes.items()}
            self.commands = {**signs, **self.commands}

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            if self._listing or cmd_name not in homes:
                return super().get_command(ctx, cmd_name)
            command = typer.main.get_command(import_module(homes[cmd_name].module).commands)
            command.name = cmd_name
            return command

        def format_help(self, ctx: Any, formatter: Any) -> None:
            self._listing = True
            try:
                super().format_help(ctx, formatter)
            finally:
                self._listing = False

    return LazyGroup
