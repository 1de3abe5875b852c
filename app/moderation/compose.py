"""An evaluation and its findings, dressed as the Decision that a platform gets."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from hashlib import sha256

import rfc8785

import app
from app.domain import (
    AuditEvent,
    CaseKind,
    Decision,
    DecisionRecord,
    EngineInfo,
    Evaluation,
    Findings,
    Outcome,
    Pins,
    PublishedFindings,
    Question,
    ReviewCase,
    Severity,
    Status,
    TextFinding,
    new_id,
)
from app.domain.decision import PublishedText
from app.moderation.gathering import DECIDED
from app.policy.ruleset import Ruleset


def pins(
    ruleset: Ruleset, engine: EngineInfo, questions: Iterable[Question], *, ocr: str, codes: str, normaliser: str
) -> Pins:
    """What decided, by digest. `questions` are all that there are, each once."""
    return Pins(
        ruleset=ruleset.digest,
        policy=ruleset.policy_digest,
        lists={entry.name: entry.digest for entry in ruleset.lists},
        model=engine.model_pin,
        projector=engine.projector_digest,
        prompts=_prompts_pin(tuple(questions)),
        ocr=ocr,
        codes=codes,
        normaliser=normaliser,
        app=app.__version__,
    )


@lru_cache(64)  # a policy has one or two of them
def _prompts_pin(questions: tuple[Question, ...]) -> str:
    asked = [
        [question.id, question.kind.value, question.prompt, question.max_tokens, *([stop] if stop else [])]
        for question in questions
        for stop in [list(question.stop)]
    ]
    return f"sha256:{sha256(rfc8785.dumps(asked)).hexdigest()}"


def decision(
    evaluation: Evaluation,
    findings: Findings,
    *,
    decision_id: str,
    pins: Pins,
    demo: bool,
    timing_ms: Mapping[str, float],
    case_id: str | None,
    at: datetime,
    sampled_by: tuple[str, ...] = (),
) -> Decision:
    return Decision(
        id=decision_id,
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
        sampled_by=sampled_by,
        surface=evaluation.surface,
        timing_ms=dict(timing_ms),
        created_at=at,
    )


def review_case(decision: Decision, priority: Severity) -> ReviewCase | None:
    """The case that the decision names, if it names one."""
    if decision.case_id is None:
        return None
    sampled = bool(decision.sampled_by)
    return ReviewCase(
        id=decision.case_id,
        decision_id=decision.id,
        kind=CaseKind.QUALITY if sampled else CaseKind.REVIEW,
        # Behind every case that somebody waits for.
        priority=Severity.LOW if sampled else priority,
        opened_at=decision.created_at,
    )


def audit_event(record: DecisionRecord) -> AuditEvent:
    """Ids, digests, names and outcomes only: the log outlives the erasure of what was found."""
    decision, skipped = record.decision, skipped_early(record.findings)
    return AuditEvent(
        id=new_id("evt"),
        kind="decision.made",
        at=decision.created_at,
        actor=record.key_id,
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
            # Only where something was: what is there of every decision stays what it was.
            **({"skipped": skipped} if skipped else {}),
            **({"sampled_by": [*decision.sampled_by]} if decision.sampled_by else {}),
        },
    )


def skipped_early(findings: Findings) -> list[str]:
    """What the model was not asked to the end because no rule could use it, by name."""
    readings = ((f"probes.{name}", one) for name, probe in findings.probes.items() for one in probe.readings)
    ends = [(name, one.status, one.reason) for name, one in readings]
    ends.append(("model_text", findings.model_text.status, findings.model_text.reason))
    ends.append(("scene", findings.scene.status, findings.scene.reason))
    return sorted({name for name, status, reason in ends if status is Status.SKIPPED and reason == DECIDED})


def _published(text: TextFinding) -> PublishedText:
    return PublishedText(status=text.status, reason=text.reason, text=text.text, lines=text.lines)
