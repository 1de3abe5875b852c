"""Edits without end while uploads flow: `python -m benchmarks.policy.churn [--edits 1800] [--rounds 60]`.

First, an edit after the other through both doors, every tenth broken, under load over HTTP. Afterwards every decision
is evaluated again under the version that it pins, and every answer is looked up. Ends with code 1 when anything is lost
or otherwise than its version says. Then, how long a policy of 500 rules takes to be activated with nothing beside it,
and how long uploads take meanwhile, beside as long a time without, in turns: once where an edit changes a threshold,
and once where it changes every condition. `--edits 0` is the second part alone.
"""

import argparse
import asyncio
import io
import itertools
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.domain import Decision
from app.policy.evaluate import evaluate
from app.policy.ruleset import Ruleset
from app.policy.versions import rebuild
from app.store import Database, SqlDecisionStore, SqlRulesets
from benchmarks.policy.archive import PROBES
from benchmarks.policy.service import TOKEN, database_url, served

R = TypeVar("R")

_LIST = "---\ncategory: goods\nseverity: high\nlanguages: en\n---\nforbidden thing\n"
_UPLOADERS = 3
#: Rounds that are not counted: the first activation changes how many rules there are.
_WARM_UP = 2
#: Between windows, for what one leaves behind.
_PAUSE_S = 0.3
_SHARES = (50, 90, 99)
_BROKEN = "rules: [oops"
#: Refusals with a Retry-After: nothing was decided, and the platform is told. A machine that is busy enough earns them.
_COME_BACK = {"queue_full", "not_ready", "store_unavailable"}
_CAPTIONS = ("", "fresh bread", "a forbidden thing", "tools for the kitchen")


def policy(rules: int, threshold: float, *, shift: float = 0.0) -> str:
    """Rules of three leaves, as text: the benchmark's own time is not to be spent on writing YAML. Another `shift`
    makes two of the three another condition in every rule."""
    lines = [
        "version: 1",
        "categories: {goods: {title: {en: Goods}, severity: high}}",
        f"thresholds: {{high: {threshold:.6f}}}",
        "defaults: {signals: {scene: false}}",
        "probes:",
        *(f"  {name}: {{category: goods, questions: {{en: '{name}?'}}}}" for name in PROBES),
        "rules:",
    ]
    for number in range(rules):
        probe, other = PROBES[number % len(PROBES)], PROBES[(number + 1) % len(PROBES)]
        lines += [
            f"  - id: r{number}",
            "    category: goods",
            "    when:",
            "      any:",
            f"        - {_first(probe, number, shift)}",
            f"        - all: ['keywords.words.count > {number % 3}',"
            f" 'probes.{other}.p > {0.5 + number / 4000 + shift:.7f}']",
            f"    then: {'reject' if number % 3 else 'review'}",
            f"    reason: {{en: because of {probe}}}",
        ]
    return "\n".join([*lines, ""])


def _first(probe: str, number: int, shift: float) -> str:
    return f"probes.{probe}.p >= {0.7 + number / 4000 + shift:.7f}" if shift else f"probes.{probe}.p >= thresholds.high"


@dataclass
class Load:
    """Uploads one after the other, several at once, until `flowing` is false. What an answer says is read later: that
    would take time by which the next upload is measured."""

    client: httpx.AsyncClient
    pictures: list[bytes]
    keep: bool = True
    flowing: bool = True
    answered: int = 0
    answers: list[bytes] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    #: When each began and ended, in seconds.
    times: list[tuple[float, float]] = field(default_factory=list)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(_UPLOADERS):
                group.create_task(self._upload(number))

    async def _upload(self, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - chance, not secrecy
        while self.flowing:
            picture, caption = chance.choice(self.pictures), chance.choice(_CAPTIONS)
            began = time.perf_counter()
            answer = await self.client.post(
                "/v1/moderate", files={"file": ("a.png", picture)}, data={"caption": caption, "surface": "chat"}
            )
            self.times.append((began, time.perf_counter()))
            if answer.status_code == httpx.codes.OK:
                self.answered += 1
                if self.keep:
                    self.answers.append(answer.content)
            else:
                self.refused[answer.json()["code"]] += 1


async def churn(folder: Path, url: str, edits: int, rules: int) -> bool:
    outcomes: Counter[str] = Counter()
    path = folder / "policies.yaml"
    async with _client(url) as client:
        load = Load(client, _pictures())
        flowing = asyncio.create_task(load.run())
        began = time.perf_counter()
        for number in range(1, edits + 1):
            seen = load.answered
            text = _BROKEN if number % 10 == 0 else policy(rules, 0.3 + 0.6 * number / edits)
            if number % 2:
                outcomes[await _save(client, path, text)] += 1
            else:
                outcomes[await _put(client, text)] += 1
            _tell("edits", number, edits)
            # Each version is to decide something; a broken one must not.
            async with asyncio.timeout(60):
                while load.answered == seen:  # noqa: ASYNC110 - counted where the answers come in
                    await asyncio.sleep(0.001)
        load.flowing = False
        await flowing
    wall_s = time.perf_counter() - began
    checking = time.perf_counter()
    lost, wrong, versions = await _again(folder, load.answers)
    checked_s = time.perf_counter() - checking
    print(f"\n## {edits} edits of {rules} rules, {_UPLOADERS} uploads at once\n")
    print(f"made in {wall_s:.0f} s, and checked in {checked_s:.0f} s\n")
    print("| | |\n| --- | ---: |")
    rows = {
        "edits that were activated": outcomes["activated"],
        "broken edits, refused": outcomes["refused"],
        "uploads answered": len(load.answers),
        **{f"uploads refused: {code}": count for code, count in sorted(load.refused.items())},
        "versions that decided": versions,
        "decisions that are not in the database": lost,
        "decisions that their pinned version would not make": wrong,
    }
    for name, value in rows.items():
        print(f"| {name} | {value} |")
    told = load.refused.keys() <= _COME_BACK
    return told and not (lost or wrong or outcomes["other"] or outcomes["refused"] != edits // 10)


def _tell(what: str, done: int, of: int) -> None:
    """Some minutes pass without a word otherwise. Not on standard output, which is for the tables."""
    if done % 10 == 0 or done == of:
        sys.stderr.write(f"\r{done} of {of} {what}" + "\n" * (done == of))
        sys.stderr.flush()


async def _save(client: httpx.AsyncClient, path: Path, text: str) -> str:
    """Through the file, as an editor does; waits until the service says what became of it."""
    before = (await client.get("/v1/status")).json()["ruleset"]
    _replace(path, text)
    async with asyncio.timeout(60):
        while True:
            now = (await client.get("/v1/status")).json()["ruleset"]
            if now["seq"] != before["seq"]:
                return "activated"
            if now["failed_at"] != before["failed_at"] and text == _BROKEN:
                return "refused"
            await asyncio.sleep(0.02)


async def _put(client: httpx.AsyncClient, text: str) -> str:
    tag = (await client.get("/v1/policy")).headers["etag"]
    answer = await client.put("/v1/policy", content=text, headers={"If-Match": tag})
    if answer.status_code == httpx.codes.OK:
        return "activated"
    return "refused" if text == _BROKEN and answer.json()["code"] == "policy_invalid" else "other"


def _replace(path: Path, text: str) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


async def _again(folder: Path, answers: list[bytes]) -> tuple[int, int, int]:
    """How many are lost, how many are not what their version says, and of how many versions they are."""
    database = Database(database_url(folder))
    decisions, rulesets = SqlDecisionStore(database), SqlRulesets(database)
    versions: dict[str, Ruleset] = {}
    lost = wrong = 0
    try:
        for content in answers:
            answer, record = Decision.model_validate_json(content), None
            with suppress(Exception):
                record = await decisions.find_record(answer.id)
            if record is None or record.decision != answer:
                lost += 1
                continue
            pins = answer.pins
            if pins.ruleset not in versions:
                versions[pins.ruleset] = rebuild(await rulesets.find(pins.ruleset))
            said = evaluate(versions[pins.ruleset], record.findings, record.context, model_digest=pins.model)
            same = (said.outcome, said.degraded, said.violations, said.scores, said.rules)
            if same != (answer.outcome, answer.degraded, answer.violations, answer.scores, answer.rules):
                wrong += 1
    finally:
        await database.aclose()
    return lost, wrong, len(versions)


@dataclass(frozen=True)
class Window:
    began: float
    ended: float

    def times(self, uploads: list[tuple[float, float]]) -> list[float]:
        """How long those took that were on their way at some time within it."""
        return [ended - began for began, ended in uploads if began < self.ended and ended > self.began]


async def activations(_: Path, url: str, *, rounds: int, alone: int, rules: int, every_condition: bool) -> None:
    """Some with nothing beside them; then pairs of windows, one with an activation and one as long without, either
    first."""
    chance = random.Random(rounds)  # noqa: S311 - chance, not secrecy
    windows: dict[bool, list[Window]] = {True: [], False: []}
    async with _client(url) as client:
        texts = (
            policy(rules, 0.5 + number / 10_000, shift=(number + 1) / 1e6 if every_condition else 0.0)
            for number in itertools.count()
        )
        alone_s = [await _activated_s(client, next(texts)) for _ in range(_WARM_UP + alone)][_WARM_UP:]
        load = Load(client, _pictures(), keep=False)
        flowing = asyncio.create_task(load.run())
        took_s = 0.5
        for number in range(_WARM_UP + rounds):
            text = next(texts)
            for active in chance.sample([True, False], 2):
                began = time.perf_counter()
                if active:
                    took_s = await _activated_s(client, text)
                else:
                    await asyncio.sleep(took_s)
                if number >= _WARM_UP:
                    windows[active].append(Window(began, time.perf_counter()))
                    _tell("windows", sum(map(len, windows.values())), 2 * rounds)
                await asyncio.sleep(_PAUSE_S)
        load.flowing = False
        await flowing
    pairs = [
        (with_one.times(load.times), without.times(load.times))
        for with_one, without in zip(windows[True], windows[False], strict=True)
    ]
    took = sorted(window.ended - window.began for window in windows[True])
    what = "every condition" if every_condition else "a threshold"
    print(f"\n## {rounds} activations of {rules} rules that change {what}, {_UPLOADERS} uploads at once\n")
    for where, times_s in (("alone", sorted(alone_s)), ("beside the uploads", took)):
        if times_s:
            print(
                f"an activation took {times_s[len(times_s) // 2]:.2f} s {where} (median), {times_s[-1]:.2f} s at most\n"
            )
    _print_times(pairs)
    if load.refused:
        print(f"\nrefused: {dict(load.refused)}")


def _print_times(pairs: list[tuple[list[float], list[float]]]) -> None:
    print("| uploads | number | p50 | p90 | p99 |\n| --- | ---: | ---: | ---: | ---: |")
    for at, name in enumerate(("meanwhile", "control")):
        times = np.concatenate([pair[at] for pair in pairs])
        cells = " | ".join(f"{value * 1e3:.0f} ms" for value in np.percentile(times, _SHARES))
        print(f"| {name} | {len(times)} | {cells} |")
    rng = np.random.default_rng(0)
    drawn = [_ratios([pairs[at] for at in rng.integers(len(pairs), size=len(pairs))]) for _ in range(1000)]
    ends = zip(_ratios(pairs), *np.percentile(drawn, [2.5, 97.5], axis=0), strict=True)
    print(f"| ratio (95% of resampled rounds) | | {' | '.join(f'{a:.2f}× ({b:.2f}–{c:.2f})' for a, b, c in ends)} |")


def _ratios(pairs: list[tuple[list[float], list[float]]]) -> NDArray[np.float64]:
    meanwhile, control = (np.concatenate([pair[at] for pair in pairs]) for at in (0, 1))
    ratios: NDArray[np.float64] = np.percentile(meanwhile, _SHARES) / np.percentile(control, _SHARES)
    return ratios


async def _activated_s(client: httpx.AsyncClient, text: str) -> float:
    """How long it takes until the policy is in force."""
    began = time.perf_counter()
    answer = await client.put("/v1/policy", content=text, headers={"If-Match": "*"})
    answer.raise_for_status()
    return time.perf_counter() - began


def _client(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=120)


def _pictures() -> list[bytes]:
    """Small ones: what decoding costs is another matter."""
    made = []
    for red, green in itertools.product(range(0, 256, 64), repeat=2):
        buffer = io.BytesIO()
        Image.new("RGB", (96, 64), (red, green, 90)).save(buffer, "PNG")
        made.append(buffer.getvalue())
    return made


def _run(model_s: float, rules: int, work: Callable[[Path, str], Coroutine[Any, Any, R]]) -> R:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "rules").mkdir()
        (folder / "rules" / "words.txt").write_text(_LIST)
        (folder / "policies.yaml").write_text(policy(rules, 0.2))
        with served(folder, model_s=model_s) as url:
            return asyncio.run(work(folder, url))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=1800)
    parser.add_argument("--rules", type=int, default=20, help="of the policies that are edited without end")
    parser.add_argument("--rounds", type=int, default=60, help="activations of the large policy, of each kind")
    parser.add_argument("--alone", type=int, default=20, help="activations of each kind with nothing beside them")
    parser.add_argument("--large", type=int, default=500, help="rules of the large policy")
    parser.add_argument("--model-s", type=float, default=0.1, help="what the scripted model takes for a picture")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0] / (os.cpu_count() or 1):.1f} a core")
    sound = True
    if options.edits:
        sound = _run(0.0, options.rules, lambda folder, url: churn(folder, url, options.edits, options.rules))
    if options.rounds:
        for every in (False, True):
            work = partial(
                activations, rounds=options.rounds, alone=options.alone, rules=options.large, every_condition=every
            )
            _run(options.model_s, options.large, work)
    sys.exit(0 if sound else 1)


if __name__ == "__main__":
    main()
