"""The list of commands is told without importing them, and says what they say of themselves."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from app.cli import HOMES, cli
from tests.service.conftest import REPOSITORY


@pytest.mark.parametrize("name", HOMES)
def test_the_list_says_what_the_command_says_of_itself(name: str) -> None:
    group = typer.main.get_command(cli)
    assert isinstance(group, TyperGroup)
    command = group.get_command(typer.Context(group), name)
    assert (command.name, " ".join(command.help.split())) == (name, HOMES[name].help)


def test_every_command_is_listed() -> None:
    shown = CliRunner().invoke(cli, ["--help"]).output
    assert [name for name in (*HOMES, "version") if f"│ {name} " not in shown] == []


@pytest.mark.parametrize(
    ("arguments", "unneeded"),
    [
        (["--help"], "app.main app.store app.policy litestar sqlmodel"),
        (["policy", "check"], "app.main app.store litestar"),
    ],
)
def test_a_command_imports_what_it_needs(arguments: list[str], unneeded: str, tmp_path: Path) -> None:
    code = (
        "import sys; from app.cli import cli; cli(sys.argv[2:], standalone_mode=False); "
        "print('imported:', *[name for name in sys.argv[1].split() if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, unneeded, *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "PORTCULLIS_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["imported:"]), done.stderr
