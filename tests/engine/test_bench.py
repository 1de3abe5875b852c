"""The benchmark runs as documented, on the demonstration pair and this engine alone."""

import re
import subprocess
import sys
from pathlib import Path

from app.engine.base import ModelFiles
from tests.engine.conftest import MODELS


def bench(demo: ModelFiles, *more: str) -> str:
    command = [sys.executable, "-m", "app.cli", "bench", "engine", "--only", "engine", "--side", "64"]
    command += ["--model", str(demo.model), "--projector", str(demo.projector)]
    command += ["--rounds", "1", "--pictures", "2", "--pictures-a-round", "1", *more]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=MODELS.parent, timeout=600, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_it_measures_the_engine_and_prints_a_table(demo: ModelFiles, tmp_path: Path) -> None:
    keep = ("--keep", str(tmp_path / "rounds.jsonl"))
    said = bench(demo, "--cold", "--concurrency", "2", *keep)

    (row,) = re.findall(r"^\| all \| this engine, 2 at once \| .*$", said, re.MULTILINE)
    assert "- machine: " in said

    again = bench(demo, "--cold", "--concurrency", "2", *keep)

    assert row in again
    assert again.count("kept") == 3
