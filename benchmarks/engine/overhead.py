"""What the engine costs besides the model: `python -m benchmarks.engine.overhead [--shape quarter] [--jobs 20]`.

The same job three ways, in turn, so that a machine that is busy with something else is busy for all: bare calls of
llama.cpp, the scheduler in this process, and the engine process through its client. The job is twelve probes and a
caption. Without `--shape` the demonstration pair is asked.
"""

import argparse
import asyncio
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from app.engine.waiting import waiting

os.environ.update(waiting(os.environ))

import numpy as np
import structlog

from app.domain import EngineJob, Picture, Question, QuestionKind
from app.engine.base import EngineConfig, ModelFiles
from app.engine.catalogue import load_catalogue, resolve
from app.engine.local import LocalEngine
from app.engine.pending import PendingJob
from app.engine.process import load_order
from app.engine.runtime import Runtime
from app.engine.worker import decode, logs
from app.engine.worker import picture as pictures
from app.engine.worker.encodings import Encodings
from app.engine.worker.resident import Resident, load_resident
from app.engine.worker.scheduler import Scheduler
from app.engine.worker.words import log_probabilities
from benchmarks.engine import report
from benchmarks.engine.__main__ import pair_files
from benchmarks.engine.measure import threads_cpu_s
from benchmarks.engine.pairs import write_pair
from benchmarks.engine.shapes import SHAPES

ROOT = Path(__file__).resolve().parents[2]
TOPICS = ("weapons", "blood or injury", "drugs or smoking", "alcohol", "gambling", "adult content")
TOPICS_ZH = ("武器", "血腥或受伤", "毒品或吸烟", "酒", "赌博", "成人内容")
CAPTION_TOKENS = 24
QUESTIONS = (
    *(Question(f"en-{t}", QuestionKind.YES_NO, f"Does this image show {t}? Answer Yes or No.") for t in TOPICS),
    *(Question(f"zh-{t}", QuestionKind.YES_NO, f"这张图片中是否有{t}？请回答是或否。") for t in TOPICS_ZH),
    Question("caption", QuestionKind.GENERATE, "Describe the image.", CAPTION_TOKENS),
)
SIZES = ((160, 160), (448, 448), (1280, 960))
BARE, HERE, THROUGH = "bare calls", "scheduler here", "through the client"


@dataclass(slots=True)
class Spent:
    """Milliseconds a job, by the clock and of processor time, all processes and threads together."""

    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)


def picture(width: int, height: int) -> Picture:
    row = bytes((x * 7 + c * 60) % 256 for x in range(width) for c in range(3))
    return Picture(width, height, row * height)


def job(shown: Picture) -> EngineJob:
    return EngineJob("bench", shown, QUESTIONS, time.monotonic() + 600)


def bare(resident: Resident, shown: Picture) -> None:
    """As one would write it for this job alone: picture, fork, all questions in one batch, then the caption grows."""
    model, form = resident.model, resident.form
    prefix = pictures.tokenize(model, form, PendingJob(1, job(shown)).ask(), shown.rgb)
    *_, start = pictures.evaluate(model, Encodings(0), prefix, 0, 0)
    prefix.close()
    ending = resident.tokenizer.form(form.after_question)
    asked = [(*resident.tokenizer.plain(question.prompt), *ending) for question in QUESTIONS]
    entries = []
    for sequence, tokens in enumerate(asked, 1):
        decode.fork(model, 0, sequence)
        last = len(tokens) - 1
        entries += [decode.entry(token, start + n, sequence, n == last) for n, token in enumerate(tokens)]
    caption, grown = len(asked), 0
    for sequence, logits in decode.decode(model, entries):
        if sequence != caption:
            log_probabilities(logits, resident.words)
        else:
            token = int(np.argmax(logits))
    while grown < CAPTION_TOKENS and not resident.tokenizer.ends_generation(token):
        position = start + len(asked[-1]) + grown
        for _, logits in decode.decode(model, [decode.entry(token, position, caption, True)]):
            token = int(np.argmax(logits))
        grown += 1
    decode.forget(model, wipe=False)


def here(scheduler: Scheduler, shown: Picture) -> None:
    scheduler.submit(PendingJob(1, job(shown)).ask(), shown.rgb)
    while scheduler.busy:
        scheduler.turn()


async def through(engine: LocalEngine, shown: Picture) -> None:
    async for answer in engine.ask(job(shown)):
        assert answer.reason is None


@contextmanager
def measured(spent: Spent, *pids: int) -> Iterator[None]:
    cpu, wall = sum(map(threads_cpu_s, pids)), time.perf_counter()
    yield
    spent.wall_ms.append((time.perf_counter() - wall) * 1000)
    spent.cpu_ms.append((sum(map(threads_cpu_s, pids)) - cpu) * 1000)


def rows(size: tuple[int, int], found: dict[str, Spent]) -> Iterator[str]:
    base = found[BARE]
    for name, spent in found.items():
        cells = [f"{size[0]}×{size[1]}", name]
        for of, against in ((spent.wall_ms, base.wall_ms), (spent.cpu_ms, base.cpu_ms)):
            cells += [f"{min(of):.1f}", f"{_middle(of):.1f}", f"{_middle(of) - _middle(against):+.1f}"]
        cells.append(f"{3 + 0.02 * _middle(base.wall_ms):.1f}")
        yield f"| {' | '.join(cells)} |"


def _middle(values: Sequence[float]) -> float:
    return statistics.median(values)


async def main(files: ModelFiles, jobs: int, threads: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    # Nothing is remembered, so that each job encodes its picture.
    # No drafts: the bare calls have none, and of the same picture all would be right.
    runtime = Runtime(gpu_layers=0, threads=threads, draft_tokens=0)
    config = EngineConfig(files=files, runtime=runtime, remembered_bytes=0)
    logs.only_trouble()
    alone, resident = load_resident(load_order(config)), load_resident(load_order(config))
    scheduler = Scheduler(resident, lambda _: None)
    engine = LocalEngine(config)
    await engine.start()
    await engine.wait_ready(300)
    (worker,) = engine.pids
    print(report.facts({"jobs": f"{jobs} of each, the first not counted", "files": files.name}))
    print("\n| picture | how | min ms | median ms | more | min CPU ms | median CPU ms | more | allowed |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for size in SIZES:
        shown, found = picture(*size), {BARE: Spent(), HERE: Spent(), THROUGH: Spent()}
        for number in range(jobs + 1):
            into = found if number else {name: Spent() for name in found}
            with measured(into[BARE], os.getpid()):
                bare(alone, shown)
            with measured(into[HERE], os.getpid()):
                here(scheduler, shown)
            with measured(into[THROUGH], os.getpid(), worker):
                await through(engine, shown)
        for row in rows(size, found):
            print(row, flush=True)
    await engine.aclose()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine.overhead", description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, help="of a random-weight pair, which is written first")
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    given = _arguments()
    demonstration = resolve(load_catalogue(ROOT / "models" / "catalogue.yaml"), "demo", models_dir=ROOT / "models")
    if given.shape is None:
        asyncio.run(main(demonstration, given.jobs, given.threads))
    else:
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(
                main(pair_files(*write_pair(given.shape, Path(folder)), given.shape), given.jobs, given.threads)
            )
