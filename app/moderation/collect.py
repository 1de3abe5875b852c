"""Image in, findings out: every signal a ruleset needs, the slow ones side by side, none past the deadline."""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from app.domain import (
    Answer,
    CodesFinding,
    Findings,
    Frame,
    Image,
    Needs,
    Status,
    TextFinding,
    UploadContext,
    WrittenText,
)
from app.moderation.asking import Asking
from app.moderation.early_stop import EarlyStop
from app.moderation.findings_cache import FindingsCache
from app.moderation.gathering import Gathering, count
from app.moderation.ports import Engine
from app.moderation.recall import CODES, TEXT, Memory, Recall
from app.moderation.signals import Signals
from app.moderation.timing import FINISH_RESERVE_S, Stopwatch
from app.moderation.witness import Witness

__all__ = ["Collector", "Signals"]

log = structlog.get_logger(__name__)


class Collector:
    """`cache` keeps findings for later uploads of the same picture; None asks everything anew."""

    def __init__(self, signals: Signals, engine: Engine, cache: FindingsCache | None = None) -> None:
        self._signals = signals
        self._engine = engine
        self._memory = Memory(cache)

    async def collect(
        self,
        image: Image,
        context: UploadContext,
        needs: Needs,
        watch: Stopwatch,
        *,
        stop: EarlyStop | None = None,
        witness: Witness | None = None,
    ) -> Findings:
        """Without `stop` everything is asked to the end. The answers are of the engine that `witness` tells of."""
        seen = witness or Witness(self._engine)
        recall = self._memory.of(image)
        gathering = Gathering(self._signals, image, context, needs, recall)
        asking = gathering.asking(lambda at, heard: self._asking(gathering.subjects[at], needs, recall, heard, seen))
        async with asyncio.TaskGroup() as group:
            if gathering.ocr is None:
                group.create_task(self._read_text(gathering, image.frames, recall, watch))
            if gathering.codes is None:
                group.create_task(self._read_codes(gathering, image.frames, recall, watch))
            group.create_task(self._ask(gathering, asking, watch))
            if stop is not None:
                group.create_task(stop.watch(gathering))
        with watch.stage("keywords"):
            findings = await gathering.findings(recall.recalled)
        count(findings)
        return findings

    async def _read_text(self, gathering: Gathering, frames: Sequence[Frame], recall: Recall, watch: Stopwatch) -> None:
        reader = self._signals.reader
        with watch.stage("ocr"):
            try:
                gathering.ocr = await recall.finding(
                    "ocr",
                    reader.version,
                    TEXT,
                    lambda: reader.read(frames, timeout_s=watch.remaining_s(reserve_s=FINISH_RESERVE_S)),
                    watch,
                )
            except Exception as fault:  # a signal's fault is a finding, never an outage
                log.exception("text reader broke its contract", action="signal_failed", signal="ocr")
                gathering.ocr = TextFinding(status=Status.FAILED, reason=f"internal error: {type(fault).__name__}")
        gathering.news.set()

    async def _read_codes(
        self, gathering: Gathering, frames: Sequence[Frame], recall: Recall, watch: Stopwatch
    ) -> None:
        reader = self._signals.codes
        with watch.stage("codes"):
            try:
                gathering.codes = await recall.finding(
                    "codes",
                    reader.version,
                    CODES,
                    lambda: reader.read(frames, timeout_s=watch.remaining_s(reserve_s=FINISH_RESERVE_S)),
                    watch,
                )
            except Exception as fault:  # a signal's fault is a finding, never an outage
                log.exception("code reader broke its contract", action="signal_failed", signal="codes")
                gathering.codes = CodesFinding(status=Status.FAILED, reason=f"internal error: {type(fault).__name__}")
        gathering.news.set()

    def _asking(
        self,
        about: Frame | WrittenText,
        needs: Needs,
        recall: Recall,
        heard: Callable[[Answer], None],
        witness: Witness,
    ) -> Asking:
        return Asking(self._engine, recall, about, self._signals.questions(needs, about), heard=heard, witness=witness)

    async def _ask(self, gathering: Gathering, asking: Sequence[Asking], watch: Stopwatch) -> None:
        with watch.stage("model"):
            async with asyncio.TaskGroup() as group:
                for one in asking:
                    group.create_task(one.run(watch))
        gathering.news.set()
