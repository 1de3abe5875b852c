"""How long a synchronous job waits beside bulk work:
`python -m benchmarks.engine.priorities [--bulk 40] [--sync 8] [--rounds 3] [--shape quarter]`.

In every round, in turns: synchronous jobs one after another with nothing beside them; the same while so many bulk jobs
are in the engine all the time; and the bulk jobs for as long with nothing beside them. Every job asks six probes, the
text and a description of a picture that nobody saw before. Without `--shape` the demonstration pair is asked.

The ratio of the engine's processor time between a job's coming and its end says what it waited for, whatever else the
machine does; that of the clock only on a quiet one.
"""

import argparse
import asyncio
import itertools
import logging
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.domain import EngineJob, Picture, Priority, Question, QuestionKind, Status
from app.engine.base import EngineConfig, ModelFiles
from app.engine.catalogue import load_catalogue, resolve
from app.engine.local import LocalEngine
from app.engine.runtime import Runtime
from benchmarks.engine import report
from benchmarks.engine.__main__ import pair_files
from benchmarks.engine.measure import threads_cpu_s
from benchmarks.engine.pairs import write_pair
from benchmarks.engine.questions import FULL, pictures
from benchmarks.engine.shapes import SHAPES

ROOT = Path(__file__).resolve().parents[2]
_PATIENT_S = 3600.0
QUESTIONS = tuple(
    Question(str(n), QuestionKind.YES_NO if most == 1 else QuestionKind.GENERATE, text, most)
    for n, (text, most) in enumerate(FULL)
)
HEAD = ("beside", "waits, p50", "most", "×", "engine's CPU s, p50", "most", "×", "bulk jobs/s", "bulk jobs/CPU s")
ALONE, BESIDE, BULK = "nothing", "bulk jobs", "no synchronous jobs"


@dataclass(slots=True)
class Waits:
    """Of synchronous jobs: seconds by the clock, and of the engine's processor time meanwhile; and how many bulk jobs
    ended in so many seconds of either."""

    clock_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    bulk: int = 0
    bulk_clock_s: float = 0.0
    bulk_cpu_s: float = 0.0


class Bench:
    def __init__(self, engine: LocalEngine, side_px: int) -> None:
        self._engine, self._side = engine, side_px
        (self._noise,) = pictures(1, side_px)
        self._numbers = itertools.count()
        self._bulk_done = 0

    async def alone(self, waits: Waits, jobs: int, pause_s: float) -> AsyncIterator[None]:
        for _ in range(jobs):
            await asyncio.sleep(pause_s)
            await self._measure(waits)
            yield

    async def beside(self, waits: Waits, jobs: int, pause_s: float, bulk: int) -> AsyncIterator[None]:
        async with self._bulk_work(bulk, waits):
            async for _ in self.alone(waits, jobs, pause_s):
                yield

    async def bulk_alone(self, waits: Waits, seconds: float, bulk: int) -> None:
        async with self._bulk_work(bulk, waits):
            await asyncio.sleep(seconds)

    async def _measure(self, waits: Waits) -> None:
        clock_s, cpu_s = time.perf_counter(), self._cpu_s()
        await self._ask(Priority.SYNCHRONOUS)
        waits.clock_s.append(time.perf_counter() - clock_s)
        waits.cpu_s.append(self._cpu_s() - cpu_s)

    @asynccontextmanager
    async def _bulk_work(self, jobs: int, waits: Waits) -> AsyncIterator[None]:
        """So many all the time, counted from when the first of them is done: then the context is full."""
        running = [asyncio.create_task(self._bulk()) for _ in range(jobs)]
        done = self._bulk_done
        while self._bulk_done == done:  # noqa: ASYNC110 - nothing else says so
            await asyncio.sleep(0.01)
        done, clock_s, cpu_s = self._bulk_done, time.perf_counter(), self._cpu_s()
        try:
            yield
        finally:
            waits.bulk += self._bulk_done - done
            waits.bulk_clock_s += time.perf_counter() - clock_s
            waits.bulk_cpu_s += self._cpu_s() - cpu_s
            for task in running:
                task.cancel()
            for ended in await asyncio.gather(*running, return_exceptions=True):
                assert isinstance(ended, asyncio.CancelledError), ended

    async def _bulk(self) -> None:
        while True:
            await self._ask(Priority.BULK)
            self._bulk_done += 1

    async def _ask(self, priority: Priority) -> None:
        job = EngineJob("bench", self._picture(), QUESTIONS, time.monotonic() + _PATIENT_S, priority)
        async for answer in self._engine.ask(job):
            assert answer.status is Status.OK, answer.reason

    def _picture(self) -> Picture:
        """The noise with a number in its first pixels."""
        mark = next(self._numbers).to_bytes(8, "big")
        return Picture(self._side, self._side, mark + self._noise[len(mark) :])

    def _cpu_s(self) -> float:
        (pid,) = self._engine.pids
        return threads_cpu_s(pid)


async def main(given: argparse.Namespace, files: ModelFiles) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    runtime = Runtime(
        gpu_layers=given.gpu_layers,
        threads=given.threads,
        context_tokens=given.context_tokens,
        # Random weights say the same of every picture.
        draft_tokens=0,
    )
    engine = LocalEngine(EngineConfig(files=files, runtime=runtime, parallel_pictures=given.parallel_pictures))
    await engine.start()
    await engine.wait_ready(300)
    bench, found = Bench(engine, given.side), {name: Waits() for name in (ALONE, BESIDE, BULK)}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=Console(stderr=True)) as progress:
            task = progress.add_task("jobs", total=given.rounds * (2 * given.sync + 1))
            async for _ in bench.alone(Waits(), 1, 0.0):
                pass
            for _ in range(given.rounds):
                async for _ in bench.alone(found[ALONE], given.sync, given.pause):
                    progress.advance(task)
                began = time.perf_counter()
                async for _ in bench.beside(found[BESIDE], given.sync, given.pause, given.bulk):
                    progress.advance(task)
                await bench.bulk_alone(found[BULK], time.perf_counter() - began, given.bulk)
                progress.advance(task)
    finally:
        await engine.aclose()
    print(report.facts({"jobs": f"{given.rounds} rounds of {given.sync}, {given.bulk} bulk", "files": files.name}))
    print("\n" + "\n".join(rows(found)))


def rows(found: dict[str, Waits]) -> Iterator[str]:
    """For a document."""
    yield f"| {' | '.join(HEAD)} |"
    yield f"| --- | {' | '.join('---:' for _ in HEAD[1:])} |"
    for cells in lines(found):
        yield f"| {' | '.join(cells)} |"


def lines(found: dict[str, Waits]) -> Iterator[list[str]]:
    base = found[ALONE]
    for name, waits in found.items():
        cells = [name]
        for of, against in ((waits.clock_s, base.clock_s), (waits.cpu_s, base.cpu_s)):
            spent = (_middle(of), max(of), _middle(of) / _middle(against)) if of else ()
            cells += [f"{spent[0]:.3f}", f"{spent[1]:.3f}", f"{spent[2]:.2f}"] if spent else [""] * 3
        rates = (waits.bulk_clock_s, waits.bulk_cpu_s)
        yield cells + [f"{waits.bulk / rate:.2f}" if rate else "" for rate in rates]


def _middle(values: Sequence[float]) -> float:
    return statistics.median(values)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.engine.priorities",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--shape", choices=SHAPES, help="of a random-weight pair, which is written first")
    parser.add_argument("--bulk", type=int, default=40, help="bulk jobs in the engine at any time")
    parser.add_argument("--sync", type=int, default=8, help="synchronous jobs a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pause", type=float, default=0.2, help="seconds before each synchronous job")
    parser.add_argument("--side", type=int, default=448, help="pixels")
    parser.add_argument("--parallel-pictures", type=int, default=16)
    parser.add_argument("--context-tokens", type=int, default=8192)
    parser.add_argument("--threads", type=int, default=min(8, os.cpu_count() or 1))
    parser.add_argument("--gpu-layers", type=int, default=0, help="-1 puts all on the GPU")
    return parser.parse_args()


if __name__ == "__main__":
    asked = _arguments()
    if asked.shape is None:
        catalogue = load_catalogue(ROOT / "models" / "catalogue.yaml")
        asyncio.run(main(asked, resolve(catalogue, "demo", models_dir=ROOT / "models")))
    else:
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(main(asked, pair_files(*write_pair(asked.shape, Path(folder)), asked.shape)))
