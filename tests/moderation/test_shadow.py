"""Comparisons beside decisions: nothing of it reaches an upload, nothing is guessed, everything is bounded."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY

from app.domain import (
    Answer,
    Backdrop,
    Comparison,
    DecisionRecord,
    EngineJob,
    Findings,
    Frame,
    Image,
    KeywordFinding,
    KeywordList,
    Mode,
    Outcome,
    Picture,
    Priority,
    Question,
    TextFinding,
    TextSource,
    Tried,
    UploadContext,
    new_id,
)
from app.engine.fake import FakeEngine, yes_no
from app.errors import NotReady, StoreUnavailable
from app.moderation import shadow as module
from app.moderation.outline import Outline
from app.moderation.shadow import ShadowLimits, ShadowRunner
from app.policy.ruleset import Ruleset
from app.policy.shadow_memory import MemoryShadow
from app.signals.keywords import AhoCorasickMatcher
from app.signals.probes import Probes
from tests.policy.build import findings, judge, keyword_list, rule, ruleset
from tests.store import samples

LIVE = ruleset(rule("r1", "probes.a.p > thresholds.high"))
TRYING = ruleset(rule("r1", "probes.a.p > thresholds.high"), rule("s1", "probes.a.p > 0.4", mode="shadow"))
SHADOW = ruleset(rule("r1", "probes.a.p > 0.5", "review"))
NEWER = ruleset(rule("r1", "probes.a.p > 0.5", "review"), rule("r2", "probes.b.p > 0.5"))
IMAGE = replace(samples.image(), frames=(Frame(0, 0, Backdrop.WHITE, 1.0, Picture(8, 8, bytes(8 * 8 * 3))),))


async def decoded_again() -> Image:
    raise AssertionError("a picture with pixels was decoded again")


class Store(MemoryShadow):
    fault: Exception | None = None
    transactions = 0

    async def record(self, comparisons: Sequence[Comparison]) -> None:
        if self.fault is not None:
            raise self.fault
        self.transactions += 1
        await super().record(comparisons)


def record(found: Findings, live: Ruleset = LIVE) -> DecisionRecord:
    evaluation = judge(live, found)
    lists = {one.name: one.digest for one in live.lists}
    made = samples.decision(outcome=evaluation.outcome)
    engine = FakeEngine().info
    files = {"model": engine.model_digest, "projector": engine.projector_digest}
    pins = made.pins.model_copy(update={"lists": lists, **files})
    decision = made.model_copy(update={"id": new_id("dec"), "pins": pins})
    return DecisionRecord(decision, found, UploadContext(), key_id="key", media_type="image/png")


def runner(
    store: Store,
    policy: Ruleset | None = SHADOW,
    *,
    engine: FakeEngine | None = None,
    sample: float = 0.0,
    matcher: AhoCorasickMatcher | None = None,
) -> ShadowRunner:
    return ShadowRunner(
        policy=lambda: policy,
        store=store,
        matcher=matcher or AhoCorasickMatcher(),
        probes=Probes(),
        engine=engine or FakeEngine(),
        limits=ShadowLimits(sample=sample, engine_jobs=4),
        gather_s=0.0,
    )


@asynccontextmanager
async def running(shadow: ShadowRunner) -> AsyncIterator[None]:
    task = asyncio.create_task(shadow.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.005)


def left(why: str) -> float:
    return REGISTRY.get_sample_value("portcullis_shadow_left_total", {"why": why}) or 0.0


async def test_each_decision_is_compared_once_and_recorded() -> None:
    store = Store()
    shadow = runner(store)
    records = [record(findings(a=number / 100)) for number in range(100)]
    async with running(shadow):
        for one in records:
            shadow.offer(one, LIVE, IMAGE, pixels=decoded_again)
        await until(lambda: len(store.recorded) == 100)
    for number, one in enumerate(records):
        said = store.recorded[one.decision.id, Tried.POLICY]
        assert (said.before, said.digest) == (one.decision.outcome, SHADOW.policy_digest)
        assert said.after is judge(SHADOW, findings(a=number / 100)).outcome
    assert store.transactions == 1, "what is there is recorded together"


async def test_shadow_rules_and_a_shadow_policy_are_compared_side_by_side() -> None:
    store = Store()
    shadow = runner(store)
    for a in (0.1, 0.45, 0.95):
        shadow.offer(record(findings(a=a), TRYING), TRYING, IMAGE, pixels=decoded_again)
    await shadow.drain()
    rules = [one for (_, tried), one in store.recorded.items() if tried is Tried.RULES]
    assert [(one.before, one.after, one.fired) for one in rules] == [
        (Outcome.PASS, Outcome.PASS, ()),
        (Outcome.PASS, Outcome.REJECT, ("s1",)),
        (Outcome.REJECT, Outcome.REJECT, ("s1",)),
    ]
    assert len(store.recorded) == 6
    assert all(one.rule.mode is Mode.LIVE for one in LIVE.program.rules)


async def test_without_anything_to_try_nothing_is_done() -> None:
    store = Store()
    shadow = runner(store, None)
    shadow.offer(record(findings()), LIVE, IMAGE, pixels=decoded_again)
    await shadow.drain()
    assert (store.recorded, store.transactions) == ({}, 1)


async def test_a_new_probe_is_asked_of_the_sample_alone_after_all_uploads() -> None:
    def script(job: EngineJob, question: Question) -> Answer:
        assert job.priority is Priority.BULK
        assert [one.id for one in job.questions] == ["probes/b/en"]
        return yes_no(question, 0.9)

    engine, store = FakeEngine(script), Store()
    shadow = runner(store, NEWER, engine=engine, sample=0.3)
    records = [record(findings(a=0.1)) for _ in range(60)]
    async with running(shadow):
        for number, one in enumerate(records):
            shadow.offer(one, LIVE, IMAGE, pixels=decoded_again)
            await until(lambda: len(store.recorded) == number + 1)  # noqa: B023 - awaited here
    asked = {said.decision_id for said in store.recorded.values() if said.whole}
    assert 0 < len(asked) == len(engine.jobs) < 60
    for said in store.recorded.values():
        if said.decision_id in asked:
            assert (said.after, said.rules) == (Outcome.REJECT, ("r2",))
        else:
            assert (said.after, said.missing) == (None, ("probes.b.p",))
    again = Store()
    other_node = runner(again, NEWER, engine=engine, sample=0.3)
    async with running(other_node):
        for number, one in enumerate(records):
            other_node.offer(one, LIVE, IMAGE, pixels=decoded_again)
            await until(lambda: len(again.recorded) == number + 1)  # noqa: B023 - awaited here
    assert {said.decision_id for said in again.recorded.values() if said.whole} == asked


@pytest.mark.parametrize("sample", [0.0, 1.0])
async def test_the_sample_may_be_none_or_all(sample: float) -> None:
    engine, store = FakeEngine(), Store()
    shadow = runner(store, NEWER, engine=engine, sample=sample)
    async with running(shadow):
        for number in range(1, 6):
            shadow.offer(record(findings(a=0.1)), LIVE, IMAGE, pixels=decoded_again)
            await until(lambda: len(store.recorded) == number)  # noqa: B023 - awaited here
    assert len(engine.jobs) == sample * 5


async def test_a_busy_model_is_not_asked() -> None:
    engine, store, before = FakeEngine(), Store(), left("not_asked")
    engine.info = replace(engine.info, queue_depth=4)
    shadow = runner(store, NEWER, engine=engine, sample=1.0)
    shadow.offer(record(findings(a=0.1)), LIVE, IMAGE, pixels=decoded_again)
    await shadow.drain()
    assert engine.jobs == []
    assert [(one.after, one.whole) for one in store.recorded.values()] == [(None, False)]
    assert left("not_asked") == before + 1


async def test_few_pictures_wait_to_be_asked_about() -> None:
    store, before = Store(), left("not_asked")
    shadow = runner(store, NEWER, sample=1.0)
    for _ in range(10):
        shadow.offer(record(findings(a=0.1)), LIVE, IMAGE, pixels=decoded_again)
    await shadow.drain()
    assert left("not_asked") == before + 7
    assert len(store.recorded) == 10, "those that waited are compared without"


async def test_a_picture_without_pixels_is_decoded_again_to_be_asked_about() -> None:
    async def pixels() -> Image:
        return IMAGE

    engine, store = FakeEngine(lambda _, question: yes_no(question, 0.9)), Store()
    shadow = runner(store, NEWER, engine=engine, sample=1.0)
    async with running(shadow):
        shadow.offer(record(findings(a=0.1)), LIVE, Outline.of(IMAGE).image, pixels=pixels)
        await until(lambda: len(store.recorded) == 1)
    assert [job.picture for job in engine.jobs] == [IMAGE.frames[0].picture]
    assert next(iter(store.recorded.values())).after is Outcome.REJECT


async def test_a_picture_that_cannot_be_decoded_again_is_not_asked_about() -> None:
    async def pixels() -> Image:
        raise NotReady("busy")

    engine, store, before = FakeEngine(), Store(), left("failed")
    shadow = runner(store, NEWER, engine=engine, sample=1.0)
    async with running(shadow):
        shadow.offer(record(findings(a=0.1)), LIVE, Outline.of(IMAGE).image, pixels=pixels)
        await until(lambda: len(store.recorded) == 1)
    assert (engine.jobs, next(iter(store.recorded.values())).after, left("failed")) == ([], None, before + 1)


@pytest.mark.parametrize("when", ["before", "meanwhile"])
@pytest.mark.parametrize("digest", ["model_digest", "projector_digest"])
async def test_what_another_model_answers_is_not_compared(when: str, digest: str) -> None:
    """The engine may be restarted with other files between a decision and the questions about it."""

    def change() -> None:
        engine.info = replace(engine.info, **{digest: f"sha256:{'1' * 64}"})

    def script(_: EngineJob, question: Question) -> Answer:
        if when == "meanwhile":
            change()
        return yes_no(question, 0.9)

    engine, store, before = FakeEngine(script), Store(), left("model_changed")
    if when == "before":
        change()
    shadow = runner(store, NEWER, engine=engine, sample=1.0)
    async with running(shadow):
        shadow.offer(record(findings(a=0.1)), LIVE, IMAGE, pixels=decoded_again)
        await until(lambda: len(store.recorded) == 1)
    said = next(iter(store.recorded.values()))
    assert (said.after, said.missing, said.whole) == (None, ("probes.b.p",), False)
    assert left("model_changed") == before + 1


async def test_an_engine_that_breaks_its_contract_is_no_answer() -> None:
    class Broken(FakeEngine):
        def ask(self, job: EngineJob) -> object:  # type: ignore[override]
            raise ZeroDivisionError

    store, before = Store(), left("failed")
    shadow = runner(store, NEWER, engine=Broken(), sample=1.0)
    async with running(shadow):
        shadow.offer(record(findings(a=0.1)), LIVE, IMAGE, pixels=decoded_again)
        await until(lambda: len(store.recorded) == 1)
    assert next(iter(store.recorded.values())).after is None
    assert left("failed") == before + 1


async def test_what_does_not_fit_is_counted_and_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WAITING", 5)
    store, before = Store(), left("no_room")
    shadow = runner(store)
    for _ in range(8):
        shadow.offer(record(findings()), LIVE, IMAGE, pixels=decoded_again)
    await shadow.drain()
    assert len(store.recorded) == 5
    assert left("no_room") == before + 3


async def test_one_that_fails_takes_no_other_along() -> None:
    class Touchy(AhoCorasickMatcher):
        def match(self, lists: Sequence[KeywordList], texts: Mapping[TextSource, TextFinding]) -> KeywordFinding:
            if "poison" in texts[TextSource.OCR].text:
                raise ZeroDivisionError
            return super().match(lists, texts)

    fresh = (keyword_list("banned", digest="sha256:new"), keyword_list("sworn", binding=True))
    policy = ruleset(rule("r1", "keywords.banned.count > 0", "review"), lists=fresh)
    store, before = Store(), left("failed")
    shadow = runner(store, policy, matcher=Touchy())
    for text in ("x", "y", "poison", "x"):
        shadow.offer(record(findings(text=text)), LIVE, IMAGE, pixels=decoded_again)
    await shadow.drain()
    assert [(one.after, one.missing) for one in store.recorded.values()] == [
        (Outcome.REVIEW, ()),
        (Outcome.PASS, ()),
        (None, ("internal error: ZeroDivisionError",)),
        (Outcome.REVIEW, ()),
    ]
    assert left("failed") == before + 1


async def test_no_fault_reaches_the_upload() -> None:
    def broken() -> Ruleset | None:
        raise ZeroDivisionError

    store, before = Store(), left("failed")
    shadow = runner(store)
    shadow._policy = broken
    shadow.offer(record(findings()), LIVE, IMAGE, pixels=decoded_again)
    assert left("failed") == before + 1


async def test_a_store_that_is_away_costs_comparisons_alone() -> None:
    store, before = Store(), left("not_recorded")
    shadow = runner(store)
    async with running(shadow):
        store.fault = StoreUnavailable("gone")
        shadow.offer(record(findings()), LIVE, IMAGE, pixels=decoded_again)
        await until(lambda: left("not_recorded") == before + 1)
        store.fault = None
        shadow.offer(record(findings()), LIVE, IMAGE, pixels=decoded_again)
        await until(lambda: len(store.recorded) == 1)
