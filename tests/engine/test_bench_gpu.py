"""What the benchmark adds on a machine with a GPU. There is none here: the tool that tells of it is a script."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.engine.base import ModelFiles
from benchmarks.engine import gpu, work
from benchmarks.engine.__main__ import pair_files
from benchmarks.engine.pairs import write_pair
from benchmarks.engine.questions import FULL, PROBES_ONLY
from benchmarks.engine.shapes import SHAPES, YoutuShape
from tests.engine.test_bench import bench

Tool = Callable[[str], None]


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    """Puts a `nvidia-smi` first on the path."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def put(script: str) -> None:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)

    return put


CARDS = 'case "$1" in --query-gpu=*) echo "NVIDIA H200, 143771, 512"; echo "NVIDIA H200, 143771, 256";; esac'
#: Every process there is holds 100 MiB.
EVERYBODY = f"""{CARDS}
case "$1" in --query-compute-apps=*) for one in /proc/[0-9]*; do echo "${{one#/proc/}}, 100"; done;; esac"""


def test_without_the_tool_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (gpu.gpus(), gpu.used_bytes(), gpu.process_bytes(os.getpid())) == ([], 0, None)


@pytest.mark.parametrize(
    "script",
    [
        "exit 9",
        'echo "NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver."; exit 9',
        "true",
        'echo "No devices were found"',
        "printf '\\377\\376, 1, 2\\n'",
        "sleep 60",
    ],
    ids=["fails", "no driver", "silent", "no devices", "no text", "hangs"],
)
def test_a_tool_that_does_not_work_is_none(tool: Tool, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "_PATIENCE_S", 2.0)
    tool(script)
    assert (gpu.gpus(), gpu.used_bytes(), gpu.process_bytes(os.getpid())) == ([], 0, None)


def test_cards_and_what_they_hold(tool: Tool) -> None:
    tool(CARDS)
    assert gpu.gpus() == [gpu.Gpu("NVIDIA H200", 143771 << 20)] * 2
    assert gpu.used_bytes() == 768 << 20
    assert gpu.process_bytes(os.getpid()) is None, "as in a container, where no process is named"


def test_a_card_that_does_not_tell_its_memory_is_one_all_the_same(tool: Tool) -> None:
    tool('echo "NVIDIA Thor, [N/A], [N/A]"')
    assert gpu.gpus() == [gpu.Gpu("NVIDIA Thor", 0)]
    assert gpu.used_bytes() == 0
    assert gpu.peak_of("NVIDIA Thor") is None


def test_a_process_is_counted_with_those_it_started_and_on_every_card(tool: Tool) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import subprocess; subprocess.run(['sleep', '60'])"])
    try:
        mine, parents = f'echo "{child.pid}, 300"', "1"
        tool(f'{mine}; {mine}; echo "{parents}, 5000"; echo "{child.pid}, [N/A]"')
        assert gpu.process_bytes(child.pid) == 600 << 20
        assert gpu.process_bytes(os.getpid()) == 600 << 20
    finally:
        child.kill()
        child.wait()


def test_limits_are_those_of_the_very_card() -> None:
    assert gpu.peak_of("NVIDIA H200") == gpu.Peak(989e12, 4.8e12)
    assert gpu.peak_of("NVIDIA H100 NVL") is None


@pytest.mark.parametrize("name", [name for name in SHAPES if name.endswith("tiny")])
def test_the_least_work_is_counted_for_every_family(name: str, tmp_path: Path) -> None:
    files = pair_files(*write_pair(name, tmp_path), name)
    pair = work.read_pair(files, 112)
    assert pair is not None
    assert pair.blocks.bytes + pair.output.bytes < files.model.stat().st_size
    assert pair.eyes.bytes + pair.projector.bytes < files.projector.stat().st_size
    assert pair.operations(10, PROBES_ONLY) < pair.operations(20, PROBES_ONLY) < pair.operations(20, FULL)
    one = pair.bytes_read(PROBES_ONLY, 4, 1)
    assert one == 4 * pair.bytes_read(PROBES_ONLY, 4, 4) < pair.bytes_read(FULL, 4, 1)


def test_the_least_work_by_hand(tmp_path: Path) -> None:
    shape = SHAPES["tiny"]
    assert isinstance(shape, YoutuShape)
    pair = work.read_pair(pair_files(*write_pair("tiny", tmp_path), "tiny"), 64)
    assert pair is not None
    assert (pair.patches, pair.picture_tokens) == (16, 4)
    assert pair.output.count == shape.text.vocabulary * shape.text.width
    read = pair.picture_tokens + 10
    seen = pair.eyes.count * 16 + pair.projector.count * 4
    # Six answers of one token: none of them is read again.
    assert pair.operations(10, PROBES_ONLY) == 2 * (seen + pair.blocks.count * read + pair.output.count * 6)


def test_what_questions_begin_with_counts_once(demo: ModelFiles) -> None:
    one = work.question_tokens(demo, PROBES_ONLY[:1])
    assert work.question_tokens(demo, PROBES_ONLY[:1] * 3) == one
    assert one < work.question_tokens(demo, PROBES_ONLY) < len(PROBES_ONLY) * one


def test_the_table_has_memory_and_shares(demo: ModelFiles, tool: Tool) -> None:
    tool(EVERYBODY)
    said = bench(demo, "--cold", "--concurrency", "--peak", "0.001,0.5")

    assert "- GPU: NVIDIA H200, 140 GiB, NVIDIA H200, 140 GiB\n" in said
    assert "| GPU memory | of the arithmetic | of the bandwidth |" in said
    (row,) = re.findall(r"^\| all \| this engine \|.*$", said, re.MULTILINE)
    *_, memory, arithmetic, bandwidth, _ = [cell.strip() for cell in row.split("|")]
    assert re.fullmatch(r"\d+00 MiB", memory)
    assert float(arithmetic.rstrip("%")) > 0
    assert float(bandwidth.rstrip("%")) > 0


def test_without_a_gpu_the_table_has_neither(demo: ModelFiles) -> None:
    said = bench(demo, "--cold", "--concurrency")
    assert "- GPU: none\n" in said
    assert "peak memory |\n" in said
