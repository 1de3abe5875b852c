"""An evaluation and its findings, dressed as the Decision that a platform gets."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import sha256

import rfc8785

import app
from app.domain import (
    AuditEvent,
    Decision,
    EngineInfo,
    Evaluation,
    Findings,
    Outcome,
    Pins,
    PublishedFindings,
    Question,
    ReviewCase,
    Severity,
    TextFinding,
    new_id,
)
from app.domain.decision import PublishedText
from app.policy.ruleset import Ruleset


def pins(
    ruleset: Ruleset, engine: EngineInfo, questions: Iterable[Question], *, ocr: str, codes: str, normaliser: str
) -> Pins:
    """What decided, by digest. `questions` are those of the first frame: every kind of question is asked of it."""
    asked = [[question.id, question.kind.value, question.prompt, question.max_tokens] for question in questions]
    return Pins(
        ruleset=ruleset.digest,
        policy=ruleset.policy_digest,
        lists={entry.name: entry.digest for entry in ruleset.lists},
        model=engine.model_pin,
        projector=engine.projector_digest,
        prompts=f"sha256:{sha256(rfc8785.dumps(asked)).hexdigest()}",
        ocr=ocr,
        codes=codes,
        normaliser=normaliser,
        app=app.__version__,
    )


def decision(
    evaluation: Evaluation,
    findings: Findings,
    *,
    pins: Pins,
    demo: bool,
    timing_ms: Mapping[str, float],
    case_id: str | None,
    at: datetime,
) -> Decision:
    return Decision(
        id=new_id("dec"),
        outcome=evaluation.outcome,
        passed=evaluation.outcome is Outcome.PASS,
        degraded=evaluation.degraded,
        degraded_by=evaluation.degraded_by,
        demo=demo,
        violations=evaluation.violations,
        scores=evaluation.scores,
        findings=PublishedFindings(
            probes=evaluation.probes,
            ocr=_published(findings.ocr),
            model_text=_published(findings.model_text),
            codes=findings.codes,
            keywords=findings.keywords,
            scene=findings.scene,
            recalled=findings.recalled,
        ),
        rules=evaluation.rules,
        pins=pins,
        image=findings.image,
        case_id=case_id,
        surface=evaluation.surface,
        timing_ms=dict(timing_ms),
        created_at=at,
    )


def review_case(decision: Decision, priority: Severity) -> ReviewCase | None:
    """The case that the decision names, if it names one."""
    if decision.case_id is None:
        return None
    return ReviewCase(id=decision.case_id, decision_id=decision.id, priority=priority, opened_at=decision.created_at)


def audit_event(decision: Decision, key_id: str) -> AuditEvent:
    """Ids, digests and outcomes only: the log outlives the erasure of what was found."""
    return AuditEvent(
        id=new_id("evt"),
        kind="decision.made",
        at=decision.created_at,
        actor=key_id,
        subject=decision.id,
        body={
            "outcome": decision.outcome.value,
            "degraded": decision.degraded,
            "demo": decision.demo,
            "violations": [violation.rule for violation in decision.violations],
            "image_sha256": decision.image.sha256,
            "ruleset": decision.pins.ruleset,
            "model": decision.pins.model,
            "case_id": decision.case_id,
            "supersedes": decision.supersedes,
        },
    )


def _published(text: TextFinding) -> PublishedText:
    return PublishedText(status=text.status, reason=text.reason, text=text.text, lines=text.lines)
