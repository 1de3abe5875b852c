"""What drafts bring where a model says what models say: `python -m benchmarks.engine.drafts CAPTIONS.jsonl`.

Random weights take as long as trained ones and say nothing. So they are made to say real descriptions, one of each line
of the file (`--key` names the text in it), such as a model's answers to one question about many pictures: the token
that is due gets the largest logit. Words and marks are tokens. What came before is learned, then the last descriptions
are grown with drafts and without in turns, a few at once. Seconds are from the first token of the answers to the last.
"""

import argparse
import json
import os
import re
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from app.engine.waiting import waiting

os.environ.update(waiting(os.environ))

import llama_cpp

from app.domain import QuestionKind
from app.engine.base import EngineConfig, ModelFiles
from app.engine.process import load_order
from app.engine.runtime import Runtime
from app.engine.worker import decode, logs
from app.engine.worker.model import Model
from app.engine.worker.protocol import Answered, Ask, AskedQuestion, Done, Started
from app.engine.worker.resident import Resident, load_resident
from app.engine.worker.scheduler import Scheduler
from app.engine.worker.warm_up import warm_up
from app.engine.worker.words import Logits
from benchmarks.engine import report
from benchmarks.engine.__main__ import pair_files
from benchmarks.engine.pairs import KINDS, write_pair
from benchmarks.engine.questions import FULL
from benchmarks.engine.questions import pictures as noise
from benchmarks.engine.shapes import SHAPES

#: Plain tokens of the made-up vocabularies.
_FIRST_TOKEN = 5000
_SIDE_PX = 64


def tokenized(path: Path, key: str, most: int) -> list[list[int]]:
    """Each description as tokens, cut where an upload's description would be."""
    numbers: dict[str, int] = {}
    lines = path.read_text(encoding="utf-8").splitlines()
    words = (re.findall(r" ?\w+|[^\w\s]|\s", json.loads(line)[key]) for line in lines)
    return [[numbers.setdefault(word, _FIRST_TOKEN + len(numbers)) for word in said[:most]] for said in words]


class Mouth:
    """A scheduler whose model says what it is told to."""

    def __init__(self, resident: Resident, draft_tokens: int, most_tokens: int) -> None:
        self._most_tokens = most_tokens
        self._end = int(llama_cpp.llama_vocab_eos(resident.model.vocab))
        form = resident.form.model_copy(update={"draft_tokens": draft_tokens})
        decode.forget(resident.model, wipe=True)
        self._pace = warm_up(resident).pace
        drafting = Resident(resident.model, form, resident.tokenizer, resident.words)
        self._scheduler = Scheduler(drafting, self._hear, pace=self._pace)
        self._says: dict[int, Sequence[int]] = {}
        self._jobs = 0
        self.drafted = self.foreseen = 0

    def _hear(self, said: Answered | Done | Started) -> None:
        if isinstance(said, Done):
            self.drafted += said.drafted_tokens
            self.foreseen += said.foreseen_tokens

    def speak(self, texts: Sequence[Sequence[int]], rgb: bytes) -> tuple[float, int]:
        """The seconds and the steps in which all are said, side by side."""
        began: float | None = None
        steps = 0
        for text in texts:
            self._jobs += 1
            self._says[self._jobs] = text
            question = AskedQuestion(
                number=0, kind=QuestionKind.GENERATE, prompt=FULL[-1][0], max_tokens=self._most_tokens
            )
            ask = Ask(job=self._jobs, width=_SIDE_PX, height=_SIDE_PX, remaining_s=3600.0, questions=(question,))
            self._scheduler.submit(ask, rgb)
        while self._scheduler.busy:
            if began is None and self._growing():
                began = time.monotonic()
            self._scheduler.turn()
            steps += began is not None
        return time.monotonic() - (began or time.monotonic()), steps

    def _growing(self) -> list[int]:
        return [job.ask.job for job in self._scheduler._active if any(asking.grown for asking in job.asking.values())]

    def told(self, model: Model, entries: Sequence[decode.Entry]) -> Iterator[tuple[int, Logits]]:
        """Instead of `decode.decode`."""
        for sequence, logits in _decode(model, entries):
            for job in self._scheduler._active:
                if (asking := job.asking.get(sequence)) is not None:
                    due = self._says[job.ask.job][len(asking.grown) :]
                    logits[due[0] if due else self._end] = 1e9
            yield sequence, logits


_decode = decode.decode


def measure(resident: Resident, texts: list[list[int]], given: argparse.Namespace) -> list[str]:
    rgb = next(iter(noise(1, _SIDE_PX)))
    grown = texts[-given.measured :]
    question = (*resident.tokenizer.plain(FULL[-1][0]), *resident.tokenizer.form(resident.form.after_question))
    rows = []
    for at_once in given.at_once:
        plain, drafting = (Mouth(resident, drafts, given.most_tokens) for drafts in (0, given.draft_tokens))
        for text in texts[: -given.measured]:
            drafting._scheduler._drafting._ngrams.learn(question, text, whole=len(text) < given.most_tokens)
        ratios, before, after, steps = [], [], [], [0, 0]
        for start in range(0, len(grown) - at_once + 1, at_once):
            batch = grown[start : start + at_once]
            found = {}
            for mouth in (plain, drafting):
                decode.decode = mouth.told
                decode.forget(resident.model, wipe=True)
                mouth._scheduler._room.wipe()
                found[mouth] = mouth.speak(batch, rgb)
            before.append(found[plain][0])
            after.append(found[drafting][0])
            ratios.append(found[plain][0] / found[drafting][0])
            steps = [steps[0] + found[plain][1], steps[1] + found[drafting][1]]
            print(f"  {at_once} at once: {before[-1]:.3f} s, with drafts {after[-1]:.3f} s", flush=True)
        share = drafting.foreseen / max(1, drafting.drafted)
        rows.append(
            f"| {at_once} | {statistics.median(before):.3f} s | {statistics.median(after):.3f} s "
            f"| {statistics.median(ratios):.2f}× | {steps[0] / steps[1]:.2f}× | {share:.0%} |"
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine.drafts", description=__doc__)
    parser.add_argument("captions", type=Path)
    parser.add_argument("--key", default="caption")
    parser.add_argument("--shape", choices=SHAPES, default="quarter")
    parser.add_argument("--type", choices=KINDS, default="f16")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--projector", type=Path)
    parser.add_argument("--draft-tokens", type=int, default=7)
    parser.add_argument("--most-tokens", type=int, default=48)
    parser.add_argument("--measured", type=int, default=64, help="of the last descriptions; those before are learned")
    parser.add_argument("--at-once", type=int, nargs="*", default=[1, 8])
    parser.add_argument("--gpu-layers", type=int, default=0, help="-1 puts all on the GPU")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.model is None:
            files = pair_files(*write_pair(given.shape, Path(folder), given.type), given.shape)
        else:
            files = pair_files(given.model, given.projector, given.shape)
        _run(files, given)


def _run(files: ModelFiles, given: argparse.Namespace) -> None:
    logs.only_trouble()
    runtime = Runtime(gpu_layers=given.gpu_layers)
    resident = load_resident(load_order(EngineConfig(files=files, runtime=runtime)))
    paces = ", ".join(f"{tokens}: {seconds * 1000:.1f}" for tokens, seconds in warm_up(resident).pace.measured)
    texts = tokenized(given.captions, given.key, given.most_tokens)
    rows = measure(resident, texts, given)
    facts = {
        "files": files.model.name,
        "descriptions": f"{len(texts)} of {given.captions.name}, {given.measured} grown",
    }
    print(f"\n{report.facts({**facts, 'ms a step, by its tokens': paces})}\n")
    print("| at once | a description | with drafts | quicker | fewer steps | drafts said |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
