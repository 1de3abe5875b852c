"""What the engine process does beside llama.cpp, a picture: `python -m benchmarks.engine.host`.

While the processor makes batches, reads logits and chooses tokens a GPU has nothing to do. So here steps take no time:
llama.cpp is given nothing to read, and the logits are made up before. The tokens, questions and rules are as ever, and
the vocabulary is that of the exact shape.
"""

import argparse
import ctypes
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import llama_cpp
import numpy as np

from app.domain import QuestionKind
from app.engine.base import EngineConfig
from app.engine.process import load_order
from app.engine.runtime import Runtime
from app.engine.worker import logs
from app.engine.worker.protocol import Answered, Ask, AskedQuestion, Done, Started
from app.engine.worker.resident import Resident, load_resident
from app.engine.worker.scheduler import Scheduler
from benchmarks.engine import report, youtuvl
from benchmarks.engine.__main__ import pair_files
from benchmarks.engine.gguf_file import Kind
from benchmarks.engine.questions import FULL, PROBES_ONLY
from benchmarks.engine.questions import pictures as noise
from benchmarks.engine.shapes import SHAPES, YoutuShape

_SIDE_PX = 64
#: More than a processor's caches hold, as what comes from a GPU is in none of them.
_ROWS = 64
#: Of a vocabulary in which tokens of this number are plain.
_FIRST_TOKEN = 5000


def shape(vocabulary: int) -> YoutuShape:
    """The quickest to load, with so many tokens."""
    tiny = SHAPES["tiny"]
    assert isinstance(tiny, YoutuShape)
    return replace(tiny, text=replace(tiny.text, vocabulary=vocabulary))


def resident(vocabulary: int, draft_tokens: int, folder: Path) -> Resident:
    model, projector = folder / "model.gguf", folder / "mmproj.gguf"
    youtuvl.write_text(model, shape(vocabulary), Kind.F16)
    youtuvl.write_vision(projector, shape(vocabulary), Kind.F16)
    runtime = Runtime(gpu_layers=0, context_tokens=8192, draft_tokens=draft_tokens)
    return load_resident(load_order(EngineConfig(files=pair_files(model, projector), runtime=runtime)))


class Given:
    """In place of llama.cpp's calls: no step is run, and each row of logits is one of those that were made up."""

    def __init__(self, vocabulary: int) -> None:
        random = np.random.default_rng(0)
        self._rows = 3 * random.standard_normal((_ROWS, vocabulary), np.float32)
        # Something to say that ends no answer.
        self._rows[np.arange(_ROWS), _FIRST_TOKEN + np.arange(_ROWS)] = 30.0
        self._pointers = [row.ctypes.data_as(ctypes.POINTER(ctypes.c_float)) for row in self._rows]
        self._next = 0

    def stand_in(self) -> None:
        llama_cpp.llama_decode = self.decode
        llama_cpp.llama_get_logits_ith = self.logits

    def decode(self, context: object, batch: object) -> int:
        return 0

    def logits(self, context: object, index: int) -> object:
        self._next = (self._next + 1) % _ROWS
        return self._pointers[self._next]


class Timed(Scheduler):
    """Adds up what its decode steps take: not a picture's way in."""

    spent_s = 0.0
    steps = 0

    def _step(self) -> None:
        began = time.thread_time()
        super()._step()
        self.spent_s += time.thread_time() - began
        self.steps += 1


def heard(said: Answered | Done | Started) -> None:
    if isinstance(said, Answered):
        assert said.reason is None, said.reason


def run(engine: Resident, pictures: Sequence[bytes], asked: Sequence[tuple[str, int]]) -> Timed:
    """All at once."""
    scheduler = Timed(engine, heard)
    questions = tuple(
        AskedQuestion(
            number=number,
            kind=QuestionKind.YES_NO if tokens == 1 else QuestionKind.GENERATE,
            prompt=prompt,
            max_tokens=tokens,
        )
        for number, (prompt, tokens) in enumerate(asked)
    )
    for number, rgb in enumerate(pictures):
        scheduler.submit(Ask(job=number, width=_SIDE_PX, height=_SIDE_PX, remaining_s=600.0, questions=questions), rgb)
    while scheduler.busy:
        scheduler.turn()
    return scheduler


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine.host", description=__doc__)
    parser.add_argument("--vocabulary", type=int, default=283_386, help="tokens")
    parser.add_argument("--draft-tokens", type=int, default=0, help="that are guessed from earlier answers")
    parser.add_argument("--at-once", type=int, nargs="*", default=[1, 4, 16])
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    logs.forward_native_logs()
    logs.only_trouble()
    with tempfile.TemporaryDirectory() as folder:
        engine = resident(given.vocabulary, given.draft_tokens, Path(folder))
    Given(given.vocabulary).stand_in()
    rgb = noise(max(given.at_once), _SIDE_PX)
    print(f"{report.facts({'vocabulary': given.vocabulary, 'steps': 'not run'})}\n")
    print("| asked | at once | CPU ms a step | CPU ms a picture |\n| --- | ---: | ---: | ---: |")
    for name, asked in (("all eight", FULL), ("probes", PROBES_ONLY)):
        for at_once in given.at_once:
            found = [run(engine, rgb[:at_once], asked) for _ in range(given.rounds)]
            step_ms = statistics.median(1000 * one.spent_s / one.steps for one in found)
            picture_ms = statistics.median(1000 * one.spent_s / at_once for one in found)
            print(f"| {name} | {at_once} | {step_ms:.2f} | {picture_ms:.2f} |", flush=True)


if __name__ == "__main__":
    main()
