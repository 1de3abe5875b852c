"""`portcullis policy shadow …` on a database that a service left."""

import asyncio
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from app.cli.shadow import commands
from app.domain import Comparison, Outcome, Tried
from app.errors import ConfigurationError, NotFound, PolicyConflict
from app.policy.live import LiveRuleset
from app.store import Database, SqlDecisionStore, SqlRulesets, SqlShadow
from tests.http.rig import CONTRABAND, POLICY
from tests.store import samples

STRICT = POLICY.replace("reject: 0.9", "reject: 0.6")
Run = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "contraband.txt").write_text(CONTRABAND)
    (tmp_path / "policies.yaml").write_text(POLICY)
    (tmp_path / "strict.yaml").write_text(STRICT)
    monkeypatch.setenv("PORTCULLIS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("PORTCULLIS_POLICY", str(tmp_path / "policies.yaml"))
    monkeypatch.setenv("PORTCULLIS_RULES_DIR", str(tmp_path / "rules"))
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Run:
    asyncio.run(_serve_once(folder))

    def run(*arguments: str) -> Result:
        done = CliRunner().invoke(commands, arguments)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return run


async def _serve_once(folder: Path) -> None:
    database = Database(f"sqlite:///{folder / 'portcullis.db'}")
    await database.start()
    await LiveRuleset(folder / "policies.yaml", folder / "rules", store=SqlRulesets(database)).start()
    await database.aclose()


async def _passed_twelve_hours_ago(folder: Path) -> None:
    database = Database(f"sqlite:///{folder / 'portcullis.db'}")
    await database.start()
    passed = samples.record(outcome=Outcome.PASS, at=datetime.now(UTC) - timedelta(hours=12))
    await SqlDecisionStore(database).record(passed, [], None)
    await database.aclose()


async def _compared(folder: Path, digest: str) -> str:
    database = Database(f"sqlite:///{folder / 'portcullis.db'}")
    made = await SqlDecisionStore(database).record(samples.record(outcome=Outcome.REVIEW), [], None)
    entry = await SqlShadow(database).head()
    assert entry is not None
    at, rules = entry.change.at, ("graphic-violence",)
    one = Comparison(made.id, at, Tried.POLICY, digest, Outcome.REVIEW, Outcome.REJECT, rules)
    await SqlShadow(database).record([one])
    await database.aclose()
    return made.id


def test_a_policy_is_set_shown_reported_and_promoted(run: Run, folder: Path) -> None:
    assert "neither a shadow policy nor a shadow rule" in run("report").output
    done = run("set", str(folder / "strict.yaml"), "--why", "too mild")
    digest = done.output.split()[-1]
    assert (done.exit_code, run("show").output) == (0, STRICT)
    decision_id = asyncio.run(_compared(folder, digest))
    told = run("report", "--since", "1h").output
    assert "1 decisions compared, 1 would have been decided otherwise" in told
    assert f"graphic-violence: true on 0, 1 review → reject   {decision_id}" in told
    assert json.loads(run("report", "--json").output)["policy"]["changed"] == 1
    with pytest.raises(PolicyConflict):
        run("promote", "--if-match", "sha256:0")
    with pytest.raises(PolicyConflict):
        run("promote", "--digest", "sha256:0")
    assert f"in force: {digest}, version 2" in run("promote", "--digest", digest).output
    with pytest.raises(NotFound):
        run("remove")


def test_promoting_says_which_pictures_it_would_delete(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTCULLIS_RETENTION_GRACE_HOURS", "1")
    asyncio.run(_passed_twelve_hours_ago(folder))
    (folder / "brief.yaml").write_text(POLICY.replace("defaults:\n", "defaults:\n  retention: {passed_hours: 1}\n"))
    run("set", str(folder / "brief.yaml"))

    told = run("promote").output

    assert "in force: sha256:" in told
    assert re.search(r"1 stored pictures would be deleted from \S+ \S+ UTC on, though kept by now: 1 passed by", told)


def test_failing_tests_and_problems_are_exit_code_1(run: Run, folder: Path) -> None:
    (folder / "policies.test.yaml").write_text(
        "cases:\n  - {name: mild, given: {probes.violence.p: 0.7}, expect: review}\n"
    )
    run("set", str(folder / "strict.yaml"))
    refused = run("promote")
    assert (refused.exit_code, "mild" in refused.output) == (1, True)
    assert run("promote", "--force").exit_code == 0
    (folder / "broken.yaml").write_text(STRICT.replace("probes.violence.p", "probes.violance.p"))
    broken = run("set", str(folder / "broken.yaml"))
    assert (broken.exit_code, "violance" in broken.output) == (1, True)


def test_it_is_removed(run: Run, folder: Path) -> None:
    run("set", str(folder / "strict.yaml"))
    assert "nothing is tried any more" in run("remove", "--why", "enough").output
    assert run("show").output == "there is no shadow policy\n"


def test_what_is_not_there_is_said(folder: Path) -> None:
    done = CliRunner().invoke(commands, ["set", str(folder / "none.yaml")])
    assert isinstance(done.exception, ConfigurationError)
    assert isinstance(CliRunner().invoke(commands, ["report"]).exception, ConfigurationError)
    asyncio.run(_empty(folder))
    empty = CliRunner().invoke(commands, ["report"]).exception
    assert "no policy was ever in force" in str(empty)


async def _empty(folder: Path) -> None:
    database = Database(f"sqlite:///{folder / 'portcullis.db'}")
    await database.start()
    await database.aclose()
