"""Stopping early through the pipeline: what is skipped, that it is seen to be, and that nothing else changes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.domain import (
    Answer,
    EngineJob,
    Findings,
    KeywordList,
    Outcome,
    Question,
    QuestionKind,
    Status,
    TextSource,
    UploadContext,
)
from app.engine.fake import FakeEngine, generated, harmless, yes_no
from app.intake.decode import Intake, IntakeLimits
from app.media_inline import InlineWorkers
from app.moderation.admission import Admission, AdmissionLimits
from app.moderation.collect import Collector, Signals
from app.moderation.early_stop import EarlyStop, runs_in_full
from app.moderation.findings_cache import CacheLimits, FindingsCache
from app.moderation.gathering import DECIDED
from app.moderation.pipeline import Deadlines, Moderator
from app.moderation.timing import Stopwatch
from app.policy.evaluate import evaluate
from app.policy.ruleset import Ruleset
from app.signals.keywords import AhoCorasickMatcher
from app.signals.model_text import ModelText
from app.signals.probes import Probes
from app.signals.scene import Scene
from app.store.audit import SqlAuditLog
from app.store.decisions import SqlDecisionStore
from app.store.evidence import LocalEvidenceStore
from app.store.session import Database
from tests.moderation.test_pipeline import upload
from tests.moderation.test_recall import Codes, Reader, image, until
from tests.policy.build import READ, keyword_list, rule, ruleset

HIGH_A = rule("a", "probes.a.p >= thresholds.high")
HIGH_B = rule("b", "probes.b.p >= thresholds.high")
BOTH = rule("both", {"all": ["keywords.banned.count > 0", "probes.b.p >= thresholds.half"]})


def lists(*sources: TextSource) -> tuple[KeywordList, ...]:
    return (keyword_list("banned", terms=("contraband",), sources=READ | set(sources)),)


def policy(*rules: dict[str, Any], sources: tuple[TextSource, ...] = (), **signals: bool) -> Ruleset:
    defaults = {"early_stop": True, "signals": signals}
    return ruleset(*rules, lists=lists(*sources), defaults=defaults)


class Slow(FakeEngine):
    """Each answer takes a moment, so that there is time to stop."""

    def __init__(self, script: Any = harmless) -> None:
        super().__init__(script, delay_s=0.01)


async def collect(
    rules: Ruleset,
    engine: FakeEngine,
    *,
    stop: bool = True,
    reader: Reader | None = None,
    cache: FindingsCache | None = None,
    caption: str | None = None,
    frames: int = 1,
) -> Findings:
    signals = Signals(reader or Reader(), Codes(), AhoCorasickMatcher(), Probes(), Scene(), ModelText())
    context = UploadContext(caption=caption)
    stopping = EarlyStop(rules, context, lambda: engine.info.model_digest) if stop else None
    collector = Collector(signals, engine, cache)
    return await collector.collect(image(frames=frames), context, rules.needs, Stopwatch(60), stop=stopping)


def statuses(findings: Findings) -> dict[str, Status]:
    return {
        **{name: probe.readings[0].status for name, probe in findings.probes.items()},
        "scene": findings.scene.status,
    }


OK, SKIPPED = Status.OK, Status.SKIPPED


async def test_a_description_that_no_rule_reads_is_not_waited_for() -> None:
    findings = await collect(policy(HIGH_A), Slow())
    assert statuses(findings) == {"a": OK, "scene": SKIPPED}
    assert findings.scene.reason == DECIDED


async def test_a_description_that_a_rule_reads_is() -> None:
    rules = policy(rule("words", "keywords.banned.count > 0"), sources=(TextSource.SCENE,))
    findings = await collect(rules, Slow())
    assert statuses(findings) == {"scene": OK}


async def test_a_probe_beside_a_count_that_is_known_to_be_none_is_skipped() -> None:
    found = await collect(policy(HIGH_A, BOTH), Slow())
    assert statuses(found) == {"a": OK, "b": SKIPPED, "scene": SKIPPED}
    assert found.probes["b"].readings[0].reason == DECIDED
    listed = await collect(policy(HIGH_A, BOTH), Slow(), caption="contraband")
    assert statuses(listed) == {"a": OK, "b": OK, "scene": SKIPPED}


async def test_a_rejected_upload_is_asked_what_other_rules_want() -> None:
    rules = policy(
        rule("sure", "probes.a.p >= thresholds.high"), HIGH_B, rule("try", "scores.goods > 0.2", mode="shadow")
    )
    engine = Slow(
        lambda job, question: (
            yes_no(question, 0.95) if question.kind is QuestionKind.YES_NO else harmless(job, question)
        )
    )
    assert statuses(await collect(rules, engine)) == {"a": OK, "b": OK, "scene": SKIPPED}


async def test_nothing_is_skipped_while_text_that_matters_is_still_read() -> None:
    reader = Reader()
    reader.go.clear()
    engine = FakeEngine()
    task = asyncio.create_task(collect(policy(HIGH_A, BOTH), engine, reader=reader))
    await until(lambda: engine.jobs)
    await asyncio.sleep(0.02)
    reader.go.set()
    assert statuses(await task)["b"] is OK


async def test_of_many_frames_the_rest_is_skipped_when_one_is_enough() -> None:
    def script(job: EngineJob, question: Question) -> Answer:
        if question.kind is QuestionKind.GENERATE:
            return generated(question, "a thing")
        return yes_no(question, 0.95)

    class OneByOne(FakeEngine):
        turn = asyncio.Lock()

        async def _scripted(self, job: EngineJob, question: Question) -> Answer:
            async with self.turn:
                return await super()._scripted(job, question)

    findings = await collect(policy(HIGH_A), OneByOne(script, delay_s=0.005), frames=4)
    ends = [reading.status for reading in findings.probes["a"].readings]
    assert ends.count(SKIPPED) == 3
    assert ends.count(OK) == 1


async def test_a_fault_of_its_own_skips_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(EarlyStop, "_look", broken)
    assert statuses(await collect(policy(HIGH_A), Slow())) == {"a": OK, "scene": OK}


async def test_what_was_skipped_is_not_remembered_and_not_denied_to_others() -> None:
    cache = FindingsCache(CacheLimits(1 << 20, ttl_s=600))
    rules = policy(HIGH_A, BOTH)
    stopped = await collect(rules, Slow(), cache=cache)
    assert statuses(stopped) == {"a": OK, "b": SKIPPED, "scene": SKIPPED}
    whole = await collect(rules, Slow(), cache=cache, stop=False)
    assert statuses(whole) == {"a": OK, "b": OK, "scene": OK}
    assert whole.recalled == ("codes", "ocr", "probes.a")


async def test_who_follows_an_upload_that_stops_early_asks_the_rest_itself() -> None:
    cache = FindingsCache(CacheLimits(1 << 20, ttl_s=600))
    engine, rules = Slow(), policy(HIGH_A, BOTH)
    signals = Signals(Reader(), Codes(), AhoCorasickMatcher(), Probes(), Scene(), ModelText())
    collector, context = Collector(signals, engine, cache), UploadContext()
    stop = EarlyStop(rules, context, lambda: engine.info.model_digest)
    stopped, whole = await asyncio.gather(
        collector.collect(image(), context, rules.needs, Stopwatch(60), stop=stop),
        collector.collect(image(), context, rules.needs, Stopwatch(60)),
    )
    assert statuses(stopped) == {"a": OK, "b": SKIPPED, "scene": SKIPPED}
    assert statuses(whole) == {"a": OK, "b": OK, "scene": OK}


@pytest.mark.parametrize("a", [0.1, 0.95])
@pytest.mark.parametrize("b", [0.1, 0.7])
@pytest.mark.parametrize("caption", [None, "contraband"])
async def test_the_evaluation_is_that_of_the_whole(a: float, b: float, caption: str | None) -> None:
    def script(job: EngineJob, question: Question) -> Answer:
        if question.kind is QuestionKind.GENERATE:
            return generated(question, "contraband")
        return yes_no(question, a if question.id.startswith("probes/a") else b)

    rules = policy(HIGH_A, BOTH, rule("seen", "text.score.goods > 0.5", "review", mode="shadow"))
    context = UploadContext(caption=caption)
    stopped, whole = [
        evaluate(rules, await collect(rules, Slow(script), stop=stop, caption=caption), context, model_digest=None)
        for stop in (True, False)
    ]
    assert (stopped.outcome, stopped.degraded, stopped.priority) == (whole.outcome, whole.degraded, whole.priority)
    assert [(one.id, one.result) for one in stopped.rules] == [(one.id, one.result) for one in whole.rules]


def test_the_sample_that_runs_in_full_is_the_same_everywhere_and_of_the_size_it_says() -> None:
    ids = [f"dec_{number:024x}" for number in range(4000)]
    assert not any(runs_in_full(one, 0) for one in ids)
    assert all(runs_in_full(one, 1) for one in ids)
    small, large = ({one for one in ids if runs_in_full(one, share)} for share in (0.01, 0.05))
    assert small < large
    assert 10 <= len(small) <= 80
    assert runs_in_full("dec_0", 0.5) is runs_in_full("dec_0", 0.5)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    made = Database(f"sqlite:///{tmp_path / 'test.db'}")
    await made.start()
    yield made
    await made.aclose()


@pytest.mark.parametrize(("share", "skipped"), [(0.0, True), (1.0, False)])
async def test_a_decision_and_its_audit_entry_say_what_was_skipped(
    database: Database, tmp_path: Path, share: float, skipped: bool
) -> None:
    rules, audit = policy(HIGH_A), SqlAuditLog(database)
    moderator = Moderator(
        intake=Intake(InlineWorkers(), IntakeLimits(), b"secret"),
        signals=Signals(Reader(), Codes(), AhoCorasickMatcher(), Probes(), Scene(), ModelText()),
        engine=Slow(),
        ruleset=lambda: rules,
        decisions=SqlDecisionStore(database),
        evidence=LocalEvidenceStore(tmp_path / "evidence"),
        admission=Admission(AdmissionLimits(uploads=8, upload_bytes=1 << 30, engine_jobs=8)),
        deadlines=Deadlines(default_s=60, longest_s=60),
        full_share=share,
    )
    decision = await moderator.moderate(upload())
    assert (decision.outcome, decision.degraded) == (Outcome.PASS, False)
    scene = decision.findings.scene
    assert (scene.status, scene.reason) == ((SKIPPED, DECIDED) if skipped else (OK, None))
    await audit.seal(limit=10)
    (entry,) = await audit.entries(limit=10)
    assert (b'"skipped":["scene"]' in entry.body) is skipped
