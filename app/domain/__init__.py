"""Frozen values and the vocabulary that every room shares. Nothing here does I/O or imports another room."""

from app.domain.audit import AuditEvent
from app.domain.decision import (
    Decision,
    DecisionRecord,
    Evaluation,
    LeafTrace,
    Pins,
    ProbeScore,
    PublishedFindings,
    RuleResult,
    UploadContext,
    Violation,
)
from app.domain.engine import Answer, EngineInfo, EngineJob, EngineState, Question, QuestionKind
from app.domain.findings import (
    Findings,
    KeywordFinding,
    KeywordMatch,
    ProbeFinding,
    ProbeReading,
    SceneFinding,
    TextFinding,
    TextLine,
)
from app.domain.images import Backdrop, Frame, Image, ImageFacts, Picture
from app.domain.needs import COUNTED_SCORE, DEFAULT_VIEWS, VIEWS, KeywordList, Needs, ProbeQuestion, TermOptions
from app.domain.review import CaseState, ReviewCase, Verdict
from app.domain.rulesets import Activation, ActivationSource, Change, RulesetText
from app.domain.value import Value, new_id
from app.domain.words import Mode, Outcome, Severity, Status, TermKind, TextSource, Truth

__all__ = [
    "COUNTED_SCORE",
    "DEFAULT_VIEWS",
    "VIEWS",
    "Activation",
    "ActivationSource",
    "Answer",
    "AuditEvent",
    "Backdrop",
    "CaseState",
    "Change",
    "Decision",
    "DecisionRecord",
    "EngineInfo",
    "EngineJob",
    "EngineState",
    "Evaluation",
    "Findings",
    "Frame",
    "Image",
    "ImageFacts",
    "KeywordFinding",
    "KeywordList",
    "KeywordMatch",
    "LeafTrace",
    "Mode",
    "Needs",
    "Outcome",
    "Picture",
    "Pins",
    "ProbeFinding",
    "ProbeQuestion",
    "ProbeReading",
    "ProbeScore",
    "PublishedFindings",
    "Question",
    "QuestionKind",
    "ReviewCase",
    "RuleResult",
    "RulesetText",
    "SceneFinding",
    "Severity",
    "Status",
    "TermKind",
    "TermOptions",
    "TextFinding",
    "TextLine",
    "TextSource",
    "Truth",
    "UploadContext",
    "Value",
    "Verdict",
    "Violation",
    "new_id",
]
