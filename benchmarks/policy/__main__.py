"""How fast policies decide, load, and decide the past again: `python -m benchmarks.policy`.

Every figure is of the machine it is measured on, and says how busy that was.
"""

import argparse
import asyncio
import os
import random
import resource
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from app.domain import ActivationSource, Change, KeywordList, RulesetText, Severity, TextSource, UploadContext
from app.policy.evaluate import evaluate
from app.policy.load import build_ruleset
from app.policy.rerun import Plan, rerun
from app.policy.ruleset import Ruleset
from app.signals.keywords import AhoCorasickMatcher
from app.store import Database, SqlArchive, SqlRulesets
from benchmarks.policy.archive import LISTS, PROBES, findings, make


def policy(rules: int, *, cel: bool = False) -> Ruleset:
    """Rules of three leaves each; with `cel`, one of the three needs the CEL library."""
    text = yaml.safe_dump(
        {
            "version": 1,
            "categories": {"goods": {"title": {"en": "Goods"}, "severity": "high"}},
            "thresholds": {"high": 0.9},
            "probes": {name: {"category": "goods", "questions": {"en": f"{name}?"}} for name in PROBES},
            "rules": [_rule(number, cel=cel) for number in range(rules)],
        }
    )
    lists = [
        KeywordList(
            name=name,
            category="goods",
            severity=Severity.HIGH,
            languages=("en",),
            sources=frozenset({TextSource.OCR, TextSource.CAPTION}),
            binding=False,
            terms=("x y",),
            digest=f"sha256:{name}",
        )
        for name in LISTS
    ]
    return build_ruleset(text.encode(), lists)


def _rule(number: int, *, cel: bool) -> dict[str, Any]:
    probe, other = PROBES[number % len(PROBES)], PROBES[(number + 1) % len(PROBES)]
    third = f"size(context.surface) > {number % 5}" if cel else f"image.width > {100 + number}"
    return {
        "id": f"r{number}",
        "category": "goods",
        "when": {
            "any": [
                f"probes.{probe}.p >= {0.6 + number / 1500:.5f}",
                {"all": [f"keywords.{LISTS[number % 2]}.count > {number % 3}", third]},
            ]
        },
        "then": "reject" if number % 3 else "review",
        "reason": {"en": f"{probe} {other}"},
    }


async def backtest(decisions: int, ruleset: Ruleset, path: Path, processes: int) -> float:
    database = Database(f"sqlite:///{path}")
    text = RulesetText(ruleset.digest, ruleset.policy_digest, ruleset.source, ruleset.lists)
    change = Change(ActivationSource.API, "benchmark", datetime.now(UTC))
    await SqlRulesets(database).activate(text, change, after_seq=None, events=[])
    plan = Plan(ruleset, datetime.now(UTC) - timedelta(days=40), AhoCorasickMatcher, processes)
    began = time.perf_counter()
    report = await rerun(plan, SqlArchive(database))
    wall_s = time.perf_counter() - began
    await database.aclose()
    assert report.decisions == decisions, report
    print(f"  {report.flips} flips, {report.not_replayable} not replayable")
    return wall_s


def decide(ruleset: Ruleset) -> float:
    """CPU seconds of one evaluation with its full trace: the best of several rounds."""
    found = [findings(random.Random(seed)) for seed in range(50)]  # noqa: S311 - pictures that never were
    context = UploadContext(surface="chat")
    rounds = []
    for _ in range(7):
        began = time.process_time()
        for one in found:
            evaluate(ruleset, one, context, model_digest=None)
        rounds.append((time.process_time() - began) / len(found))
    return min(rounds)


def _cpu_s() -> float:
    """Of this process and those that it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _peak_mib() -> tuple[float, float]:
    """Of this process, and of the largest of those that it waited for."""
    own, others = (resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own, others


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=100_000)
    parser.add_argument("--rules", type=int, default=50)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    for rules in (50, 500):
        began = time.process_time()
        ruleset = policy(rules)
        loaded_s = time.process_time() - began
        print(f"{rules} rules of three leaves: load {loaded_s:.3f} CPU-s, decide {decide(ruleset) * 1e3:.2f} CPU-ms")
    if not options.decisions:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "decisions.db"
        simple = policy(options.rules)
        began = time.perf_counter()
        asyncio.run(make(path, options.decisions, simple.digest))
        made_s = time.perf_counter() - began
        print(f"{options.decisions} decisions, {path.stat().st_size / 1e6:.0f} MB, made in {made_s:.0f} s")
        for name, ruleset in (
            ("simple comparisons", simple),
            ("one CEL leaf in three", policy(options.rules, cel=True)),
        ):
            before_s = _cpu_s()
            wall_s = asyncio.run(backtest(options.decisions, ruleset, path, options.processes))
            busy = os.getloadavg()[0] / (os.cpu_count() or 1)
            print(
                f"{name}: {options.rules} rules: {wall_s:.1f} s, {wall_s / options.decisions * 1e6:.0f} µs a decision;"
                f" {(_cpu_s() - before_s) / options.decisions * 1e6:.0f} CPU-µs; load {busy:.1f} a core"
            )
        own_mib, others_mib = _peak_mib()
        print(f"peak memory: {own_mib:.0f} MiB here, {others_mib:.0f} MiB in a process of the backtest")


if __name__ == "__main__":
    main()
