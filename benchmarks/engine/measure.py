"""Interleaved measuring: in every round each contender has its turn, so that a busy machine is busy for all."""

import asyncio
import os
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from benchmarks.engine import gpu
from benchmarks.engine.contenders import Asked, Contender


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table: a contender with so many uploads at once."""

    contender: Contender
    concurrency: int
    asked: str
    questions: tuple[Asked, ...]
    pictures: int

    @property
    def name(self) -> str:
        return f"{self.contender.name}, {self.concurrency} at once" if self.concurrency > 1 else self.contender.name


@dataclass(slots=True)
class Times:
    """Seconds of each picture, and of each round with its number of pictures and tokens."""

    latencies_s: list[float] = field(default_factory=list)
    rounds_s: list[float] = field(default_factory=list)
    pictures: int = 0
    tokens: int = 0
    cpu_s: float = 0.0
    peak_bytes: int = 0
    #: None where nothing tells.
    gpu_bytes: int | None = None

    def add(self, other: "Times") -> None:
        self.latencies_s += other.latencies_s
        self.rounds_s += other.rounds_s
        self.pictures += other.pictures
        self.tokens += other.tokens
        self.cpu_s += other.cpu_s
        self.peak_bytes = max(self.peak_bytes, other.peak_bytes)
        if other.gpu_bytes is not None:
            self.gpu_bytes = max(self.gpu_bytes or 0, other.gpu_bytes)

    @property
    def cpu_s_per_picture(self) -> float:
        return self.cpu_s / self.pictures

    @property
    def p50_s(self) -> float:
        return statistics.median(self.latencies_s)

    @property
    def p95_s(self) -> float:
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]

    @property
    def pictures_per_s(self) -> float:
        return self.pictures / sum(self.rounds_s)

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / sum(self.rounds_s)


class Kept(Protocol):
    """Rounds that were measured before."""

    def get(self, case: Case, number: int) -> Times | None: ...

    def put(self, case: Case, number: int, times: Times) -> None: ...


async def measure(case: Case, offset: int, available: int) -> Times:
    """One round, from the picture at `offset` on."""
    times = Times()
    at_once = asyncio.Semaphore(case.concurrency)

    async def one(number: int) -> None:
        async with at_once:
            began = time.perf_counter()
            tokens = await case.contender.ask((offset + number) % available, case.questions)
            times.tokens += tokens
            times.latencies_s.append(time.perf_counter() - began)

    cpu_s = spent_s(case.contender.pid)
    began = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(case.pictures)))
    times.rounds_s.append(time.perf_counter() - began)
    times.cpu_s += spent_s(case.contender.pid) - cpu_s
    times.pictures += case.pictures
    times.peak_bytes = peak_bytes(case.contender.pid)
    # After the round, not beside it: llama.cpp keeps what it took.
    times.gpu_bytes = gpu.process_bytes(case.contender.pid)
    return times


async def rounds(cases: Sequence[Case], count: int, available: int, kept: Kept, *, warm: bool = True) -> list[Times]:
    """`warm`: a first round that is not counted warms every contender up. None is shown a picture again while there are
    others: some remember what they saw."""
    found = [Times() for _ in cases]
    shown: Counter[str] = Counter()
    left = [case for case in cases if any(kept.get(case, number) is None for number in range(count))]
    for case in left if warm else ():
        await case.contender.ask(0, case.questions)
        shown[case.contender.name] = 1
    for number in range(count):
        for case, times in zip(cases, found, strict=True):
            one = kept.get(case, number)
            said = "kept"
            if one is None:
                one = await measure(case, shown[case.contender.name], available)
                kept.put(case, number, one)
                said = f"{one.rounds_s[-1]:7.2f} s, {one.cpu_s:7.2f} CPU s"
            times.add(one)
            shown[case.contender.name] += case.pictures
            print(f"  round {number + 1}  {case.asked:12} {case.name:34} {said}", flush=True)
    return found


def spent_s(pid: int) -> float:
    """Seconds of processor time that the process has used, all its threads together: what it costs whatever else the
    machine does (Linux; 0 elsewhere)."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    user, system = int(after_name[11]), int(after_name[12])
    return (user + system) / os.sysconf("SC_CLK_TCK")


def threads_cpu_s(pid: int) -> float:
    """As `spent_s` of the threads that it has now, but to the nanosecond (Linux)."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def peak_bytes(pid: int) -> int:
    """The most RAM the process ever held (Linux; 0 elsewhere)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
