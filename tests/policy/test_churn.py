"""Edits without end, every tenth broken, while uploads are decided: each decision is what its pinned version says."""

import asyncio
from pathlib import Path

import yaml

from app.domain import Evaluation, Findings, UploadContext
from app.policy.evaluate import evaluate
from app.policy.live import LiveRuleset
from app.policy.memory import MemoryRulesets
from app.policy.versions import rebuild
from tests.policy.build import document, findings, rule

_EDITS = 60
_BROKEN = "rules: [oops"


def policy(number: int) -> str:
    rules = [rule("r1", "probes.a.p > thresholds.high"), rule("r2", "probes.b.p > thresholds.high", "review")]
    return yaml.safe_dump(document(rules, thresholds={"high": round(0.2 + number / 100, 2)}))


async def test_every_decision_is_what_its_version_says(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    path = tmp_path / "p.yaml"
    path.write_text(policy(0))
    store = MemoryRulesets()
    live = LiveRuleset(path, tmp_path / "rules", store=store)
    await live.start()
    made: list[tuple[str, Findings, Evaluation]] = []
    editing = True

    async def decide() -> None:
        number = 0
        while editing:
            ruleset = live.current  # an upload keeps what it began with
            found = findings(a=(number % 10) / 10, b=(number % 7) / 7)
            await asyncio.sleep(0.002)  # leaves the interpreter to the thread that loads the edit
            made.append((ruleset.digest, found, evaluate(ruleset, found, UploadContext(), model_digest=None)))
            number += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(decide())
        for number in range(1, _EDITS + 1):
            before = live.current.digest
            path.write_text(_BROKEN if number % 10 == 0 else policy(number))
            assert await live.reload() is (number % 10 != 0)
            assert (live.current.digest == before) is (number % 10 == 0)
            assert bool(live.status.problems) is (number % 10 == 0)
        editing = False

    versions = {digest: rebuild(await store.find(digest)) for digest in {digest for digest, _, _ in made}}
    assert len(versions) > _EDITS / 2
    for digest, found, evaluation in made:
        assert evaluate(versions[digest], found, UploadContext(), model_digest=None) == evaluation
