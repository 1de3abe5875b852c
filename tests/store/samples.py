"""Values for tests of whatever keeps or shows decisions."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from app.domain import (
    AuditEvent,
    Decision,
    DecisionRecord,
    Findings,
    Image,
    ImageFacts,
    Keep,
    Keeping,
    KeywordFinding,
    KeywordMatch,
    LeafTrace,
    Mode,
    Outcome,
    Pins,
    ProbeFinding,
    ProbeReading,
    ProbeScore,
    PublishedFindings,
    ReviewCase,
    RuleResult,
    SceneFinding,
    Severity,
    Status,
    TextFinding,
    TextLine,
    TextSource,
    Truth,
    UploadContext,
    Violation,
    new_id,
)
from app.domain.decision import PublishedText

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)

_BOX = ((1.5, 2.0), (90.25, 2.0), (90.25, 20.0), (1.5, 20.0))


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def facts(data: bytes = b"a picture") -> ImageFacts:
    return ImageFacts(
        sha256=hashlib.sha256(data).hexdigest(),
        width=800,
        height=600,
        format="png",
        size_bytes=len(data),
        pdq="f0" * 32,
        pdq_quality=88,
    )


def image(data: bytes = b"a picture") -> Image:
    return Image(facts=facts(data), media_type="image/png", frames=(), preview=b"grey " + data[:4])


def event(subject: str = "dec_1", *, at: datetime = NOON, **body: Any) -> AuditEvent:
    return AuditEvent(id=new_id("evt"), kind="decision.made", at=at, actor="key_1", subject=subject, body=body)


def findings(picture: ImageFacts) -> Findings:
    """Findings of every kind, with what JSON is bad at: tiny numbers, line ends, NUL, emoji, empty strings."""
    line = TextLine(text="加vx: 免费\x00 🎰 \r\n\u2028", frame=0, confidence=0.9876543210123456, box=_BOX)
    match = KeywordMatch(
        list="contraband",
        category="contraband",
        term="加微信",
        matched="加vx",
        source=TextSource.OCR,
        span=(0, 3),
        line=0,
        view="fold",
        box=_BOX,
    )
    ok = ProbeReading(frame=0, language="zh", status=Status.OK, log_yes=-1e-300, log_no=-708.4)
    late = ProbeReading(frame=1, language="en", status=Status.TIMEOUT, reason="deadline")
    return Findings(
        image=picture,
        probes={"violence": ProbeFinding(readings=(ok, late))},
        ocr=TextFinding(status=Status.OK, lines=(line,)),
        model_text=TextFinding(status=Status.SKIPPED, reason="not_needed"),
        caption="a caption with 'quotes' and \\ and \x00",
        scene=SceneFinding(status=Status.FAILED, reason="engine_crash"),
        keywords=KeywordFinding(sources={TextSource.OCR: Status.OK}, matches=(match,)),
    )


def decision(
    *,
    outcome: Outcome = Outcome.PASS,
    at: datetime = NOON,
    picture: ImageFacts | None = None,
    decision_id: str | None = None,
    categories: Sequence[str] = ("violence",),
) -> Decision:
    """`categories` are those of its violations."""
    picture = picture or facts()
    found = findings(picture)
    return Decision(
        id=decision_id or new_id("dec"),
        outcome=outcome,
        passed=outcome is Outcome.PASS,
        degraded=outcome is Outcome.REVIEW,
        degraded_by=("probes.violence: timeout",) if outcome is Outcome.REVIEW else (),
        demo=False,
        violations=tuple(
            Violation(rule=f"graphic-{category}", category=category, outcome=outcome, score=0.93, reason="Blut")
            for category in categories
        ),
        scores={"violence": 0.93, "sexual": None},
        findings=PublishedFindings(
            probes={"violence": ProbeScore(status=Status.OK, p=0.93, mass=0.99, lower_bound=True)},
            ocr=PublishedText(status=Status.OK, text=found.ocr.text, lines=found.ocr.lines),
            model_text=PublishedText(status=Status.SKIPPED, reason="not_needed", text=""),
            keywords=found.keywords,
            scene=found.scene,
        ),
        rules=(
            RuleResult(
                id="graphic-violence",
                mode=Mode.LIVE,
                result=Truth.TRUE,
                outcome=outcome,
                trace=(LeafTrace(condition="p > 0.9", values={"p": 0.93, "q": None}, result=Truth.TRUE),),
            ),
        ),
        pins=Pins(
            ruleset="sha256:" + digest("ruleset"),
            policy="sha256:" + digest("policy"),
            lists={"contraband": "sha256:" + digest("contraband")},
            model="sha256:" + digest("model"),
            projector=None,
            prompts="sha256:" + digest("prompts"),
            ocr="rapidocr 3.10.0",
            normaliser="1",
            app="0.1.0",
        ),
        image=picture,
        timing_ms={"total": 120.4},
        created_at=at,
    )


def record(
    *,
    outcome: Outcome = Outcome.PASS,
    at: datetime = NOON,
    picture: ImageFacts | None = None,
    key_id: str = "key_1",
    idempotency_key: str | None = None,
    request_digest: str | None = None,
    categories: Sequence[str] = ("violence",),
) -> DecisionRecord:
    made = decision(outcome=outcome, at=at, picture=picture, categories=categories)
    return DecisionRecord(
        decision=made,
        findings=findings(made.image),
        context=UploadContext(caption="两个字\x00", surface="chat", user_id="u1", metadata={"n": [1, None, "x"]}),
        key_id=key_id,
        media_type="image/png",
        idempotency_key=idempotency_key,
        request_digest=request_digest,
    )


def case_of(made: Decision, *, priority: Severity = Severity.MEDIUM, at: datetime | None = None) -> ReviewCase:
    return ReviewCase(id=new_id("case"), decision_id=made.id, priority=priority, opened_at=at or made.created_at)


def keeping(
    *, passed: float = 1, reviewed: float | None = None, rejected: float | None = None, **categories: float
) -> Keeping:
    """All in days."""

    def keep(days: float | None, rule: str) -> Keep:
        return Keep(None if days is None else timedelta(days=days), rule)

    return Keeping(
        passed=keep(passed, "passed_hours"),
        reviewed=keep(passed if reviewed is None else reviewed, "reviewed_days"),
        rejected=keep(rejected, "rejected_days"),
        categories={name: keep(days, name) for name, days in categories.items()},
        policy="sha256:" + digest("policy"),
    )
