"""`portcullis backtest` on a database that a service left: what it writes, and what keeps it from it."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from app.cli.backtest import backtest
from app.domain import Outcome
from app.errors import ConfigurationError
from app.policy.live import LiveRuleset
from app.store import Database, SqlDecisionStore, SqlRulesets
from tests.http.rig import CONTRABAND, POLICY
from tests.store import samples

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "contraband.txt").write_text(CONTRABAND)
    (tmp_path / "policies.yaml").write_text(POLICY)
    monkeypatch.setenv("PORTCULLIS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("PORTCULLIS_RULES_DIR", str(tmp_path / "rules"))
    asyncio.run(_serve_once(tmp_path))
    command = typer.Typer()
    command.command()(backtest)

    def run(*arguments: str) -> Result:
        whole = (str(tmp_path / "policies.yaml"), "--since", "2000-01-01", "--processes", "1", *arguments)
        done = CliRunner().invoke(command, whole)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return run


async def _serve_once(folder: Path) -> None:
    database = Database(f"sqlite:///{folder / 'portcullis.db'}")
    await database.start()
    await LiveRuleset(folder / "policies.yaml", folder / "rules", store=SqlRulesets(database)).start()
    await SqlDecisionStore(database).record(samples.record(outcome=Outcome.PASS), [], None)
    await database.aclose()


def test_flips_and_the_drawing_are_written(run: Run, tmp_path: Path) -> None:
    flips, drawing = tmp_path / "flips.jsonl", tmp_path / "reject.svg"
    done = run("--flips", str(flips), "--sweep", "reject=0.5..0.99", "--plot", str(drawing))
    assert done.exit_code == 0
    assert [json.loads(line)["before"] for line in flips.read_text().splitlines()] == ["pass"]
    assert drawing.read_text().startswith("<svg")


@pytest.mark.parametrize("option", ["--flips", "--plot"])
def test_what_cannot_be_written_is_said_before_the_work_begins(run: Run, tmp_path: Path, option: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{option}: .*nowhere/it cannot be written: No such file"):
        run("--sweep", "reject=0.5..0.99", option, str(tmp_path / "nowhere" / "it"))


@pytest.mark.parametrize("option", ["--flips", "--plot"])
def test_a_disk_that_is_full_is_named(run: Run, option: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{option}: /dev/full cannot be written: No space left on device"):
        run("--sweep", "reject=0.5..0.99", option, "/dev/full")


def test_a_drawing_of_nothing_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--plot draws what --sweep moves"):
        run("--plot", str(tmp_path / "reject.svg"))
    assert not (tmp_path / "reject.svg").exists()
