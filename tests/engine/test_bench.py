"""The benchmark runs as documented, on the demonstration pair and this engine alone."""

import re
import subprocess
import sys

from app.engine.base import ModelFiles
from tests.engine.conftest import MODELS


def test_it_measures_the_engine_and_prints_a_table(demo: ModelFiles) -> None:
    command = [sys.executable, "-m", "app.cli", "bench", "engine", "--engine-only", "--side", "64"]
    command += ["--model", str(demo.model), "--projector", str(demo.projector)]
    command += ["--rounds", "1", "--pictures", "2", "--pictures-a-round", "1", "--concurrency", "2"]

    ran = subprocess.run(command, capture_output=True, text=True, cwd=MODELS.parent, timeout=120, check=False)

    assert ran.returncode == 0, ran.stderr
    assert re.search(r"^\| all \| this engine, 2 at once \| [\d.]+ s \|", ran.stdout, re.MULTILINE)
    assert "- machine: " in ran.stdout
