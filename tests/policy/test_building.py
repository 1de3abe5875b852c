"""Policies are checked in a process that can be killed, and put together here out of what is new in them."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, TypeVarTuple, Unpack

import psutil
import pytest
import yaml

from app.domain import ActivationSource
from app.errors import PolicyInvalid, PolicyTestsFailed, WorkerCrashed, WorkerTimeout
from app.media_pool import MediaPool
from app.policy.building import Builder
from app.policy.candidate import Candidate
from app.policy.checking import get_ready
from app.policy.live import LiveRuleset
from app.policy.load import build_ruleset
from app.policy.memory import MemoryRulesets
from tests.policy.build import LISTS, document, findings, judge, keyword_list, rule
from tests.policy.test_hostile import BOMBS
from tests.policy.tight import get_ready_with_little_memory

Args = TypeVarTuple("Args")
Result = TypeVar("Result")


@pytest.fixture(scope="module")
async def pool() -> AsyncIterator[MediaPool]:
    made = MediaPool(1, memory_mb=1024, warm_up=[get_ready])
    await made.start()
    yield made
    await made.aclose()


def policy(*, high: float = 0.9, rules: int = 3, changed: int | None = None) -> bytes:
    made = [
        rule(f"r{at}", {"any": ["probes.a.p > thresholds.high", f"image.width > {at + (at == changed)}"]})
        for at in range(rules)
    ]
    return yaml.safe_dump(document(made, thresholds={"high": high})).encode()


def save(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def candidate(data: bytes) -> Candidate:
    return Candidate(data, LISTS)


class Deadly:
    """Kills the process of the first `deaths` calls."""

    def __init__(self, pool: MediaPool, deaths: int) -> None:
        self._pool = pool
        self.deaths = deaths

    async def run(self, function: Callable[[Unpack[Args]], Result], *args: *Args, timeout_s: float) -> Result:
        if self.deaths:
            self.deaths -= 1
            await self._pool.run(os._exit, 3, timeout_s=timeout_s)
        return await self._pool.run(function, *args, timeout_s=timeout_s)


async def test_is_what_would_be_built_here(pool: MediaPool) -> None:
    made = (await Builder(pool).build(candidate(policy()))).ruleset
    expected = build_ruleset(policy(), LISTS)
    assert made == expected
    assert judge(made, findings(a=0.95)) == judge(expected, findings(a=0.95))


async def test_what_is_the_same_is_not_made_again(pool: MediaPool) -> None:
    builder = Builder(pool)
    first = (await builder.build(candidate(policy()))).ruleset
    second = (await builder.build(candidate(policy(high=0.8)))).ruleset
    third = (await builder.build(candidate(policy(high=0.8, changed=1)))).ruleset
    assert second.program.thresholds == {"thresholds.high": 0.8}
    assert all(one is same for one, same in zip(first.program.rules, second.program.rules, strict=True))
    kept = [one is same for one, same in zip(second.program.rules, third.program.rules, strict=True)]
    assert kept == [True, False, True]


async def test_a_threshold_of_another_type_changes_what_its_conditions_are(pool: MediaPool) -> None:
    builder = Builder(pool)
    for high in (0.5, 0, 0.0):
        data = policy(high=high)
        assert judge((await builder.build(candidate(data))).ruleset, findings(a=0.7)) == judge(
            build_ruleset(data, LISTS), findings(a=0.7)
        )


async def test_lists_come_back_with_their_terms(pool: MediaPool) -> None:
    words = keyword_list("words", terms=("one", "two"), allow=("three",))
    made = (await Builder(pool).build(Candidate(policy(), (*LISTS, words)))).ruleset
    assert words in made.lists
    assert {one.name: one.terms for one in made.needs.lists}["words"] == ("one", "two")


async def test_a_list_of_no_use_is_replaced_by_its_last_good_version(pool: MediaPool) -> None:
    good = keyword_list("banned", digest="sha256:good", terms=("good",))
    bad = keyword_list("banned", digest="sha256:bad", category="nowhere")
    made = (await Builder(pool).build(Candidate(policy(), (bad,), last_good=(good,)))).ruleset
    assert made.lists == (good,)
    assert [problem.file for problem in made.list_problems] == ["rules/banned.txt"]


@pytest.mark.parametrize("name", BOMBS)
async def test_hostile_policies_are_refused_in_time_and_the_process_lives(pool: MediaPool, name: str) -> None:
    text, said = BOMBS[name]
    [pid] = pool.pids
    began_s = _processor_s(pid)
    with pytest.raises(PolicyInvalid) as invalid:
        await Builder(pool, timeout_s=300).build(candidate(text.encode()))
    assert said in invalid.value.detail
    assert pool.pids == [pid]
    assert _processor_s(pid) - began_s < 15


def _processor_s(pid: int) -> float:
    """Unlike the time that passes, this says nothing of what else the machine does."""
    spent = psutil.Process(pid).cpu_times()
    return float(spent.user + spent.system)


async def test_a_policy_that_takes_too_long_is_refused(pool: MediaPool) -> None:
    builder = Builder(pool)
    await builder.check(candidate(policy()))
    slow = policy(rules=2000)
    with pytest.raises(PolicyInvalid, match="checking this policy takes longer than 0 s"):
        await Builder(pool, timeout_s=0.03).build(candidate(slow))
    assert (await builder.build(candidate(policy()))).ruleset == build_ruleset(policy(), LISTS)


async def test_what_was_in_force_is_never_unsound_for_being_slow(pool: MediaPool) -> None:
    """A node that is busy would go on under an older policy for good."""
    slow = replace(candidate(policy(rules=2000)), kept=True)
    with pytest.raises(WorkerTimeout, match="checking this policy takes longer than 0 s"):
        await Builder(pool, timeout_s=0.03).build(slow)


async def test_a_policy_that_takes_too_much_memory_costs_the_process_alone() -> None:
    small = MediaPool(1, memory_mb=1024, warm_up=[get_ready_with_little_memory])
    await small.start()
    try:
        await Builder(small).build(candidate(policy()))
        with pytest.raises(WorkerCrashed, match=r"the policy could not be checked: .* ran out of the memory"):
            await Builder(small).build(candidate(policy(rules=2000)))
    finally:
        await small.aclose()


async def test_a_process_that_dies_is_forgiven_once(pool: MediaPool) -> None:
    made = await Builder(Deadly(pool, deaths=1)).build(candidate(policy()))
    assert made.ruleset == build_ruleset(policy(), LISTS)
    with pytest.raises(WorkerCrashed, match="the policy could not be checked"):
        await Builder(Deadly(pool, deaths=2)).build(candidate(policy()))


async def test_who_waits_in_vain_for_others_is_told_so(pool: MediaPool) -> None:
    others = asyncio.create_task(pool.run(time.sleep, 1.0, timeout_s=30))
    await asyncio.sleep(0.1)
    with pytest.raises(WorkerTimeout, match="other policies are being checked"):
        await Builder(pool, timeout_s=0.1).build(candidate(policy()))
    await others


async def test_time_spent_waiting_for_others_is_not_held_against_a_policy(pool: MediaPool) -> None:
    slow = candidate(policy(rules=2000))
    await Builder(pool).check(candidate(policy()))
    others = asyncio.create_task(pool.run(time.sleep, 0.5, timeout_s=30))
    await asyncio.sleep(0.1)
    with pytest.raises(WorkerTimeout, match="other policies are being checked"):
        await Builder(pool, timeout_s=0.43).build(slow)
    await others


class TestLive:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        (tmp_path / "rules").mkdir()
        (tmp_path / "p.yaml").write_bytes(policy())
        return tmp_path / "p.yaml"

    async def test_every_door_leads_through_the_process(self, pool: MediaPool, path: Path) -> None:
        store = MemoryRulesets()
        one, other = (LiveRuleset(path, path.parent / "rules", store=store, workers=pool) for _ in range(2))
        await one.start()
        await other.start()
        first = one.current
        save(path, policy(high=0.8))
        assert await one.reload()
        await one.put(policy(high=0.7), expected=None, author="key", why=None)
        assert await other.follow()
        assert other.current.digest == one.current.digest
        await other.restore(first.digest, author="key", why=None)
        assert await one.follow()
        assert one.current.digest == first.digest
        assert [entry.change.source for entry in await one.versions(limit=9)][:2] == [
            ActivationSource.ROLLBACK,
            ActivationSource.API,
        ]
        with pytest.raises(PolicyInvalid):
            await one.check(b"rules: [oops")
        await one.check(policy(high=0.1))
        assert one.current.digest == first.digest

    async def test_policy_tests_are_run_there(self, pool: MediaPool, path: Path) -> None:
        live = LiveRuleset(path, path.parent / "rules", store=MemoryRulesets(), workers=pool)
        await live.start()
        case = {"name": "high", "given": {"probes.a.p": 0.85, "image.width": 0}, "expect": "pass"}
        path.with_name("p.test.yaml").write_text(yaml.safe_dump({"cases": [case]}))
        with pytest.raises(PolicyTestsFailed):
            await live.put(policy(high=0.8), expected=None, author="key", why=None)
        forced = (await live.put(policy(high=0.8), expected=None, author="key", why=None, force=True)).activation
        assert forced.change.forced
        save(path, policy(high=0.7))
        assert not await live.reload()
        assert "should be pass" in live.status.problems[0].message

    async def test_an_edit_that_could_not_be_checked_is_tried_again(self, pool: MediaPool, path: Path) -> None:
        workers = Deadly(pool, deaths=0)
        live = LiveRuleset(path, path.parent / "rules", store=MemoryRulesets(), workers=workers)
        await live.start()
        before = live.current
        workers.deaths = 2
        save(path, policy(high=0.8))
        assert not await live.reload()
        assert live.current is before
        assert "the new content of the files could not be checked" in live.status.problems[0].message
        assert await live.reload()
        assert live.status.problems == ()
        assert live.current.policy.thresholds["high"] == 0.8

    async def test_an_activation_that_could_not_be_checked_is_said_and_followed_later(
        self, pool: MediaPool, path: Path
    ) -> None:
        store, workers = MemoryRulesets(), Deadly(pool, deaths=0)
        one, other = (LiveRuleset(path, path.parent / "rules", store=store, workers=workers) for _ in range(2))
        await one.start()
        await other.start()
        await one.put(policy(high=0.8), expected=None, author="key", why=None)
        workers.deaths = 2
        with pytest.raises(WorkerCrashed):
            await other.follow()
        assert "the policy could not be checked" in other.status.problems[0].message
        assert await other.follow()
        assert (other.current.digest, other.status.problems) == (one.current.digest, ())


async def test_a_list_file_that_did_not_change_is_not_parsed_again(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    for name in ("one", "two"):
        (rules / f"{name}.txt").write_text(f"---\ncategory: goods\nseverity: high\nlanguages: en\n---\n{name}\n")
    (tmp_path / "p.yaml").write_bytes(policy())
    live = LiveRuleset(tmp_path / "p.yaml", rules, store=MemoryRulesets())
    await live.start()
    first = {one.name: one for one in live.current.lists}
    (rules / "two.txt").write_text((rules / "two.txt").read_text() + "more\n")
    assert await live.reload()
    second = {one.name: one for one in live.current.lists}
    assert second["one"].terms is first["one"].terms
    assert second["two"].terms == ("two", "more")
    assert replace(second["two"], terms=(), digest="") == replace(first["two"], terms=(), digest="")
