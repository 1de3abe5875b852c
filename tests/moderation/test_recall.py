"""A repeated picture: what is not asked again, and what is."""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from app.domain import (
    Answer,
    Backdrop,
    CodesFinding,
    EngineJob,
    EngineState,
    Findings,
    Frame,
    Image,
    ImageFacts,
    Needs,
    Picture,
    ProbeQuestion,
    Question,
    QuestionKind,
    Status,
    TextFinding,
    TextLine,
    UploadContext,
)
from app.engine.fake import FakeEngine, generated, harmless, yes_no
from app.moderation.collect import Collector, Signals
from app.moderation.findings_cache import CacheLimits, FindingsCache
from app.moderation.timing import Stopwatch
from app.signals.keywords import AhoCorasickMatcher
from app.signals.model_text import ModelText
from app.signals.probes import Probes
from app.signals.scene import Scene

A = ProbeQuestion("a", "en", "a?")
B = ProbeQuestion("b", "en", "b?")
NEEDS = Needs(probes=(A, B))


class Reader:
    """Reads `lines`, when `go` is set, and counts how often it does."""

    def __init__(self, *ends: Status, version: str = "told 1") -> None:
        self.version = version
        self.ends = list(ends)
        self.reads = 0
        self.go = asyncio.Event()
        self.go.set()

    async def read(self, frames: Sequence[Frame], *, timeout_s: float) -> TextFinding:
        self.reads += 1
        status = self.ends.pop(0) if self.ends else Status.OK
        try:
            async with asyncio.timeout(timeout_s):
                await self.go.wait()
        except TimeoutError:
            status = Status.TIMEOUT
        return TextFinding(status=status, lines=(TextLine(text="read"),))


class Codes:
    version = "told 1"

    def __init__(self) -> None:
        self.reads = 0

    async def read(self, frames: Sequence[Frame], *, timeout_s: float) -> CodesFinding:
        self.reads += 1
        return CodesFinding(status=Status.OK, reason=None)


def new_cache() -> FindingsCache:
    return FindingsCache(CacheLimits(1 << 20, ttl_s=600))


@dataclass
class House:
    """A collector over everything it needs."""

    engine: FakeEngine = field(default_factory=FakeEngine)
    reader: Reader = field(default_factory=Reader)
    codes: Codes = field(default_factory=Codes)
    cache: FindingsCache | None = field(default_factory=new_cache)

    def __post_init__(self) -> None:
        self.collector = self.collector_of(self.reader)

    def collector_of(self, reader: Reader) -> Collector:
        signals = Signals(reader, self.codes, AhoCorasickMatcher(), Probes(), Scene(), ModelText())
        return Collector(signals, self.engine, self.cache)

    async def collect(
        self, picture: Image | None = None, needs: Needs = NEEDS, *, deadline_s: float = 60, caption: str | None = None
    ) -> Findings:
        context = UploadContext(caption=caption)
        return await self.collector.collect(picture or image(), context, needs, Stopwatch(deadline_s))

    @property
    def asked(self) -> list[list[str]]:
        return [[question.id for question in job.questions] for job in self.engine.jobs]


def image(sha256: str = "aa", *, colour: int = 0, frames: int = 1, scale: float = 1.0) -> Image:
    return Image(
        ImageFacts(sha256=sha256, width=8, height=8, format="png", size_bytes=9, frames_sampled=frames),
        "image/png",
        tuple(Frame(n, n, Backdrop.NONE, scale, Picture(8, 8, bytes([colour, n, 0]) * 64)) for n in range(frames)),
        b"preview",
    )


def plain(findings: Findings) -> Findings:
    return findings.model_copy(update={"recalled": ()})


async def until(condition: Any) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("never")


async def test_a_repeated_picture_is_not_asked_again_and_says_so() -> None:
    house = House()
    first, second = await house.collect(), await house.collect()
    assert plain(first) == plain(second)
    assert first.recalled == ()
    assert second.recalled == ("codes", "ocr", "probes.a", "probes.b", "scene")
    assert (len(house.engine.jobs), house.reader.reads, house.codes.reads) == (1, 1, 1)


async def test_without_a_cache_everything_is_asked_each_time() -> None:
    house = House(cache=None)
    first, second = await house.collect(), await house.collect()
    assert first == second
    assert (len(house.engine.jobs), house.reader.reads, house.codes.reads) == (2, 2, 2)


@pytest.mark.parametrize("other", [image("bb"), image(frames=2), image(scale=2.0)], ids=["upload", "frames", "scale"])
async def test_another_picture_or_another_look_at_it_is_asked(other: Image) -> None:
    house = House()
    await house.collect()
    assert (await house.collect(other)).recalled == ()
    assert house.reader.reads == 2


async def test_a_new_probe_is_asked_alone() -> None:
    house = House()
    await house.collect(needs=replace(NEEDS, probes=(A,)))
    second = await house.collect(needs=NEEDS)
    assert house.asked == [["probes/a/en", "scene"], ["probes/b/en"]]
    assert second.recalled == ("codes", "ocr", "probes.a", "scene")
    assert second.probes["b"].readings[0].status is Status.OK


async def test_what_counts_is_the_question_not_what_a_policy_calls_it() -> None:
    house = House(FakeEngine(lambda job, question: yes_no(question, 0.9 if question.prompt == "a?" else 0.1)))
    needs = Needs(probes=(A,), describe=False)
    first = await house.collect(needs=needs)
    renamed = await house.collect(needs=replace(needs, probes=(ProbeQuestion("z", "en", "a?"),)))
    reworded = await house.collect(needs=replace(needs, probes=(ProbeQuestion("a", "en", "b?"),)))
    assert renamed.probes["z"].readings == first.probes["a"].readings
    assert reworded.probes["a"].readings != first.probes["a"].readings
    assert reworded.recalled == ("codes", "ocr")


async def test_a_question_asked_twice_under_two_names_is_answered_twice() -> None:
    house = House()
    needs = Needs(probes=(A, ProbeQuestion("z", "en", "a?")), describe=False)
    for findings in (await house.collect(needs=needs), await house.collect(needs=needs)):
        assert [findings.probes[name].readings[0].status for name in ("a", "z")] == [Status.OK, Status.OK]


@pytest.mark.parametrize(
    "change",
    [{"model_digest": "sha256:other"}, {"projector_digest": "sha256:other"}, {"name": "other"}],
    ids=["model", "projector", "engine"],
)
async def test_another_model_is_asked(change: dict[str, str]) -> None:
    house = House()
    await house.collect()
    house.engine.info = replace(house.engine.info, **change)
    assert (await house.collect()).recalled == ("codes", "ocr")


async def test_a_model_that_nobody_knows_is_asked_each_time() -> None:
    house = House()
    house.engine.info = replace(house.engine.info, model_digest=None)
    await house.collect()
    assert (await house.collect()).recalled == ("codes", "ocr")
    assert len(house.engine.jobs) == 2


async def test_answers_across_a_restart_are_not_kept() -> None:
    """The files may have been replaced: nobody knows which of the two answered."""
    house = House()

    def restarting(job: EngineJob, question: Question) -> Answer:
        house.engine.info = replace(house.engine.info, restarts=house.engine.info.restarts + 1)
        return harmless(job, question)

    house.engine._script = restarting
    await house.collect()
    assert (await house.collect()).recalled == ("codes", "ocr")


async def test_another_version_of_the_reader_reads_again() -> None:
    house = House()
    await house.collect()
    newer = Reader(version="told 2")
    house.collector = house.collector_of(newer)
    assert "ocr" not in (await house.collect()).recalled
    assert newer.reads == 1


@pytest.mark.parametrize("bad", [Status.FAILED, Status.TIMEOUT])
async def test_what_is_not_sound_is_asked_again(bad: Status) -> None:
    ends = {"probes/b/en": [bad]}

    def script(job: EngineJob, question: Question) -> Answer:
        left = ends.get(question.id)
        if left:
            return Answer(question_id=question.id, status=left.pop(), reason="engine_crash")
        return harmless(job, question)

    house = House(FakeEngine(script), Reader(bad))
    first, second = await house.collect(), await house.collect()
    assert (first.ocr.status, first.probes["b"].readings[0].status) == (bad, bad)
    assert not {"ocr", "probes.b"} & set(second.recalled)
    assert "probes.a" in second.recalled
    assert (second.ocr.status, second.probes["b"].readings[0].status) == (Status.OK, Status.OK)


async def test_a_picture_seen_before_is_known_while_the_engine_is_down() -> None:
    house = House()
    first = await house.collect()
    house.engine.info = replace(house.engine.info, state=EngineState.RESTARTING)
    assert plain(await house.collect()) == first
    assert (await house.collect(image("bb"))).probes["a"].readings[0].status is Status.FAILED


async def test_lists_are_matched_anew_with_the_caption_of_the_moment() -> None:
    house = House()
    first, second = await house.collect(caption="one"), await house.collect(caption="another")
    assert (first.caption, second.caption) == ("one", "another")


class TestAtOnce:
    async def test_many_uploads_of_one_picture_ask_once(self) -> None:
        house = House(FakeEngine(delay_s=0.005))
        house.reader.go.clear()
        uploads = [asyncio.create_task(house.collect()) for _ in range(5)]
        await until(lambda: house.engine.jobs)
        house.reader.go.set()
        found = await asyncio.gather(*uploads)
        assert (len(house.engine.jobs), house.reader.reads, house.codes.reads) == (1, 1, 1)
        assert len({plain(one).model_dump_json() for one in found}) == 1
        assert sorted(len(one.recalled) for one in found) == [0, 5, 5, 5, 5]

    async def test_a_first_upload_that_is_cancelled_fails_nobody(self) -> None:
        house = House(FakeEngine(delay_s=0.005))
        house.reader.go.clear()
        first = asyncio.create_task(house.collect())
        await until(lambda: house.reader.reads == 1 and house.engine.jobs)
        others = [asyncio.create_task(house.collect()) for _ in range(3)]
        await asyncio.sleep(0.002)
        first.cancel()
        await until(lambda: house.reader.reads == 2)
        house.reader.go.set()
        found = await asyncio.gather(*others)
        assert all(one.ocr.status is Status.OK for one in found)
        assert all(one.probes["b"].readings[0].status is Status.OK for one in found)
        assert house.reader.reads == 2, "one of them leads anew, and the others follow it"

    async def test_a_first_upload_with_a_short_deadline_shortens_nobody_elses(self) -> None:
        house = House()
        house.reader.go.clear()
        hasty = asyncio.create_task(house.collect(deadline_s=0.4))
        await until(lambda: house.reader.reads == 1)
        patient = asyncio.create_task(house.collect())
        assert (await hasty).ocr.status is Status.TIMEOUT
        await until(lambda: house.reader.reads == 2)
        house.reader.go.set()
        found = await patient
        assert found.ocr.status is Status.OK
        assert "ocr" not in found.recalled

    async def test_who_follows_has_a_deadline_of_its_own(self) -> None:
        class Slow(FakeEngine):
            go = asyncio.Event()

            async def _scripted(self, job: EngineJob, question: Question) -> Answer:
                await self.go.wait()
                return harmless(job, question)

        house = House(Slow())
        house.reader.go.clear()
        patient = asyncio.create_task(house.collect())
        await until(lambda: house.reader.reads == 1 and house.engine.jobs)
        hasty = await house.collect(deadline_s=0.4)
        assert (hasty.ocr.status, hasty.probes["a"].readings[0].status) == (Status.TIMEOUT, Status.TIMEOUT)
        house.reader.go.set()
        Slow.go.set()
        found = await patient
        assert (found.ocr.status, found.probes["a"].readings[0].status) == (Status.OK, Status.OK)

    async def test_a_leader_without_an_answer_leaves_others_to_ask_themselves(self) -> None:
        failing = [True]

        async def script(job: EngineJob, question: Question) -> Answer:
            await asyncio.sleep(0.005)
            if failing and question.id == "probes/a/en":
                failing.pop()
                return Answer(question_id=question.id, status=Status.FAILED, reason="engine_crash")
            return harmless(job, question)

        house = House(FakeEngine(script))
        first, second = await asyncio.gather(house.collect(), house.collect())
        ends = sorted(one.probes["a"].readings[0].status for one in (first, second))
        assert ends == [Status.FAILED, Status.OK]
        assert house.asked == [["probes/a/en", "probes/b/en", "scene"], ["probes/a/en"]]

    async def test_an_engine_that_breaks_its_contract_breaks_it_for_each(self) -> None:
        class Broken(FakeEngine):
            async def ask(self, job: EngineJob) -> AsyncGenerator[Answer]:  # type: ignore[override]
                self.jobs.append(job)
                await asyncio.sleep(0.005)
                yield yes_no(job.questions[0], 0.5)
                raise ZeroDivisionError

        house = House(Broken())
        for found in await asyncio.gather(house.collect(), house.collect()):
            assert found.probes["a"].readings[0].status is Status.OK
            assert found.scene.status is Status.FAILED
            assert found.scene.reason == "internal error: ZeroDivisionError"

    async def test_overlapping_questions_wait_for_each_other_without_end(self) -> None:
        house = House(FakeEngine(delay_s=0.002))
        needs = [Needs(probes=probes, describe=False) for probes in ((A, B), (B, ProbeQuestion("c", "en", "c?")), (A,))]
        found = await asyncio.gather(*(house.collect(needs=one) for one in needs * 3))
        assert all(one.readings[0].status is Status.OK for findings in found for one in findings.probes.values())
        assert sorted(question for job in house.asked for question in job) == [
            "probes/a/en",
            "probes/b/en",
            "probes/c/en",
        ]


async def test_an_erased_picture_is_asked_again() -> None:
    house = House()
    await house.collect()
    assert house.cache is not None
    house.cache.forget("aa")
    assert (await house.collect()).recalled == ()


async def test_each_frame_keeps_its_own_answers() -> None:
    def script(job: EngineJob, question: Question) -> Answer:
        frame = job.picture.rgb[1]
        if question.kind is QuestionKind.GENERATE:
            return generated(question, f"frame {frame}")
        return yes_no(question, 0.1 + frame / 10)

    house = House(FakeEngine(script))
    first, second = await house.collect(image(frames=3)), await house.collect(image(frames=3))
    assert plain(second) == plain(first)
    assert len({reading.log_yes for reading in second.probes["a"].readings}) == 3


@pytest.mark.parametrize("seed", range(3))
async def test_many_uploads_of_few_pictures_some_of_which_go_away(seed: int) -> None:
    """Whoever stays gets everything, and nothing is left under way."""
    chance = random.Random(seed)  # noqa: S311 - the same in every run
    probes = (A, B, ProbeQuestion("c", "en", "c?"))

    async def script(job: EngineJob, question: Question) -> Answer:
        await asyncio.sleep(chance.random() / 500)
        if chance.random() < 0.1:
            return Answer(question_id=question.id, status=Status.FAILED, reason="engine_crash")
        return harmless(job, question)

    house = House(FakeEngine(script))
    stays: list[asyncio.Task[Findings]] = []
    goes: list[asyncio.Task[Findings]] = []
    for _ in range(60):
        needs = replace(NEEDS, probes=tuple(chance.sample(probes, chance.randint(1, 3))))
        upload = asyncio.create_task(house.collect(image(f"{chance.randint(0, 3):02}"), needs))
        (stays if chance.random() < 0.7 else goes).append(upload)
        await asyncio.sleep(chance.random() / 1000)
        if goes and chance.random() < 0.5:
            goes[-1].cancel()
    found = await asyncio.gather(*stays)
    await asyncio.gather(*goes, return_exceptions=True)
    ends = [reading.status for one in found for probe in one.probes.values() for reading in probe.readings]
    assert set(ends) <= {Status.OK, Status.FAILED}
    assert ends.count(Status.OK) > 0.7 * len(ends)
    assert all(one.ocr.status is Status.OK for one in found)
    assert not house.collector._memory.flights._open
    for number in range(4):
        again = await house.collect(image(f"{number:02}"), Needs(probes=(A,), describe=False))
        assert {"ocr", "codes"} <= set(again.recalled)
