"""`portcullis policy shadow …` on a database that a service left."""

import asyncio
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
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
    with pytest.raises(NotFound, match="there is no shadow policy"):
        run("show")


def test_none_is_shown_as_an_error_and_not_as_a_policy(run: Run) -> None:
    """Else `show > policies.yaml` would make a policy of the sentence."""
    done = CliRunner().invoke(commands, ["show"])
    assert (done.stdout, isinstance(done.exception, NotFound)) == ("", True)


def test_a_policy_of_several_files_is_set_as_one_text(run: Run, folder: Path) -> None:
    edit = folder / "edit"
    (edit / "parts").mkdir(parents=True)
    whole = yaml.safe_load(STRICT)
    (edit / "parts" / "numbers.yaml").write_text(yaml.safe_dump({"thresholds": whole.pop("thresholds")}))
    (edit / "new.yaml").write_text(yaml.safe_dump(whole | {"include": ["parts/numbers.yaml"]}))
    assert "tried from now on" in run("set", str(edit / "new.yaml")).output
    shown = run("show").stdout
    assert "--- # file: parts/numbers.yaml\nthresholds:\n" in shown
    (folder / "policies.yaml").write_text(shown)
    assert "in force" in run("promote").output, "the text is the whole policy"


@pytest.mark.parametrize("wrong", ["new.yaml", "numbers.yaml"])
def test_problems_are_told_of_the_file_that_was_given(run: Run, folder: Path, wrong: str) -> None:
    whole = yaml.safe_load(STRICT)
    numbers = {"thresholds": whole.pop("thresholds")}
    whole |= {"include": ["numbers.yaml"]}
    (numbers if wrong == "numbers.yaml" else whole)["tresholds"] = {}
    (folder / "numbers.yaml").write_text(yaml.safe_dump(numbers))
    (folder / "new.yaml").write_text(yaml.safe_dump(whole))
    done = run("set", str(folder / "new.yaml"))
    assert done.exit_code == 1
    assert re.search(rf"^{wrong}:\d+:\d+", done.output, re.MULTILINE)
    assert "policies.shadow.yaml" not in done.output


def test_a_report_says_that_the_file_s_newest_content_is_not_tried(run: Run, folder: Path) -> None:
    file = folder / "policies.shadow.yaml"
    run("set", str(folder / "strict.yaml"))
    file.write_text(STRICT)
    assert run("report").stderr == ""
    file.write_text(STRICT.replace("probes.violence.p", "probes.violance.p"))
    for arguments in (("report",), ("report", "--json")):
        told = run(*arguments)
        assert told.exit_code == 0
        assert told.stderr.startswith("the newest content of policies.shadow.yaml is not tried:\npolicies.shadow.yaml:")
        assert "violance" in told.stderr
        assert "violance" not in told.stdout
    file.unlink()
    file.mkdir()
    assert "cannot be read" in run("report").stderr


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
