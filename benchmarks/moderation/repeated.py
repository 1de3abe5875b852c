"""What a picture costs that comes again: `python -m benchmarks.moderation.repeated`.

Every round takes pictures that nobody saw before, as many as are sent at once, and sends them; then it sends the same
ones again, a few times over. So a machine that is busy is busy for both. Ends with an error where a decision made again
is not the first one, or where anything was asked for it.
"""

import argparse
import asyncio
import itertools
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from app.domain import Decision, UploadContext
from app.moderation.upload import Upload
from benchmarks.engine.report import facts
from benchmarks.moderation.pictures import pictures
from benchmarks.moderation.rooms import Rooms, rooms

_EVERYTHING = {"ocr", "codes", "scene"}


@dataclass(slots=True)
class Cost:
    """Of single decisions in milliseconds, and of all together in seconds."""

    decision_ms: list[float] = field(default_factory=list)
    wall_s: float = 0.0
    cpu_s: float = 0.0

    @property
    def p50_ms(self) -> float:
        return statistics.median(self.decision_ms)

    @property
    def p95_ms(self) -> float:
        ordered = sorted(self.decision_ms)
        return ordered[round(0.95 * (len(ordered) - 1))]

    @property
    def per_s(self) -> float:
        return len(self.decision_ms) / self.wall_s

    @property
    def cpu_ms(self) -> float:
        return self.cpu_s * 1000 / len(self.decision_ms)


async def send(built: Rooms, batch: Sequence[bytes], cost: Cost) -> list[Decision]:
    """All of them at once."""

    async def one(data: bytes) -> Decision:
        began = time.perf_counter()
        decision = await built.remembering.moderate(Upload(data, UploadContext(caption="a picture"), "key_benchmark"))
        cost.decision_ms.append((time.perf_counter() - began) * 1000)
        return decision

    with built.spending() as spent:
        began = time.perf_counter()
        decisions = await asyncio.gather(*(one(data) for data in batch))
        cost.wall_s += time.perf_counter() - began
    cost.cpu_s += spent.cpu_s
    return decisions


async def rounds(built: Rooms, given: argparse.Namespace, at_once: int) -> tuple[Cost, Cost]:
    first, again = Cost(), Cost()
    # The same pictures come in every run, so those of the batches before are left out.
    fresh = itertools.islice(pictures(given.skip + given.rounds * at_once), given.skip, None)
    for _ in range(given.rounds):
        batch = list(itertools.islice(fresh, at_once))
        decided = await send(built, batch, first)
        for _ in range(given.repeats):
            for before, after in zip(decided, await send(built, batch, again), strict=True):
                check(before, after)
    return first, again


def check(before: Decision, after: Decision) -> None:
    assert not before.degraded, before.degraded_by
    assert not before.findings.recalled
    assert set(after.findings.recalled) >= _EVERYTHING
    assert (after.outcome, after.rules, after.scores) == (before.outcome, before.rules, before.scores)
    assert after.id != before.id


async def run(given: argparse.Namespace) -> None:
    found: dict[int, tuple[Cost, Cost]] = {}
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        async with rooms(Path(folder), given.threads) as built:
            given.skip = 2
            for data in pictures(given.skip):  # warms up
                for _ in range(3):
                    await send(built, [data], Cost())
            for at_once in given.at_once:
                found[at_once] = await rounds(built, given, at_once)
                given.skip += given.rounds * at_once
                print(f"  {at_once} at once: done", flush=True)
    settings = {
        "model": "the demonstration pair, all rules of policies.yaml",
        "rounds": f"{given.rounds}, each picture again {given.repeats} times",
    }
    print(f"\n{facts(settings)}\n")
    print(table(found))


def table(found: dict[int, tuple[Cost, Cost]]) -> str:
    rows = [
        "| at once | upload | decision, p50 | p95 | quicker | decisions/s | more | CPU a decision | less |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for at_once, (first, again) in found.items():
        for name, cost in (("first", first), ("again", again)):
            rows.append(
                f"| {at_once} | {name} | {cost.p50_ms:.1f} ms | {cost.p95_ms:.1f} ms "
                f"| {first.p50_ms / cost.p50_ms:.1f}× | {cost.per_s:.1f} | {cost.per_s / first.per_s:.1f}× "
                f"| {cost.cpu_ms:.1f} ms | {first.cpu_ms / cost.cpu_ms:.1f}× |"
            )
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.moderation.repeated", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5, help="how often each picture comes again")
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--threads", type=int, default=min(8, os.cpu_count() or 1))
    parser.add_argument("--folder", type=Path, help="where database and evidence lie meanwhile: the disk counts")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
