"""One upload, start to end. This file reads top to bottom as the product."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from app.domain import Decision, DecisionRecord, Findings, Image, Outcome, ReviewCase, new_id
from app.errors import DecodeFailed, NotReady, PortcullisError, WorkerCrashed, WorkerTimeout
from app.intake.decode import Intake
from app.metrics import DECISIONS, REFUSED_UPLOADS
from app.moderation import compose
from app.moderation.admission import Admission
from app.moderation.collect import Collector, Signals
from app.moderation.early_stop import EarlyStop, runs_in_full
from app.moderation.findings_cache import FindingsCache
from app.moderation.ports import Beside, DecisionStore, Engine, EvidenceStore
from app.moderation.quality import sampled_by
from app.moderation.timing import FINISH_RESERVE_S, Stopwatch
from app.moderation.upload import Upload
from app.policy.evaluate import evaluate
from app.policy.ruleset import Ruleset

log = structlog.get_logger(__name__)

__all__ = ["Deadlines", "Moderator", "Upload"]


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds a decision may take: what an upload gets unasked, and the most it may ask for."""

    default_s: float
    longest_s: float


class Moderator:
    """Turns uploads into decisions. `ruleset` gives the ruleset of the moment: an upload finishes under the one it
    began with, whatever is activated meanwhile. Where its policy stops early, `full_share` (0..1) of the uploads are
    asked everything all the same."""

    def __init__(
        self,
        *,
        intake: Intake,
        signals: Signals,
        engine: Engine,
        ruleset: Callable[[], Ruleset],
        decisions: DecisionStore,
        evidence: EvidenceStore,
        admission: Admission,
        deadlines: Deadlines,
        beside: Beside | None = None,
        cache: FindingsCache | None = None,
        full_share: float = 0.01,
    ) -> None:
        self._intake = intake
        self._signals = signals
        self._collector = Collector(signals, engine, cache)
        self._full_share = full_share
        self._engine = engine
        self._ruleset = ruleset
        self._decisions = decisions
        self._evidence = evidence
        self._admission = admission
        self._deadlines = deadlines
        self._beside = beside

    async def moderate(self, upload: Upload, *, deadline_s: float | None = None) -> Decision:
        """The decision, committed. `deadline_s` is cut to the longest allowed.

        Raises UploadError for what is not a sound picture, Unavailable when there is no room, IdempotencyConflict for
        a reused key, and StoreUnavailable when the decision could not be committed. In none of these cases is there a
        decision, and in none did the upload pass.
        """
        try:
            with self._admission.admit(len(upload.data), engine_queue_depth=self._engine.info.queue_depth):
                return await self._decide(
                    upload, min(deadline_s or self._deadlines.default_s, self._deadlines.longest_s)
                )
        except PortcullisError as refusal:
            REFUSED_UPLOADS.labels(refusal.code).inc()
            raise

    async def _decide(self, upload: Upload, deadline_s: float) -> Decision:
        watch = Stopwatch(deadline_s)
        ruleset = self._ruleset()
        earlier = await self._earlier(upload)
        if earlier is not None:
            return earlier
        with watch.stage("intake"):
            image = await self._decode(upload.data, watch)
        decision_id = new_id("dec")
        stop = self._early_stop(decision_id, upload, ruleset)
        findings = await self._collector.collect(image, upload.context, ruleset.needs, watch, stop=stop)
        record, case = self._judge(upload, ruleset, image, findings, watch, decision_id=decision_id)
        with watch.stage("store"):
            decision = await self._commit(record, case, image, upload.data)
        if self._beside is not None and decision.id == record.decision.id:
            self._beside.offer(record, ruleset, image)
        return decision

    async def _earlier(self, upload: Upload) -> Decision | None:
        if upload.idempotency_key is None:
            return None
        return await self._decisions.find_idempotent(upload.key_id, upload.idempotency_key, upload.digest)

    async def _decode(self, data: bytes, watch: Stopwatch) -> Image:
        """A crash costs one retry; a picture that kills two workers is refused as one that cannot be decoded."""
        try:
            return await self._decode_once(data, watch)
        except WorkerCrashed:
            log.warning("media worker died while decoding; trying once more", action="decode_retried")
        try:
            return await self._decode_once(data, watch)
        except WorkerCrashed as crash:
            raise DecodeFailed("the picture could not be decoded: the decoder died on it twice") from crash

    async def _decode_once(self, data: bytes, watch: Stopwatch) -> Image:
        try:
            return await self._intake.decode(data, timeout_s=watch.remaining_s(reserve_s=FINISH_RESERVE_S))
        except WorkerTimeout as timeout:
            raise NotReady("the picture could not be decoded within the deadline", retry_after_s=2) from timeout

    def _early_stop(self, decision_id: str, upload: Upload, ruleset: Ruleset) -> EarlyStop | None:
        if not ruleset.policy.defaults.early_stop or runs_in_full(decision_id, self._full_share):
            return None
        return EarlyStop(ruleset, upload.context, lambda: self._engine.info.model_digest)

    def _judge(
        self, upload: Upload, ruleset: Ruleset, image: Image, findings: Findings, watch: Stopwatch, *, decision_id: str
    ) -> tuple[DecisionRecord, ReviewCase | None]:
        engine = self._engine.info
        with watch.stage("policy"):
            evaluation = evaluate(ruleset, findings, upload.context, model_digest=engine.model_digest)
        sampled = sampled_by(decision_id, evaluation, ruleset.policy)
        decision = compose.decision(
            evaluation,
            findings,
            decision_id=decision_id,
            pins=compose.pins(
                ruleset,
                engine,
                self._signals.questions(ruleset.needs, image.frames[0]),
                ocr=self._signals.reader.version if ruleset.needs.read_text else "off",
                codes=self._signals.codes.version if ruleset.needs.read_codes else "off",
                normaliser=self._signals.matcher.normaliser,
            ),
            demo=engine.demonstration,
            timing_ms=watch.timing_ms(),
            case_id=new_id("case") if sampled or evaluation.outcome is Outcome.REVIEW else None,
            sampled_by=sampled,
            at=datetime.now(UTC),
        )
        record = DecisionRecord(
            decision=decision,
            findings=findings,
            context=upload.context,
            key_id=upload.key_id,
            media_type=image.media_type,
            idempotency_key=upload.idempotency_key,
            request_digest=upload.digest if upload.idempotency_key is not None else None,
        )
        return record, compose.review_case(decision, evaluation.priority)

    async def _commit(self, record: DecisionRecord, case: ReviewCase | None, image: Image, data: bytes) -> Decision:
        """The picture first: a decision without its evidence would be worse than evidence without a decision."""
        await self._evidence.put(image, data)
        event = compose.audit_event(record)
        decision = await self._decisions.record(record, [event], case)
        if decision.id == record.decision.id:
            DECISIONS.labels(decision.outcome.value, str(decision.degraded).lower()).inc()
            log.info("decided", action="decision_made", **record.log_context())
        return decision
