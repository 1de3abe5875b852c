"""Commands that look at what a service has kept, beside that service."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from app.cli import audit, backtest, explain, shadow
from app.errors import ConfigurationError
from tests.http.rig import CONTRABAND, POLICY


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The database of a service of another version."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "contraband.txt").write_text(CONTRABAND)
    (tmp_path / "policies.yaml").write_text(POLICY)
    monkeypatch.setenv("PORTCULLIS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("PORTCULLIS_POLICY", str(tmp_path / "policies.yaml"))
    monkeypatch.setenv("PORTCULLIS_RULES_DIR", str(tmp_path / "rules"))
    path = tmp_path / "portcullis.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("INSERT INTO alembic_version VALUES ('0001')")
        connection.commit()
    return path


@pytest.mark.parametrize(
    ("commands", "arguments"),
    [
        (audit.commands, ["verify"]),
        (explain.commands, ["dec_000000000000000000000000"]),
        (backtest.commands, ["{policy}", "--since", "7d"]),
        (shadow.commands, ["report"]),
        (shadow.commands, ["promote"]),
        (shadow.commands, ["remove"]),
    ],
)
def test_a_database_of_another_version_is_left_as_it_is(
    kept: Path, commands: typer.Typer, arguments: Sequence[str]
) -> None:
    before = kept.read_bytes()

    done = CliRunner().invoke(commands, [one.format(policy=kept.parent / "policies.yaml") for one in arguments])

    assert isinstance(done.exception, ConfigurationError), done.output
    assert "at revision 0001, which is another than this version's" in str(done.exception)
    assert kept.read_bytes() == before
