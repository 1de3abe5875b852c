"""Many jobs with random kills, cancellations of jobs and of questions, and deadlines:
`python -m benchmarks.engine.soak [--jobs 10000]`.

Every job must end, with each question answered exactly once or the job given up by its caller, and the process must not
grow. Uses the demonstration pair. Ends with code 1 when anything else happens.
"""

import argparse
import asyncio
import collections
import contextlib
import json
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import structlog

from app.domain import EngineJob, Picture, Priority, Question, QuestionKind
from app.engine.base import EngineConfig
from app.engine.catalogue import load_catalogue, resolve
from app.engine.local import LocalEngine
from app.engine.runtime import Runtime

ROOT = Path(__file__).resolve().parents[2]
_AT_ONCE = 24
_KILL_EVERY_S = 20.0
_SCHEMA = '{"type": "object", "properties": {"text": {"type": "string", "maxLength": 20}, "sure": {"type": "boolean"}}}'
#: What one life of the process may grow by after its first jobs, in bytes.
_GROWTH = 64 * 1024 * 1024
_SETTLED_AFTER_JOBS = 50
#: How late a job may be. What this process itself was kept from running is no lateness of the engine's.
_LATE_S = 1.0
_TICK_S, _STALL_S = 0.05, 0.1


class Soak:
    def __init__(self, engine: LocalEngine, jobs: int, seed: int) -> None:
        self._engine = engine
        self._jobs = jobs
        self._random = random.Random(seed)  # noqa: S311 - chance, not secrecy
        self.ends: collections.Counter[str] = collections.Counter()
        self.wrong: list[str] = []
        #: Of each life of the process: what it held when it had settled, and at its last job.
        self.held: dict[int, tuple[int, int]] = {}
        self._lived: collections.Counter[int] = collections.Counter()
        #: For how long, in all, other programs or this one's own work kept the event loop from its turns.
        self.stalled_s = 0.0

    async def run(self) -> None:
        beside = (asyncio.create_task(self._kill()), asyncio.create_task(self._watch()))
        waiting = iter(range(self._jobs))
        try:
            await asyncio.gather(*(self._work(waiting) for _ in range(_AT_ONCE)))
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            slept = time.monotonic()
            await asyncio.sleep(_TICK_S)
            late_s = time.monotonic() - slept - _TICK_S
            if late_s > _STALL_S:
                self.stalled_s += late_s

    async def _work(self, waiting: Iterator[int]) -> None:
        for number in waiting:
            await self._one(number)
            self._weigh()
            if number % 500 == 0:
                print(f"  {number} jobs, {dict(self.ends)}", flush=True)

    async def _one(self, number: int) -> None:
        chance = self._random
        side = chance.choice((16, 64, 160, 448))
        rgb = bytes([chance.randrange(256)]) * (side * side * 3)
        questions = tuple(self._question(n) for n in range(chance.choice((1, 3, 7, 12, 40))))
        deadline_s = chance.choice((0.0, 0.02, 0.2, 2.0, 30.0, 30.0, 30.0))
        job = EngineJob(
            f"{number}",
            Picture(side, side, rgb),
            questions,
            time.monotonic() + deadline_s,
            chance.choice(list(Priority)),
        )
        leaves_after = chance.randrange(4) if chance.random() < 0.15 else None  # noqa: PLR2004
        gives_up = {q.id for q in questions if chance.random() < 0.5} if chance.random() < 0.2 else set()  # noqa: PLR2004
        gives_up_after = chance.randrange(4)
        answered: collections.Counter[str] = collections.Counter()
        began, stalled_s = time.monotonic(), self.stalled_s
        async with contextlib.aclosing(self._engine.ask(job)) as stream:
            async for answer in stream:
                answered[answer.question_id] += 1
                if gives_up and sum(answered.values()) > gives_up_after:
                    stream.cancel(gives_up, reason="given up")
                    gives_up = set()
                if leaves_after is not None and sum(answered.values()) > leaves_after:
                    self.ends["left"] += 1
                    return
                self.ends[f"question {answer.reason or 'ok'}"] += 1
                if answer.text and answer.text.startswith("{") and set(json.loads(answer.text)) != {"text", "sure"}:
                    self.wrong.append(f"job {number}: an answer that does not meet its schema")
        self.ends["done"] += 1
        if answered != collections.Counter(question.id for question in questions):
            self.wrong.append(f"job {number}: {len(questions)} questions, {sum(answered.values())} answers")
        took_s = time.monotonic() - began
        if took_s > deadline_s + _LATE_S + self.stalled_s - stalled_s:
            self.wrong.append(f"job {number}: {took_s:.1f} s for a deadline of {deadline_s:g} s")

    def _question(self, number: int) -> Question:
        if self._random.random() < 0.05:  # noqa: PLR2004
            most = self._random.randrange(1, 60)
            return Question(f"{number}", QuestionKind.GENERATE, "Describe the image.", most, json_schema=_SCHEMA)
        if self._random.random() < 0.2:  # noqa: PLR2004
            return Question(f"{number}", QuestionKind.GENERATE, "Describe the image.", self._random.randrange(30))
        topic = self._random.choice(("weapons", "blood", "alcohol", "是否有武器", "x" * self._random.randrange(3000)))
        return Question(f"{number}", QuestionKind.YES_NO, f"Does this image show {topic}?")

    async def _kill(self) -> None:
        while True:
            await asyncio.sleep(self._random.expovariate(1 / _KILL_EVERY_S))
            if self._engine.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._engine.pid, self._random.choice((signal.SIGKILL, signal.SIGABRT, signal.SIGSTOP)))
                self.ends["killed"] += 1

    def _weigh(self) -> None:
        pid = self._engine.pid
        if pid is None:
            return
        self._lived[pid] += 1
        try:
            held = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            return
        if self._lived[pid] >= _SETTLED_AFTER_JOBS:
            self.held[pid] = (self.held.get(pid, (held, held))[0], held)


async def main(jobs: int, seed: int) -> int:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    files = resolve(load_catalogue(ROOT / "models" / "catalogue.yaml"), "demo", models_dir=ROOT / "models")
    engine = LocalEngine(EngineConfig(files=files, runtime=Runtime(context_tokens=2048), hang_grace_s=1.0))
    await engine.start()
    await engine.wait_ready(60)
    soak = Soak(engine, jobs, seed)
    began = time.monotonic()
    try:
        await soak.run()
        if engine.info.queue_depth:
            soak.wrong.append(f"{engine.info.queue_depth} jobs are left in the queue")
    finally:
        await engine.aclose()
    grown = max((after - before for before, after in soak.held.values()), default=0)
    if grown > _GROWTH:
        soak.wrong.append(f"a process grew by {grown / 2**20:.0f} MiB")
    print(f"{jobs} jobs in {time.monotonic() - began:.0f} s, {engine.info.restarts} restarts, {dict(soak.ends)}")
    print(f"growth of one process after it settled: at most {grown / 2**20:.1f} MiB")
    print(f"the event loop was kept from its turns for {soak.stalled_s:.0f} s in all")
    for wrong in soak.wrong[:20]:
        print(f"WRONG: {wrong}")
    return 1 if soak.wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine.soak", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    sys.exit(asyncio.run(main(given.jobs, given.seed)))
