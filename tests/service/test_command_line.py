"""`portcullis …` as people and scripts use it."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import pytest

from tests.service.conftest import REPOSITORY, SAMPLES


def portcullis(
    data_dir: Path, *arguments: str, stdout: int | IO[str] = subprocess.PIPE, **settings: str
) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PORTCULLIS_DATA_DIR": str(data_dir),
        "PORTCULLIS_MEDIA_WORKERS": "1",
        "COLUMNS": "200",
        **settings,
    }
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments],
        cwd=REPOSITORY,
        env=environment,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=180,
        check=False,
    )


@pytest.fixture
def run(tmp_path: Path):
    return partial(portcullis, tmp_path / "var")


@dataclass(frozen=True)
class Moderated:
    """What moderating the samples said, and the data directory that it left."""

    done: subprocess.CompletedProcess[str]
    data_dir: Path


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Moderated:
    data_dir = tmp_path_factory.mktemp("samples") / "var"
    return Moderated(portcullis(data_dir, "moderate", str(SAMPLES)), data_dir)


@pytest.fixture
def moderated(samples: Moderated, tmp_path: Path) -> Moderated:
    """For `run`, as if it had moderated the samples."""
    shutil.copytree(samples.data_dir, tmp_path / "var")
    return samples


def test_moderate_tells_outcomes_totals_and_pass_rate(run, moderated: Moderated) -> None:
    done = moderated.done
    assert done.returncode == 1, done.stdout + done.stderr
    assert "2 files: 1 passed, 1 rejected, 0 in review, 0 errors; pass rate 50.0%" in done.stdout
    assert "contraband: fake passport" in done.stdout
    assert "not a moderator" in done.stdout
    verified = run("audit", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert verified.stdout.startswith("intact: 3 entries")  # an activation and two decisions


def test_moderate_as_json_is_one_object_a_line(run) -> None:
    done = run("moderate", "--json", str(SAMPLES / "bakery.png"), str(REPOSITORY / "README.md"))
    assert done.returncode == 2, done.stdout + done.stderr
    lines = {Path(line["path"]).name: line for line in map(json.loads, done.stdout.splitlines())}
    assert lines["bakery.png"]["decision"]["outcome"] == "pass"
    assert lines["README.md"]["error"]["code"] == "not_a_picture"


def test_a_folder_is_searched_by_what_files_are_and_nothing_is_left_unsaid(run, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    (folder / "below").mkdir(parents=True)
    for name in ("noext", "photo.jfif", ".hidden", "below/notes.txt"):
        shutil.copy(SAMPLES / "bakery.png", folder / name)
    (folder / "old.png").write_bytes(b"BM" + bytes(100))
    (folder / "empty.png").touch()
    os.mkfifo(folder / "pipe.png")
    (folder / "gone.png").symlink_to(folder / "nothing")
    (folder / "round").symlink_to(folder)
    done = run("moderate", "--json", str(folder))
    assert done.returncode == 2, done.stdout + done.stderr
    lines = {str(Path(line["path"]).relative_to(folder)): line for line in map(json.loads, done.stdout.splitlines())}
    decided = {name for name, line in lines.items() if "decision" in line}
    assert decided == {"noext", "photo.jfif", ".hidden", "below/notes.txt"}
    assert lines.keys() - decided == {"gone.png"}
    assert lines["gone.png"]["error"]["detail"] == "cannot read it: No such file or directory"
    assert "3 files were left: no picture of an accepted kind" in done.stderr
    assert "1 link to a folder was not followed" in done.stderr


def test_a_folder_without_pictures_says_what_was_left(run, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.png").write_text("no picture")
    done = run("moderate", str(tmp_path / "texts"))
    assert done.returncode == 2
    assert "no pictures there; 1 file was left: no picture of an accepted kind" in done.stderr


@pytest.mark.parametrize("options", [["--json"], []])
def test_output_that_nobody_reads_ends_it_quietly(run, options: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as nobody:
        done = run("moderate", *options, str(SAMPLES), stdout=nobody)
    assert (done.returncode, done.stderr.strip()) == (141, "")


def test_all_passed_is_exit_code_0(run) -> None:
    assert run("moderate", str(SAMPLES / "bakery.png")).returncode == 0


@pytest.mark.usefixtures("moderated")
def test_moderate_puts_no_policy_in_force_beside_a_service(run, tmp_path: Path) -> None:
    before = json.loads(run("backtest", "policies.yaml", "--since", "1h", "--json").stdout)["decisions"]
    other = tmp_path / "wip.yaml"
    other.write_text((REPOSITORY / "policies.yaml").read_text() + "\n# in the works\n")
    (tmp_path / "wip.shadow.yaml").write_text((REPOSITORY / "policies.yaml").read_text())
    done = run("moderate", str(SAMPLES / "bakery.png"), PORTCULLIS_POLICY=str(other))
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"error (configuration_error): the policy in {other} is not the one in force" in done.stderr
    assert "PORTCULLIS_DATA_DIR=$(mktemp -d) portcullis moderate" in done.stderr
    assert f"portcullis backtest {other}" in done.stderr
    missing = run("moderate", str(SAMPLES / "bakery.png"), PORTCULLIS_POLICY=str(tmp_path / "none.yaml"))
    assert missing.returncode == 2
    assert "none.yaml:1:1: cannot be read" in missing.stderr
    assert run("audit", "verify").stdout.startswith(f"intact: {1 + before} entries")
    assert "there is no shadow policy" in run("policy", "shadow", "show").stderr


def test_a_path_that_is_not_there_is_one_sentence(run) -> None:
    done = run("moderate", "no/such/picture.png")
    assert done.returncode == 2
    assert "no such file or folder" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("surface", ["a b", "", "x" * 65])
def test_a_surface_that_the_api_refuses_is_refused(run, surface: str) -> None:
    done = run("moderate", "--surface", surface, str(SAMPLES / "bakery.png"))
    assert done.returncode == 2
    assert "error (malformed_request): surface: String should match pattern" in done.stderr


@pytest.mark.parametrize("deadline_s", ["0", "-1", "0.5", "nan", "inf", "31"])
def test_a_deadline_that_the_api_refuses_is_refused(run, deadline_s: str) -> None:
    picture = str(SAMPLES / "bakery.png")
    done = run("moderate", "--deadline-s", deadline_s, picture, PORTCULLIS_MAX_DEADLINE_S="30")
    assert done.returncode == 2
    assert "error (malformed_request): deadline-s: must be at least 1 and at most 30 seconds" in done.stderr


def test_policy_check_names_every_problem_with_line_and_column(run, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text((REPOSITORY / "policies.yaml").read_text().replace("scores.weapons >=", "scores.weapon >="))
    done = run("policy", "check", str(bad))
    assert done.returncode == 1
    assert "bad.yaml:" in done.stdout
    assert "scores.weapons" in done.stdout  # the hint
    assert run("policy", "check").returncode == 0


def test_the_demonstration_model_does_not_serve_the_world(run) -> None:
    done = run("serve", "--host", "0.0.0.0", "--port", "0")  # noqa: S104 - refused before it binds
    assert done.returncode == 2
    assert "PORTCULLIS_ALLOW_DEMO_MODEL" in done.stderr


def test_a_wrong_setting_is_named(run) -> None:
    done = run("serve", PORTCULLIS_PORT="eighty")
    assert done.returncode == 2
    assert "PORTCULLIS_PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_first_start_with_a_broken_policy_names_the_problems_and_nothing_else(run, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text((REPOSITORY / "policies.yaml").read_text().replace("scores.weapons >=", "scores.weapon >="))
    done = run("serve", "--port", "0", PORTCULLIS_POLICY=str(bad))
    assert done.returncode == 2
    assert "error (policy_invalid): bad.yaml:" in done.stderr
    assert "did you mean `scores.weapons`?" in done.stderr
    assert "Traceback" not in done.stderr


def test_brackets_in_an_error_are_text_and_no_markup(run) -> None:
    assert "(got '[red]')" in run("serve", PORTCULLIS_PORT="[red]").stderr


def test_a_port_that_cannot_be_is_refused(run) -> None:
    done = run("serve", "--port", "99999")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [("audit", "verify"), ("backtest", "policies.yaml")])
def test_nothing_is_said_of_a_database_that_is_not_there(run, tmp_path: Path, command: tuple[str, ...]) -> None:
    done = run(*command)
    assert done.returncode == 2
    assert done.stdout == ""
    assert f"there is no database at {tmp_path / 'var' / 'portcullis.db'}" in done.stderr
    assert not (tmp_path / "var").exists()


def test_a_model_that_is_not_here_says_which_files_go_where(run) -> None:
    done = run("models", "path", "youtu-vl-4b")
    assert done.returncode == 2
    assert "models/youtu-vl-4b/" in done.stderr
    assert "portcullis models pull youtu-vl-4b" in done.stderr


def test_models_list_and_path(run) -> None:
    assert "youtu-vl-4b" in run("models", "list").stdout
    assert all(Path(line).is_file() for line in run("models", "path", "demo").stdout.split())


@pytest.mark.usefixtures("moderated")
def test_backtest_tells_what_another_policy_would_have_decided(run, tmp_path: Path) -> None:
    milder = tmp_path / "milder.yaml"
    milder.write_text(
        (REPOSITORY / "policies.yaml")
        .read_text()
        .replace(
            "when: keywords.contraband.count > 0\n    then: reject",
            "when: keywords.contraband.count > 0\n    then: review",
        )
    )
    flips, chart = tmp_path / "flips.jsonl", tmp_path / "chart.svg"
    done = run(
        "backtest",
        str(milder),
        "--since",
        "1h",
        "--flips",
        str(flips),
        "--sweep",
        "tolerated=0.5..0.9",
        "--plot",
        str(chart),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 decisions, 2 decided again" in done.stdout
    assert "contraband-for-sale: 1 reject → review" in done.stdout
    [flip] = [json.loads(line) for line in flips.read_text().splitlines()]
    assert (flip["before"], flip["after"]) == ("reject", "review")
    assert "contraband-for-sale" in flip["rules"]
    assert chart.read_text().count("<polyline") == 3
    as_json = run("backtest", str(milder), "--since", "1h", "--json")
    assert json.loads(as_json.stdout)["flips"] == 1
    assert run("backtest", str(milder), "--since", "soon").returncode == 2
    milder.write_text("version: 2")
    assert run("backtest", str(milder)).returncode == 1


@pytest.mark.usefixtures("moderated")
def test_policy_explain_prints_the_tree_and_what_would_have_changed_it(run, tmp_path: Path) -> None:
    report = json.loads(run("backtest", "policies.yaml", "--since", "1h", "--json").stdout)
    assert (report["decisions"], report["flips"]) == (2, 0)
    calmer = tmp_path / "calmer.yaml"
    text = (REPOSITORY / "policies.yaml").read_text()
    calmer.write_text(text.replace("keywords.contraband.count > 0", "keywords.contraband.count > 50"))
    flips = tmp_path / "flips.jsonl"
    run("backtest", str(calmer), "--since", "1h", "--flips", str(flips))
    decision_id = json.loads(flips.read_text())["decision"]  # of the forged papers alone
    told = run("policy", "explain", decision_id)
    assert told.returncode == 0, told.stderr
    assert "contraband-for-sale: true → reject" in told.stdout
    assert "keywords.contraband.count = " in told.stdout
    other = run("policy", "explain", decision_id, "--with", str(calmer))
    assert "contraband-for-sale: false" in other.stdout
    assert run("policy", "explain", "dec_none").returncode == 2


def test_policy_test_runs_what_the_owner_expects(run, tmp_path: Path) -> None:
    cases = tmp_path / "cases.yaml"
    cases.write_text("cases:\n- {name: nothing, expect: pass}\n- {name: too mild, expect: reject}\n")
    done = run("policy", "test", "--cases", str(cases))
    assert done.returncode == 1
    assert "cases.yaml:3:" in done.stdout
    assert "2 tests, 1 failed" in done.stdout
    cases.write_text("cases:\n- {name: nothing, expect: pass}\n")
    assert run("policy", "test", "--cases", str(cases)).returncode == 0
