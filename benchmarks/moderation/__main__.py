"""What is not asked again, and what is not asked to the end: `python -m benchmarks.moderation`.

Every round takes one picture that nobody saw before and sends it four times: to a pipeline that remembers nothing, to
one that remembers, to that one again, and to one that stops early. So a machine that is busy is busy for all. Ends with
an error where the outcome, or what came of any rule, is not the same for all four.
"""

import argparse
import asyncio
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
from app.moderation.pipeline import Moderator
from app.moderation.upload import Upload
from benchmarks.engine.report import facts
from benchmarks.moderation.pictures import pictures
from benchmarks.moderation.rooms import Rooms, rooms

_FIRST, _ANEW, _AGAIN, _STOPPING = "nothing remembered", "first time", "again", "stops early"


@dataclass(slots=True)
class Times:
    """Milliseconds of each decision: all of it, and its longest wait for model, text or codes."""

    total_ms: list[float] = field(default_factory=list)
    asking_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    skipped: int = 0


async def one(rooms_: Rooms, moderator: Moderator, data: bytes, times: Times) -> Decision:
    with rooms_.spending() as spent:
        began = time.perf_counter()
        decision = await moderator.moderate(Upload(data, UploadContext(caption="a picture"), "key_benchmark"))
        times.total_ms.append((time.perf_counter() - began) * 1000)
    times.asking_ms.append(max(decision.timing_ms.get(stage, 0.0) for stage in ("ocr", "codes", "model")))
    times.cpu_ms.append(spent.cpu_s * 1000)
    times.skipped += decision.findings.scene.reason == "decided"
    return decision


async def run(given: argparse.Namespace) -> None:
    found = {name: Times() for name in (_FIRST, _ANEW, _AGAIN, _STOPPING)}
    with tempfile.TemporaryDirectory() as folder:
        async with rooms(Path(folder), given.threads) as built:
            asked = {
                _FIRST: built.plain,
                _ANEW: built.remembering,
                _AGAIN: built.remembering,
                _STOPPING: built.stopping,
            }
            for number, data in enumerate(pictures(given.rounds + 1)):
                times = {name: Times() for name in found} if number == 0 else found  # the first warms up
                outcomes = {name: await one(built, moderator, data, times[name]) for name, moderator in asked.items()}
                _check(outcomes)
                print(f"  round {number} of {given.rounds}", flush=True)
    print(f"\n{facts({'model': 'the demonstration pair, all rules of policies.yaml', 'rounds': given.rounds})}\n")
    print(table(found))


def _check(decisions: dict[str, Decision]) -> None:
    plain = decisions[_FIRST]
    assert not plain.degraded, plain.degraded_by
    assert set(decisions[_AGAIN].findings.recalled) >= {"ocr", "codes", "scene"}
    for name, decision in decisions.items():
        assert decision.outcome is plain.outcome, name
        assert [rule.result for rule in decision.rules] == [rule.result for rule in plain.rules], name


def table(found: dict[str, Times]) -> str:
    rows = [
        "| upload | decision, p50 | p95 | quicker | model, text and codes, p50 | quicker | CPU a decision | less "
        "| descriptions skipped |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    base = found[_FIRST]
    base_total, base_asking = statistics.median(base.total_ms), statistics.median(base.asking_ms)
    for name, times in found.items():
        total, asking = statistics.median(times.total_ms), statistics.median(times.asking_ms)
        cpu, base_cpu = statistics.mean(times.cpu_ms), statistics.mean(base.cpu_ms)
        rows.append(
            f"| {name} | {total:.1f} ms | {_p95(times.total_ms):.1f} ms | {base_total / total:.1f}× "
            f"| {asking:.1f} ms | {base_asking / max(asking, 0.1):.0f}× "
            f"| {cpu:.0f} ms | {base_cpu / max(cpu, 1.0):.1f}× | {times.skipped} |"
        )
    return "\n".join(rows)


def _p95(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, round(0.95 * (len(values) - 1)))]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.moderation", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=min(8, os.cpu_count() or 1))
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
