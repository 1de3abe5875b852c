"""Uploads of which everything is known: decided without model and media workers, and as if they had been asked."""

import asyncio
import io
import os
import random
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PillowImage
from prometheus_client import REGISTRY

from app.domain import (
    Answer,
    CodesFinding,
    Decision,
    EngineJob,
    Findings,
    Frame,
    Outcome,
    Question,
    Status,
    UploadContext,
)
from app.engine.fake import FakeEngine, harmless, yes_no
from app.errors import DecodeFailed, NotReady, QueueFull, TruncatedPicture, WorkerCrashed, WorkerTimeout
from app.intake.decode import Intake, IntakeLimits
from app.intake.reader import decode_picture
from app.media_inline import InlineWorkers
from app.media_pool import MediaPool
from app.moderation.admission import Admission, AdmissionLimits
from app.moderation.collect import Signals
from app.moderation.findings_cache import CacheLimits, FindingsCache
from app.moderation.forgetting import ForgettingFiles
from app.moderation.outline import OUTLINE, Outline
from app.moderation.pipeline import Deadlines, Moderator
from app.moderation.upload import Upload
from app.policy.ruleset import Ruleset
from app.signals.base import CodeReader
from app.signals.codes import ZxingReader
from app.signals.keywords import AhoCorasickMatcher
from app.signals.model_text import ModelText
from app.signals.probes import Probes
from app.signals.scene import Scene
from app.store.decisions import SqlDecisionStore
from app.store.evidence import LocalEvidenceStore
from app.store.session import Database
from app.workers import Workers
from tests.moderation.test_pipeline import png
from tests.moderation.test_recall import Reader
from tests.policy.build import keyword_list, rule, ruleset

MILD = ruleset(rule("r", "probes.a.p >= thresholds.high"))
STRICT = ruleset(rule("r", "probes.a.p >= thresholds.half"), rule("new", "probes.b.p >= thresholds.half", "review"))
LISTED = ruleset(
    rule("r", "probes.a.p >= thresholds.high"),
    rule("k", "keywords.words.count > 0", "review"),
    lists=[keyword_list("words", terms=("read",))],
)


class CountingWorkers(InlineWorkers):
    """Counts the pictures that are decoded, when `go` is set; `faults` come first."""

    def __init__(self, *faults: Exception) -> None:
        self.faults = list(faults)
        self.decoded = 0
        self.go = asyncio.Event()
        self.go.set()

    async def run(self, function: Callable[..., Any], *args: Any, timeout_s: float) -> Any:
        if function is decode_picture:
            self.decoded += 1
            await self.go.wait()
            if self.faults:
                raise self.faults.pop(0)
        return await super().run(function, *args, timeout_s=timeout_s)


def by_colour(job: EngineJob, question: Question) -> Answer:
    """An answer that hangs on the picture, the frame and the question."""
    if question.id.startswith("probes/"):
        return yes_no(question, (sum(job.picture.rgb[:3]) + 7 * len(question.prompt)) % 97 / 100 + 0.01)
    return replace(harmless(job, question), text=f"{job.picture.width} wide")


@dataclass
class House:
    """Everything that keeps is the houses' own; only database and folder are shared."""

    database: Database
    folder: Path
    workers: Workers = field(default_factory=CountingWorkers)
    limits: IntakeLimits = field(default_factory=IntakeLimits)
    secret: bytes = b"secret"
    cache: FindingsCache | None = field(default_factory=lambda: FindingsCache(CacheLimits(1 << 20, ttl_s=600)))
    ruleset: Ruleset = MILD
    engine: FakeEngine = field(default_factory=lambda: FakeEngine(by_colour))
    reader: Reader = field(default_factory=Reader)
    codes: CodeReader | None = None
    room: AdmissionLimits = field(default_factory=lambda: AdmissionLimits(8, 1 << 30, 8))

    def __post_init__(self) -> None:
        self.evidence = LocalEvidenceStore(self.folder / "evidence")
        self.decisions = SqlDecisionStore(self.database)
        codes = self.codes or ZxingReader(InlineWorkers())
        self.moderator = Moderator(
            intake=Intake(self.workers, self.limits, self.secret),
            signals=Signals(self.reader, codes, AhoCorasickMatcher(), Probes(), Scene(), ModelText()),
            engine=self.engine,
            ruleset=lambda: self.ruleset,
            decisions=self.decisions,
            evidence=self.evidence,
            admission=Admission(self.room),
            deadlines=Deadlines(default_s=60, longest_s=60),
            cache=self.cache,
        )

    @property
    def decoded(self) -> int:
        assert isinstance(self.workers, CountingWorkers)
        return self.workers.decoded

    async def decide(self, data: bytes | None = None, caption: str | None = None) -> Decision:
        return await self.moderator.moderate(Upload(data or png("white"), UploadContext(caption=caption), "key_test"))

    async def stored(self, decision: Decision) -> tuple[Findings, bytes, bytes]:
        """What is in the store of a decision: its findings, its picture and the preview."""
        record = await self.decisions.find_record(decision.id)
        assert record.decision == decision
        sha256 = decision.image.sha256
        found = record.findings.model_copy(update={"recalled": ()})
        return found, await self.evidence.get(sha256), await self.evidence.preview(sha256)


Build = Callable[..., House]


@pytest.fixture
async def build(tmp_path: Path) -> AsyncIterator[Build]:
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    await database.start()
    yield lambda **given: House(database, tmp_path, **given)
    await database.aclose()


def same(decision: Decision) -> dict[str, object]:
    """All of a decision but what is each one's own."""
    own = {"id", "case_id", "timing_ms", "created_at"}
    return decision.model_dump(exclude=own | {"findings": {"recalled"}}.keys()) | {
        "findings": decision.findings.model_dump(exclude={"recalled"})
    }


def count(how: str) -> float:
    labels = {"signal": "picture", "from": how}
    return REGISTRY.get_sample_value("portcullis_findings_asked_total", labels) or 0.0


def picture(draw: random.Random) -> bytes:
    """A still or an animation, opaque or transparent, with or without EXIF orientation."""
    size = draw.choice([(3, 3), (40, 24), (64, 200), (300, 90)])
    mode = draw.choice(["RGB", "RGBA", "L"])
    frames = [
        PillowImage.frombytes(mode, size, draw.randbytes(size[0] * size[1] * len(mode)))
        for _ in range(draw.choice([1, 1, 2, 7]))
    ]
    out = io.BytesIO()
    exif = PillowImage.Exif()
    exif[0x0112] = draw.randint(1, 8)
    kind = draw.choice(["PNG", "WEBP"]) if len(frames) == 1 else "WEBP"
    frames[0].save(out, kind, exif=exif, save_all=len(frames) > 1, append_images=frames[1:], lossless=True)
    return out.getvalue()


@pytest.mark.parametrize("seed", range(12))
async def test_a_known_upload_is_decided_as_if_it_were_asked(build: Build, seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 - the same in every run
    knowing, asking = build(), build(cache=None)
    knowing.ruleset = asking.ruleset = draw.choice([MILD, STRICT, LISTED])
    data, captions = picture(draw), [draw.choice([None, "read this", "hello"]) for _ in range(3)]
    await knowing.decide(data)
    for caption in captions:
        known, asked = await knowing.decide(data, caption), await asking.decide(data, caption)
        assert same(known) == same(asked)
        assert await knowing.stored(known) == await asking.stored(asked)
        assert known.findings.recalled
    assert (knowing.decoded, asking.decoded, knowing.reader.reads) == (1, len(captions), 1)


async def test_decoding_is_counted_by_how_it_was_come_by(build: Build) -> None:
    house, before = build(), (count("asked"), count("kept"))
    for _ in range(3):
        await house.decide()
    assert (count("asked"), count("kept")) == (before[0] + 1, before[1] + 2)


async def test_a_new_question_is_asked_of_the_picture_itself(build: Build) -> None:
    house = build()
    await house.decide()
    house.ruleset = STRICT
    second = await house.decide()
    assert (house.decoded, [question.id for question in house.engine.jobs[1].questions]) == (2, ["probes/b/en"])
    assert house.engine.jobs[1].picture.rgb, "the model was given a picture without pixels"
    assert same(second) == same(await build(cache=None, ruleset=STRICT).decide())
    await house.decide()
    assert house.decoded == 2


@pytest.mark.parametrize(
    "changed",
    [{"limits": IntakeLimits(work_side_px=32)}, {"limits": IntakeLimits(max_frames=4)}, {"secret": b"another"}],
    ids=["working size", "frames", "sampling"],
)
async def test_what_was_decoded_otherwise_is_decoded_again(build: Build, changed: dict[str, Any]) -> None:
    cache = FindingsCache(CacheLimits(1 << 20, ttl_s=600))
    data = picture(random.Random(3))  # noqa: S311
    await build(cache=cache).decide(data)
    other = build(cache=cache, **changed)
    assert same(await other.decide(data)) == same(await build(cache=None, **changed).decide(data))
    assert other.decoded == 1


async def test_limits_that_became_narrower_refuse_what_was_accepted(build: Build) -> None:
    cache = FindingsCache(CacheLimits(1 << 20, ttl_s=600))
    await build(cache=cache).decide()
    narrow = build(cache=cache, limits=IntakeLimits(max_side_px=50))
    with pytest.raises(Exception, match="a side may have 50 px"):
        await narrow.decide()


async def test_another_model_is_asked_and_pinned(build: Build) -> None:
    house = build()
    await house.decide()
    house.engine.info = replace(house.engine.info, model_digest=f"sha256:{'1' * 64}")
    second = await house.decide()
    assert (second.pins.model, len(house.engine.jobs), house.decoded) == (f"sha256:{'1' * 64}", 2, 2)


async def test_a_model_without_a_digest_is_asked_each_time(build: Build) -> None:
    house = build()
    house.engine.info = replace(house.engine.info, model_digest=None)
    await house.decide()
    await house.decide()
    assert (len(house.engine.jobs), house.decoded) == (2, 2)


async def test_what_was_unknown_is_found_out_again(build: Build) -> None:
    faults = [Status.TIMEOUT]

    def script(job: EngineJob, question: Question) -> Answer:
        return Answer(question_id=question.id, status=faults.pop()) if faults else by_colour(job, question)

    house = build(engine=FakeEngine(script))
    assert (await house.decide()).degraded
    second = await house.decide()
    assert (second.degraded, house.decoded) == (False, 2)


@pytest.mark.parametrize("end", [Status.TIMEOUT, Status.FAILED])
async def test_text_that_was_not_read_is_read_again(build: Build, end: Status) -> None:
    house = build(reader=Reader(end), ruleset=LISTED)
    assert (await house.decide()).findings.ocr.status is end
    second = await house.decide()
    assert (second.degraded, second.findings.ocr.text, house.decoded, house.reader.reads) == (False, "read", 2, 2)


async def test_codes_that_were_not_read_are_read_again(build: Build) -> None:
    ends = [Status.TIMEOUT, Status.OK]

    class Codes:
        version = "told 1"

        async def read(self, frames: Sequence[Frame], *, timeout_s: float) -> CodesFinding:
            return CodesFinding(status=ends.pop(0), reason=None)

    house = build(codes=Codes(), ruleset=LISTED)
    assert (await house.decide()).findings.codes.status is Status.TIMEOUT
    assert (await house.decide()).findings.codes.status is Status.OK
    assert (ends, house.decoded) == ([], 2)
    await house.decide()
    assert house.decoded == 2


async def test_evidence_that_is_gone_is_put_again_without_decoding(build: Build) -> None:
    house = build()
    first = await house.decide()
    kept = await house.stored(first)
    await house.evidence.delete(first.image.sha256)
    assert (await house.stored(await house.decide()))[1:] == kept[1:]
    assert house.decoded == 1


async def test_what_retention_deletes_is_decoded_anew(build: Build) -> None:
    house = build()
    first = await house.decide()
    assert await ForgettingFiles(house.evidence, house.cache).delete_if_put_before(
        first.image.sha256, datetime.now(UTC)
    )
    assert (await house.decide()).findings.recalled == ()
    assert house.decoded == 2


async def test_an_outline_that_made_room_is_decoded_anew(build: Build) -> None:
    house = build(cache=FindingsCache(CacheLimits(1 << 20, ttl_s=600, pictures=1)))
    for colour in ("white", "red", "white"):
        await house.decide(png(colour))
    assert house.decoded == 3


async def test_a_full_engine_queue_refuses_only_what_must_be_asked(build: Build) -> None:
    house = build()
    await house.decide()
    house.engine.info = replace(house.engine.info, queue_depth=8)
    assert (await house.decide(caption="again")).outcome is Outcome.PASS
    with pytest.raises(QueueFull):
        await house.decide(png("red"))


async def test_a_known_upload_does_not_wait_behind_others(build: Build) -> None:
    house = build(room=AdmissionLimits(2, 1 << 30, 8))
    await house.decide()
    assert isinstance(house.workers, CountingWorkers)
    house.workers.go.clear()
    waiting = [asyncio.create_task(house.decide(png(colour))) for colour in ("red", "green")]
    await until(lambda: house.decoded == 3)
    with pytest.raises(QueueFull):
        await house.decide(png("blue"))
    for _ in range(3):
        assert (await house.decide()).findings.recalled
    house.workers.go.set()
    assert all(not decision.findings.recalled for decision in await asyncio.gather(*waiting))


async def test_uploads_of_one_new_picture_at_once_decode_it_once(build: Build) -> None:
    house, alone = build(), build(cache=None)
    assert isinstance(house.workers, CountingWorkers)
    house.workers.go.clear()
    sent = [asyncio.create_task(house.decide(caption=f"number {number}")) for number in range(4)]
    await until(lambda: house.decoded == 1)
    await asyncio.sleep(0.02)
    house.workers.go.set()
    decisions = await asyncio.gather(*sent)
    assert (house.decoded, house.reader.reads) == (1, 1)
    assert len({decision.id for decision in decisions}) == 4
    for number, decision in enumerate(decisions):
        assert same(decision) == same(await alone.decide(caption=f"number {number}"))


async def test_who_follows_an_upload_that_goes_away_decodes_for_itself(build: Build) -> None:
    house = build()
    assert isinstance(house.workers, CountingWorkers)
    house.workers.go.clear()
    first, second = asyncio.create_task(house.decide()), asyncio.create_task(house.decide())
    await until(lambda: house.decoded == 1)
    await asyncio.sleep(0.02)
    first.cancel()
    house.workers.go.set()
    assert (await second).outcome is Outcome.PASS
    assert house.decoded == 2


async def test_a_refusal_is_given_to_all_who_wait_for_it_and_kept_for_nobody(build: Build) -> None:
    house = build()
    assert isinstance(house.workers, CountingWorkers)
    house.workers.go.clear()
    broken = png("white")[:60]
    sent = [asyncio.create_task(house.decide(broken)) for _ in range(3)]
    await asyncio.sleep(0.05)
    house.workers.go.set()
    assert {type(one) for one in await asyncio.gather(*sent, return_exceptions=True)} == {TruncatedPicture}
    assert house.decoded == 1
    with pytest.raises(TruncatedPicture):
        await house.decide(broken)
    assert house.decoded == 2


@pytest.mark.parametrize(
    ("faults", "refusal"),
    [([WorkerTimeout("none free")], NotReady), ([WorkerCrashed("gone"), WorkerCrashed("gone")], DecodeFailed)],
    ids=["timeout", "two deaths"],
)
async def test_a_failure_that_may_pass_is_tried_again(
    build: Build, faults: list[Exception], refusal: type[Exception]
) -> None:
    house = build(workers=CountingWorkers(*faults))
    with pytest.raises(refusal):
        await house.decide()
    assert (await house.decide()).outcome is Outcome.PASS


async def test_a_picture_is_not_refused_for_good_where_no_worker_runs_yet(build: Build) -> None:
    pool = MediaPool(1, memory_mb=2048)
    house = build(workers=pool)
    with pytest.raises(NotReady):
        await house.decide()
    await pool.start()
    try:
        assert (await house.decide()).outcome is Outcome.PASS
    finally:
        await pool.aclose()
    with pytest.raises(NotReady):
        await house.decide(png("red"))
    assert (await house.decide()).outcome is Outcome.PASS, "what is known needs no worker"


async def test_a_worker_killed_in_between_changes_nothing(build: Build) -> None:
    """With real processes: one dies while it decodes, and all of them before the picture comes again."""
    pool = MediaPool(1, memory_mb=2048)
    await pool.start()
    try:
        house = build(workers=pool)
        first = asyncio.create_task(house.decide())
        await asyncio.sleep(0)
        kill_all(pool)
        decided = await first
        kill_all(pool)
        assert same(await house.decide()) == same(decided) == same(await build(cache=None).decide())
    finally:
        await pool.aclose()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.005)


def kill_all(pool: MediaPool) -> None:
    for pid in pool.pids:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("seed", range(6))
async def test_an_outline_comes_back_from_json_as_it_was(seed: int) -> None:
    workers = InlineWorkers()
    intake = Intake(workers, IntakeLimits(), b"secret")
    data = picture(random.Random(seed))  # noqa: S311
    image = await intake.decode(await intake.inspect(data), timeout_s=30)
    outline = OUTLINE.validate_json(OUTLINE.dump_json(Outline.of(image)))
    assert outline == Outline.of(image)
    assert Outline.of(outline.image) == outline
    assert (image.has_pixels, outline.image.has_pixels) == (True, False)


async def test_a_known_upload_has_an_audit_entry_and_a_case_of_its_own(build: Build) -> None:
    house = build(ruleset=LISTED)
    first, second = await house.decide(caption="read"), await house.decide(caption="read")
    assert first.outcome is second.outcome is Outcome.REVIEW
    assert len({first.id, second.id}) == len({first.case_id, second.case_id}) == 2
