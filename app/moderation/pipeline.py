"""One upload, start to end. This file reads top to bottom as the product."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from app.domain import (
    Decision,
    DecisionRecord,
    EngineInfo,
    Findings,
    Image,
    Outcome,
    ReviewCase,
    new_id,
)
from app.errors import PortcullisError
from app.intake.decode import Inspected, Intake
from app.metrics import DECISIONS, REFUSED_UPLOADS
from app.moderation import compose
from app.moderation.admission import Admission, Place
from app.moderation.collect import Collector, Signals
from app.moderation.decoding import Decoding
from app.moderation.early_stop import EarlyStop, runs_in_full
from app.moderation.findings_cache import FindingsCache
from app.moderation.ports import Beside, DecisionStore, Engine, EvidenceStore
from app.moderation.quality import sampled_by
from app.moderation.recall import Memory
from app.moderation.repeats import Repeat, repeat
from app.moderation.timing import Stopwatch
from app.moderation.upload import Upload
from app.moderation.witness import Witness
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
        self._decoding = Decoding(intake, cache)
        self._memory = Memory(cache)
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
            with self._admission.admit(len(upload.data)) as place:
                return await self._decide(
                    upload, place, min(deadline_s or self._deadlines.default_s, self._deadlines.longest_s)
                )
        except PortcullisError as refusal:
            REFUSED_UPLOADS.labels(refusal.code).inc()
            raise

    async def _decide(self, upload: Upload, place: Place, deadline_s: float) -> Decision:
        watch = Stopwatch(deadline_s)
        ruleset = self._ruleset()
        earlier = await self._earlier(upload)
        if earlier is not None:
            return earlier
        decision_id = new_id("dec")
        with watch.stage("intake"):
            file = await self._decoding.inspect(upload.data)
            known = self._known(file, upload.context.caption, ruleset)
            if known is None:
                place.ask(engine_queue_depth=self._engine.info.queue_depth)
                image = await self._decoding.decode(file, watch)
        if known is None:
            witness = Witness(self._engine)
            findings = await self._collector.collect(
                image,
                upload.context,
                ruleset.needs,
                watch,
                stop=self._early_stop(decision_id, upload, ruleset, witness),
                witness=witness,
            )
            engine = witness.engine
        else:
            image, engine = known.image, known.engine
            findings = await known.findings(self._signals, upload.context, ruleset.needs, watch)
        record, case = self._judge(
            upload, ruleset, image, findings, engine=engine, watch=watch, decision_id=decision_id
        )
        with watch.stage("store"):
            decision = await self._commit(record, case, image, upload.data)
        if self._beside is not None and decision.id == record.decision.id:
            self._beside.offer(record, ruleset, image, pixels=lambda: self._decoding.decode_beside(file))
        return decision

    async def _earlier(self, upload: Upload) -> Decision | None:
        if upload.idempotency_key is None:
            return None
        return await self._decisions.find_idempotent(upload.key_id, upload.idempotency_key, upload.digest)

    def _known(self, file: Inspected, caption: str | None, ruleset: Ruleset) -> Repeat | None:
        """All that the ruleset asks of this picture and what is written beside it, where all of it was asked before."""
        outline = self._decoding.recalled(file)
        if outline is None:
            return None
        recall = self._memory.of(outline)
        known = repeat(outline, recall, self._signals, ruleset.needs, self._engine.info, caption=caption)
        if known is not None:
            self._decoding.count_recalled()
        return known

    def _early_stop(self, decision_id: str, upload: Upload, ruleset: Ruleset, witness: Witness) -> EarlyStop | None:
        if not ruleset.policy.defaults.early_stop or runs_in_full(decision_id, self._full_share):
            return None
        return EarlyStop(ruleset, upload.context, lambda: witness.engine.model_digest)

    def _judge(
        self,
        upload: Upload,
        ruleset: Ruleset,
        image: Image,
        findings: Findings,
        *,
        engine: EngineInfo,
        watch: Stopwatch,
        decision_id: str,
    ) -> tuple[DecisionRecord, ReviewCase | None]:
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
                self._signals.prompts(ruleset.needs, image.frames[0]),
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
