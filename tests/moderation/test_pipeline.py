"""The pipeline over real intake, policy and SQLite, with a scripted engine where a fault has to be played."""

import asyncio
import io
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import zxingcpp
from PIL import Image as PillowImage

from app.domain import (
    Answer,
    CaseState,
    CodesFinding,
    Decision,
    EngineJob,
    EngineState,
    Frame,
    KeywordFinding,
    KeywordList,
    Outcome,
    Question,
    QuestionKind,
    Status,
    TextFinding,
    TextLine,
    TextSource,
    UploadContext,
)
from app.engine.fake import FakeEngine, generated, harmless, yes_no
from app.errors import (
    DecodeFailed,
    IdempotencyConflict,
    NotAPicture,
    NotFound,
    NotReady,
    QueueFull,
    StoreUnavailable,
    WorkerCrashed,
    WorkerTimeout,
)
from app.intake.decode import Intake, IntakeLimits
from app.media_inline import InlineWorkers
from app.moderation.admission import Admission, AdmissionLimits
from app.moderation.collect import Signals
from app.moderation.findings_cache import CacheLimits, FindingsCache
from app.moderation.pipeline import Deadlines, Moderator, Upload
from app.moderation.ports import Engine
from app.policy.load import load_ruleset
from app.signals.base import CodeReader, KeywordMatcher, TextReader
from app.signals.codes import ZxingReader
from app.signals.keywords import AhoCorasickMatcher
from app.signals.model_text import ModelText
from app.signals.probes import Probes
from app.signals.scene import Scene
from app.store.audit import SqlAuditLog
from app.store.cases import SqlCaseStore
from app.store.decisions import SqlDecisionStore
from app.store.evidence import LocalEvidenceStore
from app.store.session import Database

REPOSITORY = Path(__file__).resolve().parents[2]
RULESET = load_ruleset(REPOSITORY / "policies.yaml", REPOSITORY / "rules")


class Dying(InlineWorkers):
    def __init__(self, *deaths: Exception) -> None:
        self.deaths = list(deaths)

    async def run(self, function: Callable[..., object], *args: object, timeout_s: float) -> object:
        if self.deaths:
            raise self.deaths.pop(0)
        return await super().run(function, *args, timeout_s=timeout_s)


class Reader:
    """Reads what it is told to."""

    version = "told 1"

    def __init__(self, *lines: str, status: Status = Status.OK) -> None:
        self.finding = TextFinding(status=status, lines=tuple(TextLine(text=line) for line in lines))

    async def read(self, frames: Sequence[Frame], *, timeout_s: float) -> TextFinding:
        return self.finding


class BrokenReader(Reader):
    async def read(self, frames: Sequence[Frame], *, timeout_s: float) -> TextFinding:
        raise ZeroDivisionError


class BrokenMatcher(AhoCorasickMatcher):
    def match(self, lists: Sequence[KeywordList], texts: Mapping[TextSource, TextFinding]) -> KeywordFinding:
        raise ZeroDivisionError


class BrokenEngine(FakeEngine):
    async def ask(self, job: EngineJob) -> AsyncGenerator[Answer]:
        raise ZeroDivisionError
        yield


class HangingEngine(FakeEngine):
    async def ask(self, job: EngineJob) -> AsyncGenerator[Answer]:
        await asyncio.sleep(3600)
        yield generated(job.questions[0], "never")


@dataclass
class Rooms:
    moderator: Moderator
    decisions: SqlDecisionStore
    evidence: LocalEvidenceStore
    cases: SqlCaseStore
    audit: SqlAuditLog
    database: Database


Build = Callable[..., Rooms]


@pytest.fixture
async def build(tmp_path: Path) -> AsyncIterator[Build]:
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    await database.start()

    def make(
        *,
        engine: Engine | None = None,
        reader: TextReader | None = None,
        codes: CodeReader | None = None,
        matcher: KeywordMatcher | None = None,
        workers: InlineWorkers | None = None,
        in_flight: int = 8,
        cache: FindingsCache | None = None,
    ) -> Rooms:
        decisions, evidence = SqlDecisionStore(database), LocalEvidenceStore(tmp_path / "evidence")
        signals = Signals(
            reader or Reader(),
            codes or ZxingReader(InlineWorkers()),
            matcher or AhoCorasickMatcher(),
            Probes(),
            Scene(),
            ModelText(),
        )
        moderator = Moderator(
            intake=Intake(workers or InlineWorkers(), IntakeLimits(), b"secret"),
            signals=signals,
            engine=engine or FakeEngine(),
            ruleset=lambda: RULESET,
            decisions=decisions,
            evidence=evidence,
            admission=Admission(AdmissionLimits(uploads=in_flight, upload_bytes=1 << 30, engine_jobs=8)),
            deadlines=Deadlines(default_s=10, longest_s=60),
            cache=cache,
        )
        return Rooms(moderator, decisions, evidence, SqlCaseStore(database), SqlAuditLog(database), database)

    yield make
    await database.aclose()


def upload(text: str | None = None, *, colour: str = "white", idempotency_key: str | None = None) -> Upload:
    return Upload(png(colour), UploadContext(caption=text), "key_test", idempotency_key)


def png(colour: str) -> bytes:
    buffer = io.BytesIO()
    PillowImage.new("RGB", (96, 64), colour).save(buffer, "PNG")
    return buffer.getvalue()


def says_yes_to(probe: str, p: float) -> Callable[[EngineJob, Question], Answer]:
    def script(job: EngineJob, question: Question) -> Answer:
        return yes_no(question, p) if question.id.startswith(f"probes/{probe}/") else harmless(job, question)

    return script


def must_be_review(decision: Decision, named: str) -> None:
    assert decision.outcome is Outcome.REVIEW
    assert not decision.passed
    assert decision.degraded
    assert any(named in name for name in decision.degraded_by), decision.degraded_by


async def test_a_harmless_picture_passes_and_everything_is_pinned(build: Build) -> None:
    rooms = build()
    decision = await rooms.moderator.moderate(upload())
    assert (decision.outcome, decision.degraded, decision.violations) == (Outcome.PASS, False, ())
    assert await rooms.decisions.find(decision.id) == decision
    assert decision.pins.ruleset == RULESET.digest
    assert decision.pins.lists == {entry.name: entry.digest for entry in RULESET.lists}
    assert decision.pins.model == f"sha256:{'0' * 64}"
    assert decision.pins.ocr == "told 1"
    assert {"total", "intake", "ocr", "model", "keywords"} <= set(decision.timing_ms)


@pytest.mark.parametrize(("p", "outcome"), [(0.97, Outcome.REJECT), (0.7, Outcome.REVIEW), (0.2, Outcome.PASS)])
async def test_the_model_decides_by_probability(build: Build, p: float, outcome: Outcome) -> None:
    decision = await build(engine=FakeEngine(says_yes_to("violence", p))).moderator.moderate(upload())
    assert decision.outcome is outcome
    assert decision.scores["violence"] == pytest.approx(p)


async def test_evidence_is_kept_and_the_audit_tells_of_it(build: Build) -> None:
    rooms = build()
    sent = upload()
    decision = await rooms.moderator.moderate(sent)
    assert await rooms.evidence.get(decision.image.sha256) == sent.data
    assert await rooms.audit.seal(limit=10) == 1
    (entry,) = await rooms.audit.entries(limit=10)
    assert decision.id.encode() in entry.body


async def test_a_review_opens_a_case_in_the_same_transaction(build: Build) -> None:
    rooms = build(engine=FakeEngine(says_yes_to("violence", 0.7)))
    decision = await rooms.moderator.moderate(upload())
    assert decision.case_id is not None
    case = await rooms.cases.find(decision.case_id)
    assert (case.decision_id, case.state) == (decision.id, CaseState.OPEN)


async def test_a_listed_term_in_the_text_or_the_caption_rejects(build: Build) -> None:
    for rooms, sent in ((build(reader=Reader("buy fake passport")), upload()), (build(), upload("a FAKE passport"))):
        decision = await rooms.moderator.moderate(sent)
        assert decision.outcome is Outcome.REJECT
        assert decision.findings.keywords.matches[0].list == "contraband"


@pytest.mark.parametrize("state", [EngineState.FAILED, EngineState.RESTARTING])
async def test_without_an_engine_an_upload_is_review_and_says_so(build: Build, state: EngineState) -> None:
    engine = FakeEngine()
    engine.info = replace(engine.info, state=state)
    decision = await build(engine=engine).moderator.moderate(upload())
    must_be_review(decision, "probes.violence")


@pytest.mark.parametrize("engine", [BrokenEngine(), HangingEngine()], ids=["broken", "hanging"])
async def test_an_engine_that_breaks_its_contract_is_a_finding_not_an_outage(build: Build, engine: FakeEngine) -> None:
    started_at = time.monotonic()
    decision = await build(engine=engine).moderator.moderate(upload(), deadline_s=1.5)
    must_be_review(decision, "probes.violence")
    assert time.monotonic() - started_at < 10


def other_files(engine: FakeEngine, digit: str = "1") -> None:
    """The engine was restarted and found others in their place."""
    engine.info = replace(engine.info, model_digest=f"sha256:{digit * 64}", restarts=engine.info.restarts + 1)


async def test_answers_of_two_models_are_not_one_decision(build: Build) -> None:
    def script(job: EngineJob, question: Question) -> Answer:
        if question.id.startswith("probes/weapons/"):
            other_files(engine)
        return harmless(job, question)

    engine = FakeEngine(script)
    moderator = build(engine=engine, cache=FindingsCache(CacheLimits(1 << 20, ttl_s=600))).moderator
    decision = await moderator.moderate(upload())
    must_be_review(decision, "probes.weapons")
    assert decision.pins.model == f"sha256:{'0' * 64}"
    asked = list(dict.fromkeys(question.probe for question in RULESET.needs.probes))
    reasons = {name: probe.reason for name, probe in decision.findings.probes.items()}
    assert {name for name, reason in reasons.items() if reason == "model_changed"} == set(
        asked[asked.index("weapons") :]
    )
    again = await moderator.moderate(upload())
    assert (again.outcome, again.pins.model) == (Outcome.PASS, f"sha256:{'1' * 64}")


async def test_a_model_that_is_loaded_while_the_upload_waits_is_the_one_that_decided(build: Build) -> None:
    def script(job: EngineJob, question: Question) -> Answer:
        other_files(engine, "2")
        return harmless(job, question)

    engine = FakeEngine(script)
    engine.info = replace(engine.info, model_digest=None)
    decision = await build(engine=engine).moderator.moderate(upload())
    assert (decision.outcome, decision.degraded) == (Outcome.PASS, False)
    assert decision.pins.model == f"sha256:{'2' * 64}"


async def test_without_an_engine_a_listed_term_still_rejects(build: Build) -> None:
    decision = await build(engine=BrokenEngine()).moderator.moderate(upload("fake passport"))
    assert decision.outcome is Outcome.REJECT
    assert decision.degraded


@pytest.mark.parametrize("reader", [BrokenReader(), Reader(status=Status.FAILED), Reader(status=Status.TIMEOUT)])
async def test_text_that_could_not_be_read_is_review(build: Build, reader: Reader) -> None:
    must_be_review(await build(reader=reader).moderator.moderate(upload()), "ocr")


async def test_a_listed_term_in_a_code_rejects(build: Build) -> None:
    code = zxingcpp.create_barcode("https://t.me/x fake passport", zxingcpp.BarcodeFormat.QRCode).to_image(scale=4)
    data = io.BytesIO()
    PillowImage.fromarray(np.array(code)).save(data, "PNG")
    decision = await build().moderator.moderate(replace(upload(), data=data.getvalue()))
    assert decision.outcome is Outcome.REJECT
    assert [(match.list, match.source) for match in decision.findings.keywords.matches] == [
        ("contraband", TextSource.QR)
    ]
    (found,) = decision.findings.codes.codes
    assert (found.kind, found.payload) == ("qr_code", "https://t.me/x fake passport")
    assert decision.pins.codes.startswith("zxing-cpp ")


async def test_codes_that_could_not_be_read_are_review(build: Build) -> None:
    class Broken:
        version = "broken"

        async def read(self, frames: Sequence[Frame], *, timeout_s: float) -> CodesFinding:
            raise ZeroDivisionError

    class Failed(Broken):
        async def read(self, frames: Sequence[Frame], *, timeout_s: float) -> CodesFinding:
            return CodesFinding(status=Status.TIMEOUT, reason="late")

    for codes in (Broken(), Failed()):
        must_be_review(await build(codes=codes).moderator.moderate(upload()), "qr")


async def test_text_that_could_not_be_matched_is_review(build: Build) -> None:
    decision = await build(matcher=BrokenMatcher(), reader=Reader("hello")).moderator.moderate(upload())
    must_be_review(decision, "keywords")


async def test_one_lost_answer_is_an_unknown_of_its_own(build: Build) -> None:
    def script(job: EngineJob, question: Question) -> Answer:
        if question.id == "probes/weapons/en":
            return Answer(question_id=question.id, status=Status.FAILED, reason="engine_crash")
        return harmless(job, question)

    decision = await build(engine=FakeEngine(script)).moderator.moderate(upload())
    must_be_review(decision, "probes.weapons")
    assert decision.findings.probes["violence"].status is Status.OK


async def test_a_decoder_that_dies_once_costs_one_retry(build: Build) -> None:
    decision = await build(workers=Dying(WorkerCrashed("gone"))).moderator.moderate(upload())
    assert decision.outcome is Outcome.PASS


async def test_a_picture_that_kills_two_decoders_is_refused(build: Build) -> None:
    with pytest.raises(DecodeFailed):
        await build(workers=Dying(WorkerCrashed("gone"), WorkerCrashed("gone"))).moderator.moderate(upload())


async def test_no_worker_in_time_is_come_back_later(build: Build) -> None:
    with pytest.raises(NotReady) as refusal:
        await build(workers=Dying(WorkerTimeout("none free"))).moderator.moderate(upload())
    assert refusal.value.retry_after_s >= 1


async def test_what_is_not_a_picture_leaves_nothing_behind(build: Build) -> None:
    rooms = build()
    with pytest.raises(NotAPicture):
        await rooms.moderator.moderate(Upload(b"<html>", UploadContext(), "key_test"))
    assert await rooms.decisions.page(limit=10) == ([], None)
    assert await rooms.audit.pending() == 0


async def test_a_repeated_request_gets_the_first_decision_and_a_different_one_is_refused(build: Build) -> None:
    engine = FakeEngine()
    rooms = build(engine=engine)
    first = await rooms.moderator.moderate(upload(idempotency_key="k1"))
    asked = len(engine.jobs)
    assert await rooms.moderator.moderate(upload(idempotency_key="k1")) == first
    assert len(engine.jobs) == asked, "the model was asked again for nothing"
    with pytest.raises(IdempotencyConflict):
        await rooms.moderator.moderate(upload(colour="red", idempotency_key="k1"))


async def test_repeated_requests_at_once_get_one_decision(build: Build) -> None:
    rooms = build(engine=FakeEngine(delay_s=0.01))
    decisions = await asyncio.gather(*(rooms.moderator.moderate(upload(idempotency_key="k2")) for _ in range(5)))
    assert len({decision.id for decision in decisions}) == 1
    assert len((await rooms.decisions.page(limit=10))[0]) == 1


async def test_a_full_house_refuses_before_it_does_any_work(build: Build) -> None:
    rooms = build(engine=FakeEngine(delay_s=0.2), in_flight=1)
    first = asyncio.create_task(rooms.moderator.moderate(upload()))
    await asyncio.sleep(0.05)
    with pytest.raises(QueueFull):
        await rooms.moderator.moderate(upload())
    assert (await first).outcome is Outcome.PASS
    assert (await rooms.moderator.moderate(upload())).outcome is Outcome.PASS


async def test_a_decision_that_cannot_be_committed_is_no_decision(build: Build) -> None:
    rooms = build()
    await rooms.database.aclose()
    with pytest.raises(StoreUnavailable):
        await rooms.moderator.moderate(upload())


async def test_all_questions_of_a_frame_go_in_one_job(build: Build) -> None:
    engine = FakeEngine()
    await build(engine=engine).moderator.moderate(upload())
    (job,) = engine.jobs
    kinds = [question.kind for question in job.questions]
    assert kinds.count(QuestionKind.YES_NO) == len(RULESET.needs.probes)
    assert kinds.count(QuestionKind.GENERATE) == 1


async def test_a_foreign_key_does_not_see_the_decision(build: Build) -> None:
    rooms = build()
    decision = await rooms.moderator.moderate(upload())
    with pytest.raises(NotFound):
        await rooms.decisions.find(decision.id, key_id="key_other")
