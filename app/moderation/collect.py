"""Image in, findings out: every signal a ruleset needs, the slow ones side by side, none past the deadline."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import structlog

from app.domain import (
    Answer,
    CodesFinding,
    EngineJob,
    Findings,
    Frame,
    Image,
    KeywordFinding,
    Needs,
    Question,
    Status,
    TextFinding,
    TextSource,
    UploadContext,
    new_id,
)
from app.metrics import FINDINGS
from app.moderation.ports import Engine
from app.moderation.timing import Stopwatch
from app.policy.texts import texts_to_match
from app.signals.base import CodeReader, KeywordMatcher, ModelTextSignal, ProbeSignal, SceneSignal, TextReader

log = structlog.get_logger(__name__)

#: Kept back from the deadline for matching, evaluating and committing, in seconds.
FINISH_RESERVE_S = 0.3

#: A longer text takes some tens of milliseconds to match.
_LONG_TEXT_CHARACTERS = 3_000


@dataclass(frozen=True, slots=True)
class Signals:
    """Everything that can be asked of a picture."""

    reader: TextReader
    codes: CodeReader
    matcher: KeywordMatcher
    probes: ProbeSignal
    scene: SceneSignal
    model_text: ModelTextSignal

    def questions(self, needs: Needs, frame: Frame) -> tuple[Question, ...]:
        """What the model is asked about one frame: all model signals in one job."""
        asked = [signal.questions(needs, frame) for signal in (self.probes, self.model_text, self.scene)]
        return tuple(question for questions in asked for question in questions)


class Collector:
    def __init__(self, signals: Signals, engine: Engine) -> None:
        self._signals = signals
        self._engine = engine

    async def collect(self, image: Image, context: UploadContext, needs: Needs, watch: Stopwatch) -> Findings:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(self._read_text(image.frames, needs, watch))
            decoding = group.create_task(self._read_codes(image.frames, needs, watch))
            asking = group.create_task(self._ask(image.frames, needs, watch))
        ocr, codes, answers = reading.result(), decoding.result(), asking.result()
        scene = self._signals.scene.read(needs, image.frames, answers)
        model_text = self._signals.model_text.read(needs, image.frames, answers)
        with watch.stage("keywords"):
            texts = texts_to_match(
                needs, ocr=ocr, model_text=model_text, codes=codes, scene=scene, caption=context.caption
            )
            keywords = await self._match(needs, texts)
        findings = Findings(
            image=image.facts,
            probes=self._signals.probes.read(needs, image.frames, answers),
            ocr=ocr,
            model_text=model_text,
            codes=codes,
            caption=context.caption,
            scene=scene,
            keywords=keywords,
        )
        _count(findings)
        return findings

    async def _read_text(self, frames: Sequence[Frame], needs: Needs, watch: Stopwatch) -> TextFinding:
        if not needs.read_text:
            return TextFinding(status=Status.SKIPPED, reason="not asked")
        with watch.stage("ocr"):
            try:
                return await self._signals.reader.read(frames, timeout_s=watch.remaining_s(reserve_s=FINISH_RESERVE_S))
            except Exception as fault:  # a signal's fault is a finding, never an outage
                log.exception("text reader broke its contract", action="signal_failed", signal="ocr")
                return TextFinding(status=Status.FAILED, reason=f"internal error: {type(fault).__name__}")

    async def _read_codes(self, frames: Sequence[Frame], needs: Needs, watch: Stopwatch) -> CodesFinding:
        if not needs.read_codes:
            return CodesFinding(status=Status.SKIPPED, reason="not asked")
        with watch.stage("codes"):
            try:
                return await self._signals.codes.read(frames, timeout_s=watch.remaining_s(reserve_s=FINISH_RESERVE_S))
            except Exception as fault:  # a signal's fault is a finding, never an outage
                log.exception("code reader broke its contract", action="signal_failed", signal="codes")
                return CodesFinding(status=Status.FAILED, reason=f"internal error: {type(fault).__name__}")

    async def _ask(self, frames: Sequence[Frame], needs: Needs, watch: Stopwatch) -> list[Mapping[str, Answer]]:
        with watch.stage("model"):
            async with asyncio.TaskGroup() as group:
                jobs = [group.create_task(self._ask_frame(frame, needs, watch)) for frame in frames]
        return [job.result() for job in jobs]

    async def _ask_frame(self, frame: Frame, needs: Needs, watch: Stopwatch) -> Mapping[str, Answer]:
        questions = self._signals.questions(needs, frame)
        if not questions:
            return {}
        job = EngineJob(
            id=new_id("job"),
            picture=frame.picture,
            questions=questions,
            deadline_at=watch.deadline_at - FINISH_RESERVE_S,
        )
        answers: dict[str, Answer] = {}
        try:
            async with asyncio.timeout(watch.remaining_s(reserve_s=FINISH_RESERVE_S / 2)):
                async with aclosing(self._engine.ask(job)) as stream:
                    async for answer in stream:
                        answers[answer.question_id] = answer
        except TimeoutError:
            log.warning("engine overran the deadline", action="engine_overran", job_id=job.id)
        except Exception as fault:  # a signal's fault is a finding, never an outage
            log.exception("engine broke its contract", action="signal_failed", signal="model")
            reason = f"internal error: {type(fault).__name__}"
            for question in questions:
                answers.setdefault(question.id, Answer(question_id=question.id, status=Status.FAILED, reason=reason))
        return answers

    async def _match(self, needs: Needs, texts: Mapping[TextSource, TextFinding]) -> KeywordFinding:
        """In a thread where it may take longer than other uploads should wait."""
        long = sum(len(line.text) for finding in texts.values() for line in finding.lines) > _LONG_TEXT_CHARACTERS
        try:
            if long:
                return await asyncio.to_thread(self._signals.matcher.match, needs.lists, texts)
            return self._signals.matcher.match(needs.lists, texts)
        except Exception:  # every source counts as unread: no count over them may say "none"
            log.exception("keyword matcher broke its contract", action="signal_failed", signal="keywords")
            return KeywordFinding(sources=dict.fromkeys(texts, Status.FAILED))


def _count(findings: Findings) -> None:
    for probe in findings.probes.values():
        for reading in probe.readings:
            FINDINGS.labels("probes", reading.status.value).inc()
    FINDINGS.labels("ocr", findings.ocr.status.value).inc()
    FINDINGS.labels("model_text", findings.model_text.status.value).inc()
    FINDINGS.labels("codes", findings.codes.status.value).inc()
    FINDINGS.labels("scene", findings.scene.status.value).inc()
