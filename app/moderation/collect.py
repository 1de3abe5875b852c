"""Image in, findings out: every signal a ruleset needs, the slow ones side by side, none past the deadline."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from app.domain import (
    Answer,
    CodesFinding,
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
)
from app.metrics import FINDINGS
from app.moderation.asking import Asking
from app.moderation.findings_cache import FindingsCache
from app.moderation.ports import Engine
from app.moderation.recall import CODES, TEXT, Memory, Recall
from app.moderation.timing import FINISH_RESERVE_S, Stopwatch
from app.policy.texts import texts_to_match
from app.signals.base import CodeReader, KeywordMatcher, ModelTextSignal, ProbeSignal, SceneSignal, TextReader

log = structlog.get_logger(__name__)

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
    """`cache` keeps findings for later uploads of the same picture; None asks everything anew."""

    def __init__(self, signals: Signals, engine: Engine, cache: FindingsCache | None = None) -> None:
        self._signals = signals
        self._engine = engine
        self._memory = Memory(cache)

    async def collect(self, image: Image, context: UploadContext, needs: Needs, watch: Stopwatch) -> Findings:
        recall = self._memory.of(image)
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(self._read_text(image.frames, needs, recall, watch))
            decoding = group.create_task(self._read_codes(image.frames, needs, recall, watch))
            asking = group.create_task(self._ask(image.frames, needs, recall, watch))
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
            recalled=tuple(sorted(recall.recalled)),
        )
        _count(findings)
        return findings

    async def _read_text(self, frames: Sequence[Frame], needs: Needs, recall: Recall, watch: Stopwatch) -> TextFinding:
        if not needs.read_text:
            return TextFinding(status=Status.SKIPPED, reason="not asked")
        reader = self._signals.reader
        with watch.stage("ocr"):
            try:
                return await recall.finding(
                    "ocr",
                    reader.version,
                    TEXT,
                    lambda: reader.read(frames, timeout_s=watch.remaining_s(reserve_s=FINISH_RESERVE_S)),
                    watch,
                )
            except Exception as fault:  # a signal's fault is a finding, never an outage
                log.exception("text reader broke its contract", action="signal_failed", signal="ocr")
                return TextFinding(status=Status.FAILED, reason=f"internal error: {type(fault).__name__}")

    async def _read_codes(
        self, frames: Sequence[Frame], needs: Needs, recall: Recall, watch: Stopwatch
    ) -> CodesFinding:
        if not needs.read_codes:
            return CodesFinding(status=Status.SKIPPED, reason="not asked")
        reader = self._signals.codes
        with watch.stage("codes"):
            try:
                return await recall.finding(
                    "codes",
                    reader.version,
                    CODES,
                    lambda: reader.read(frames, timeout_s=watch.remaining_s(reserve_s=FINISH_RESERVE_S)),
                    watch,
                )
            except Exception as fault:  # a signal's fault is a finding, never an outage
                log.exception("code reader broke its contract", action="signal_failed", signal="codes")
                return CodesFinding(status=Status.FAILED, reason=f"internal error: {type(fault).__name__}")

    async def _ask(
        self, frames: Sequence[Frame], needs: Needs, recall: Recall, watch: Stopwatch
    ) -> list[Mapping[str, Answer]]:
        answers: list[dict[str, Answer]] = [{} for _ in frames]
        with watch.stage("model"):
            async with asyncio.TaskGroup() as group:
                for frame, heard in zip(frames, answers, strict=True):
                    questions = self._signals.questions(needs, frame)
                    asking = Asking(self._engine, recall, frame, questions, partial(_note, heard))
                    group.create_task(asking.run(watch))
        return list(answers)

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


def _note(heard: dict[str, Answer], answer: Answer) -> None:
    heard[answer.question_id] = answer


def _count(findings: Findings) -> None:
    for probe in findings.probes.values():
        for reading in probe.readings:
            FINDINGS.labels("probes", reading.status.value).inc()
    FINDINGS.labels("ocr", findings.ocr.status.value).inc()
    FINDINGS.labels("model_text", findings.model_text.status.value).inc()
    FINDINGS.labels("codes", findings.codes.status.value).inc()
    FINDINGS.labels("scene", findings.scene.status.value).inc()
