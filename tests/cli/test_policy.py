"""`portcullis policy test`: no tests are never taken for tests that pass."""

import asyncio
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from app.cli.policy import commands
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
    monkeypatch.setenv("PORTCULLIS_POLICY", str(tmp_path / "policies.yaml"))
    monkeypatch.setenv("PORTCULLIS_RULES_DIR", str(tmp_path / "rules"))

    def run(*arguments: str) -> Result:
        done = CliRunner().invoke(commands, arguments)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return run


def test_tests_that_are_named_and_not_there_are_a_mistake(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--cases: there is no file"):
        run("test", "--cases", str(tmp_path / "policies.tset.yaml"))


def test_a_policy_without_tests_says_so(run: Run) -> None:
    done = run("test")
    assert (done.exit_code, done.output.startswith("nothing is tested: there is no file")) == (0, True)


@pytest.mark.parametrize(
    ("expected", "exit_code", "said"), [("pass", 0, "1 tests, 0 failed"), ("reject", 1, "1 failed")]
)
def test_tests_are_run(run: Run, tmp_path: Path, expected: str, exit_code: int, said: str) -> None:
    (tmp_path / "policies.test.yaml").write_text(f"cases:\n  - name: nothing\n    expect: {expected}\n")
    done = run("test")
    assert done.exit_code == exit_code
    assert said in done.output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cases:\n  - {given: {probes.nothing.p: 1}, expect: maybe}\n", "1 tests, 1 failed"),
        ("cases: none\n", "the tests cannot be run"),
    ],
)
def test_tests_are_counted_and_not_their_mistakes(run: Run, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "policies.test.yaml").write_text(text)
    done = run("test")
    assert done.exit_code == 1
    assert done.output.splitlines()[-1] == said


KNIFE = "  - {{name: {name}, given: {{probes.violence.p: 0.95}}, expect: {expect}}}\n"


@pytest.mark.parametrize(
    ("cases", "said"),
    [
        (("reject", "reject", "pass"), "3 cases, 1 fails: portcullis policy test"),
        (("pass", "pass"), "2 cases, 2 fail: portcullis policy test"),
        (("reject, expct: 1, gven: 1",), "1 case, 1 fails: portcullis policy test"),
        (("reject",), "1 case, none fails"),
    ],
)
def test_check_says_whether_the_tests_beside_it_fail(
    run: Run, tmp_path: Path, cases: tuple[str, ...], said: str
) -> None:
    assert "policies.test.yaml" not in run("check").output
    written = "".join(KNIFE.format(name=f"case {at}", expect=expect) for at, expect in enumerate(cases))
    (tmp_path / "policies.test.yaml").write_text(f"cases:\n{written}")
    done = run("check")
    assert done.exit_code == 0
    assert f"\npolicies.test.yaml: {said}\n" in done.output


def test_check_says_that_the_tests_cannot_be_run(run: Run, tmp_path: Path) -> None:
    (tmp_path / "policies.test.yaml").write_text("cases: 7\n")
    done = run("check")
    assert done.exit_code == 0
    assert "\npolicies.test.yaml: cannot be run: portcullis policy test\n" in done.output
    named = run("check", str(tmp_path / "policies.yaml")).output
    assert f": portcullis policy test {tmp_path / 'policies.yaml'}\n" in named


def test_check_says_how_long_pictures_are_kept(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTCULLIS_KEEP_PASSED_HOURS", "36")
    kept = "pictures are kept: passed 36 h (PORTCULLIS_KEEP_PASSED_HOURS), rejected until they are deleted"
    assert kept in run("check").output

    policy = POLICY.replace("defaults:\n", "defaults:\n  retention: {passed_hours: 12, rejected_days: 180}\n")
    (tmp_path / "policies.yaml").write_text(policy)
    assert "pictures are kept: passed 12 h, rejected 180 d" in run("check").output


SHORTER = POLICY.replace("defaults:\n", "defaults:\n  retention: {passed_hours: 1}\n")


async def _serve_once(folder: Path) -> None:
    """The database of a service that passed a picture twelve hours ago, under `POLICY`."""
    database = Database(f"sqlite:///{folder / 'portcullis.db'}")
    await database.start()
    await LiveRuleset(folder / "policies.yaml", folder / "rules", store=SqlRulesets(database)).start()
    passed = samples.record(outcome=Outcome.PASS, at=datetime.now(UTC) - timedelta(hours=12))
    await SqlDecisionStore(database).record(passed, [], None)
    await database.aclose()


def test_check_counts_what_it_would_delete(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTCULLIS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("PORTCULLIS_RETENTION_GRACE_HOURS", "1")
    (tmp_path / "new.yaml").write_text(SHORTER)
    assert "stored pictures" not in run("check", str(tmp_path / "new.yaml")).output, "no service has kept anything"

    asyncio.run(_serve_once(tmp_path))
    told = run("check", str(tmp_path / "new.yaml")).output
    assert re.search(r"1 stored pictures would be deleted from \S+ \S+ UTC on, though kept by now: 1 passed by", told)
    assert "0 stored pictures would be kept, though deleted by" in told
    assert "stored pictures" not in run("check").output, "nothing changes"


def test_check_does_not_fail_where_nothing_can_be_counted(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTCULLIS_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    done = run("check")
    assert done.exit_code == 0
    assert "what it would delete could not be counted: the database does not answer" in done.output


def test_check_does_not_fail_for_a_database_that_is_none(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTCULLIS_DATABASE_URL", "mysql://nobody@127.0.0.1:1/nothing")
    done = run("check")
    assert done.exit_code == 0
    assert "what it would delete could not be counted: databases of kind 'mysql'" in done.output


def test_check_leaves_a_service_s_database_of_another_version_as_it_is(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTCULLIS_DATA_DIR", str(tmp_path))
    with closing(sqlite3.connect(tmp_path / "portcullis.db")) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("INSERT INTO alembic_version VALUES ('0001')")
        connection.commit()
    kept = (tmp_path / "portcullis.db").read_bytes()

    done = run("check")
    assert done.exit_code == 0
    assert "what it would delete could not be counted: the database is at revision 0001" in done.output
    assert (tmp_path / "portcullis.db").read_bytes() == kept
