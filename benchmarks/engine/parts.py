"""Processor seconds of each part of an upload, and what follows for the usual way and for this engine:
`python -m benchmarks.engine.parts (--shape quarter | --model FILE --projector FILE)`.

Every part is run by itself, a few times, in this process. The ratio is foretold from the parts alone: that the usual
way encodes the picture and reads the prefix for each question, and this engine once.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from app.engine.waiting import waiting

os.environ.update(waiting(os.environ))

from app.domain import QuestionKind
from app.engine.base import EngineConfig, ModelFiles
from app.engine.process import load_order
from app.engine.runtime import Runtime
from app.engine.worker import decode, logs
from app.engine.worker import picture as pictures
from app.engine.worker.encodings import Encodings
from app.engine.worker.job import Asking
from app.engine.worker.plan import Prepared
from app.engine.worker.protocol import Ask
from app.engine.worker.reading import next_entries
from app.engine.worker.resident import Resident, load_resident
from benchmarks.engine import report
from benchmarks.engine.__main__ import pair_files
from benchmarks.engine.pairs import KINDS, write_pair
from benchmarks.engine.questions import ANSWER_TOKENS, FULL, PROBES_ONLY
from benchmarks.engine.questions import pictures as noise
from benchmarks.engine.shapes import SHAPES

GROWING = 2


class Parts:
    def __init__(self, resident: Resident, side_px: int) -> None:
        self._resident, self._model = resident, resident.model
        self._side = side_px
        ending = resident.tokenizer.form(resident.form.after_question)
        self._asked = [(*resident.tokenizer.plain(text), *ending) for text, _ in FULL]
        self._start = 0
        #: Where each sequence goes on.
        self._ends: dict[int, int] = {}

    def picture(self, rgb: bytes) -> dict[str, float]:
        """Seconds of `encode` and of `prefix`: what comes before the question, read into the context."""
        asked = Ask(job=1, width=self._side, height=self._side, remaining_s=0.0, questions=())
        decode.forget(self._model, wipe=False)
        prefix = pictures.tokenize(self._model, self._resident.form, asked, rgb)
        encodings = Encodings(1 << 30)
        whole_s = self._timed(lambda: self._read(prefix, encodings))
        decode.forget(self._model, wipe=False)
        prefix_s = self._timed(lambda: self._read(prefix, encodings))
        self._tokens = prefix.picture_tokens
        prefix.close()
        return {"encode": whole_s - prefix_s, "prefix": prefix_s}

    def questions(self, count: int, *, together: bool = True) -> float:
        """Seconds of so many questions read in one batch, each forked from the picture: what they begin with once, or
        each by itself."""
        asked, picture = [], object()
        for sequence, tokens in enumerate(self._asked[:count], 1):
            decode.drop(self._model, sequence)
            decode.fork(self._model, 0, sequence)
            self._ends[sequence] = self._start + len(tokens)
            question = Prepared(sequence, QuestionKind.YES_NO, tokens, 0)
            asked.append(Asking(question, sequence, self._start, tokens, come_to=picture if together else object()))
        entries = next_entries(asked, self._model.batch_tokens)
        return self._timed(lambda: self._decoded(entries))

    def step(self, answers: int) -> float:
        """Seconds of one more token for each of the last so many answers."""
        entries = []
        for sequence in list(self._ends)[-answers:]:
            entries.append(decode.entry(1, self._ends[sequence], sequence, True))
            self._ends[sequence] += 1
        return self._timed(lambda: self._decoded(entries))

    def _read(self, prefix: pictures.Prefix, encodings: Encodings) -> None:
        *_, self._start = pictures.evaluate(self._model, encodings, prefix, 0, 0)

    def _decoded(self, entries: list[decode.Entry]) -> None:
        for _ in decode.decode(self._model, entries):
            pass

    @property
    def facts(self) -> dict[str, object]:
        return {"picture": f"{self._side}x{self._side} px, {self._tokens} tokens", "prefix cells": self._start}

    @staticmethod
    def _timed(run: Callable[[], None]) -> float:
        began = time.process_time()
        run()
        return time.process_time() - began


def measure(parts: Parts, rounds: int, side_px: int) -> dict[str, float]:
    found: dict[str, list[float]] = {}

    def add(name: str, seconds: float) -> None:
        found.setdefault(name, []).append(seconds)
        print(f"  {name:12} {seconds:8.3f} CPU s", flush=True)

    for number, rgb in enumerate(noise(rounds + 1, side_px)):
        print(f"round {number}" + (", not counted" if not number else ""), flush=True)
        if number == 1:
            found.clear()
        for name, seconds in parts.picture(rgb).items():
            add(name, seconds)
        add("one question", parts.questions(1))
        add("6 probes", parts.questions(len(PROBES_ONLY)))
        add("6, each alone", parts.questions(len(PROBES_ONLY), together=False))
        add("8 questions", parts.questions(len(FULL)))
        for _ in range(3):
            add("step of 1", parts.step(1))
        for _ in range(3):
            add("step of 2", parts.step(GROWING))
    return {name: statistics.median(values) for name, values in found.items()}


def foretold(part: dict[str, float]) -> list[str]:
    """A probe is answered by its own reading; a generated answer takes a step for each further token."""
    further = ANSWER_TOKENS - 1
    picture = part["encode"] + part["prefix"]
    each = picture + part["one question"]
    usual, usual_probes = 8 * each + 2 * further * part["step of 1"], 6 * each
    engine = picture + part["8 questions"] + further * part["step of 2"]
    engine_probes = picture + part["6 probes"]
    return [
        "| asked | usual way, CPU s | this engine, CPU s | ratio |",
        "| --- | ---: | ---: | ---: |",
        f"| all eight | {usual:.2f} | {engine:.2f} | {usual / engine:.2f}× |",
        f"| six probes | {usual_probes:.2f} | {engine_probes:.2f} | {usual_probes / engine_probes:.2f}× |",
        "",
        f"A picture (encode and prefix) is worth {picture / part['step of 1']:.0f} steps of one answer.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine.parts", description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="quarter")
    parser.add_argument("--type", choices=KINDS, default="f16")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--projector", type=Path)
    parser.add_argument("--side", type=int, default=448)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.model is None:
            files = pair_files(*write_pair(given.shape, Path(folder), given.type), given.shape)
        else:
            files = pair_files(given.model, given.projector)
        _run(files, given)


def _run(files: ModelFiles, given: argparse.Namespace) -> None:
    logs.only_trouble()
    runtime = Runtime(gpu_layers=0, threads=given.threads, context_tokens=4096)
    parts = Parts(load_resident(load_order(EngineConfig(files=files, runtime=runtime))), given.side)
    found = measure(parts, given.rounds, given.side)
    print(f"\n{report.facts({'files': files.model.name, **parts.facts})}\n")
    print("| part | CPU s |\n| --- | ---: |")
    for name, seconds in found.items():
        print(f"| {name} | {seconds:.3f} |")
    print("\n" + "\n".join(foretold(found)))


if __name__ == "__main__":
    main()
