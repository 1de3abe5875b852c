"""What a machine lacks is said in one sentence, before anything is installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.tree import ROOT

#: The interpreter itself, not the environment's: what a fresh machine has.
_PYTHON = Path(sys.executable).resolve()


class Machine:
    """A PATH with only what is put there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has(self, name: str, script: str = "exit 0") -> None:
        (self.folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (self.folder / name).chmod(0o755)

    def has_python(self, *, without: str | None = None) -> None:
        """The real one; `without` names a word in a `-c` program that makes it fail, as a missing module would."""
        refuse = f'case "$*" in *{without}*) exit 1;; esac; ' if without else ""
        self.has("python3", f'{refuse}exec "{_PYTHON}" "$@"')

    def check(self, **variables: str) -> "subprocess.CompletedProcess[str]":
        script = ROOT / "scripts" / "check_machine.sh"
        environment = {"PATH": str(self.folder), **variables}
        return subprocess.run(["/bin/sh", script], env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def complete(machine: Machine) -> Machine:
    machine.has("c++")
    machine.has("cmake")
    machine.has_python()
    return machine


def test_a_complete_machine_names_its_python(complete: Machine) -> None:
    answer = complete.check()
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.strip() == str(complete.folder / "python3")


def test_everything_that_is_missing_is_said_at_once(machine: Machine) -> None:
    answer = machine.check()
    assert answer.returncode == 1
    assert answer.stderr.splitlines() == [
        "portcullis: this machine lacks Python 3.11 or later, a C++ compiler, CMake; on Debian or Ubuntu: "
        "sudo apt-get install python3 python3-venv python3-dev build-essential cmake"
    ]


@pytest.mark.parametrize(("tool", "sentence"), [("c++", "a C++ compiler;"), ("cmake", "CMake;")])
def test_one_missing_tool_is_one_sentence(complete: Machine, tool: str, sentence: str) -> None:
    (complete.folder / tool).unlink()
    answer = complete.check()
    assert answer.returncode == 1
    assert f"lacks {sentence}" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_an_old_python_is_named(complete: Machine) -> None:
    complete.has("python3", '[ "$1" = -V ] && echo "Python 3.9.2" && exit; exit 1')
    assert "Python 3.11 or later (Python 3.9.2 is too old)" in complete.check().stderr


def test_a_newer_python_beside_an_old_one_is_found(complete: Machine) -> None:
    (complete.folder / "python3").rename(complete.folder / "python3.12")
    complete.has("python3", "exit 1")
    assert complete.check().stdout.strip() == str(complete.folder / "python3.12")


@pytest.mark.parametrize(
    ("without", "words", "package"), [("ensurepip", "venv module", "-venv"), ("sysconfig", "C headers", "-dev")]
)
def test_debians_split_python_is_understood(complete: Machine, without: str, words: str, package: str) -> None:
    complete.has_python(without=without)
    series = f"python3.{sys.version_info.minor}"
    answer = complete.check()
    assert f"Python's {words}" in answer.stderr
    assert f"apt-get install {series}{package}" in answer.stderr


def test_a_compiler_may_be_named_with_a_wrapper(complete: Machine) -> None:
    (complete.folder / "c++").unlink()
    complete.has("ccache")
    assert complete.check(CXX="ccache my-c++").returncode == 0


def test_a_python_that_was_named_is_not_replaced_by_another(complete: Machine) -> None:
    answer = complete.check(PYTHON="python9")
    assert answer.returncode == 1
    assert "PYTHON is 'python9'" in answer.stderr


class TestContinuousIntegration:
    """`.ci/run` asks apt for what is missing, and for nothing when nothing is."""

    @pytest.fixture
    def bare(self, machine: Machine) -> Machine:
        for program in ("bash", "dirname", "env"):
            machine.has(program, f'exec "{_which(program)}" "$@"')
        for recorder in ("apt-get", "sudo", "make"):
            machine.has(recorder, f'echo {recorder} "$@"; [ {recorder} != sudo ] || "$@"')
        return machine

    def run(self, machine: Machine) -> list[str]:
        script = str(ROOT / ".ci" / "run")
        answer = subprocess.run(
            [_which("bash"), script],
            env={"PATH": str(machine.folder), "CI": "true"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
        return [line for line in answer.stdout.splitlines() if not line.startswith("sudo ")]

    def test_a_bare_machine_gets_what_it_lacks(self, bare: Machine) -> None:
        update, install, tests = self.run(bare)
        assert update == "apt-get update"
        wanted = {"cmake", "build-essential", "python3-venv", "python3-dev", "chromium"}
        assert wanted <= set(install.removeprefix("apt-get install").split())
        assert tests == "make test"

    def test_a_complete_machine_is_left_alone(self, bare: Machine) -> None:
        for tool in ("c++", "cmake", "chromium", "python3"):
            bare.has(tool)
        assert self.run(bare)[-1] == "make test"
        assert not any("cmake" in line or "chromium" in line or "python3" in line for line in self.run(bare))

    def test_can_be_run_directly(self) -> None:
        assert os.access(ROOT / ".ci" / "run", os.X_OK)


def _which(program: str) -> str:
    for folder in ("/bin", "/usr/bin", "/usr/local/bin"):
        if (Path(folder) / program).exists():
            return f"{folder}/{program}"
    raise AssertionError(program)
