"""From an evaluation to a stored decision."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import Field, JsonValue

from app.domain.findings import CodesFinding, Findings, KeywordFinding, SceneFinding, TextLine
from app.domain.images import ImageFacts
from app.domain.value import Value
from app.domain.words import Ground, Mode, Outcome, Severity, Status, Truth


class UploadContext(Value):
    """What the platform says about an upload. Conditions see `surface`, and whether there is a caption."""

    caption: str | None = None
    surface: str | None = None
    user_id: str | None = None
    external_id: str | None = None
    metadata: dict[str, JsonValue] = Field(default_factory=dict)


class LeafTrace(Value):
    """One condition of a rule: its text, the values it saw (None: unknown), and what it came to."""

    condition: str
    values: dict[str, bool | int | float | str | None]
    result: Truth


class RuleResult(Value):
    """One rule's end. `outcome` is what it asks for if true, or if unknown (`on_unknown`); None when it asks nothing.
    `overridden_by` names the allow rule that set it aside, `surface` the one that has the rule otherwise than the rest
    of the platform: in its mode, its outcome or a threshold that it names."""

    id: str
    mode: Mode
    result: Truth
    outcome: Outcome | None = None
    overridden_by: str | None = None
    surface: str | None = None
    trace: tuple[LeafTrace, ...] = ()


class Statement(Value):
    """What a platform needs to tell the uploader why (EU Digital Services Act, article 17): what the decision rests on,
    which clause of it, the facts by language, how to object. `automated` says that the outcome took effect without a
    person: true of a reject, false where the outcome is left to a reviewer."""

    ground: Ground
    clause: str
    facts: dict[str, str]
    redress: str | None = None
    automated: bool


class Violation(Value):
    """A live rule that is true and was not overridden. `reason` is in the policy's own language, `reasons` in every
    language that the rule has; of decisions of older versions it is empty."""

    rule: str
    category: str
    outcome: Outcome
    score: float | None = None
    reason: str
    reasons: dict[str, str] = Field(default_factory=dict)
    statement: Statement | None = None


#: The reason of a probe that is asked of texts alone, of an upload without one.
NO_TEXT = "no text"


class ProbeScore(Value):
    """A probe as the policy sees it: the maximum over frames, parts of the text and languages, calibrated.

    `lower_bound` says that some reading is missing, so that the true value may be higher than `p`.
    """

    status: Status
    reason: str | None = None
    p: float | None = None
    mass: float | None = None
    lower_bound: bool = False
    calibrated: bool = False


class PublishedText(Value):
    status: Status
    reason: str | None = None
    text: str
    lines: tuple[TextLine, ...] = ()


class PublishedFindings(Value):
    """The findings as a Decision shows them: probes as scores, text joined. `recalled` is as in `Findings`."""

    probes: dict[str, ProbeScore]
    ocr: PublishedText
    model_text: PublishedText
    codes: CodesFinding = CodesFinding()
    keywords: KeywordFinding
    scene: SceneFinding
    recalled: tuple[str, ...] = ()


class Evaluation(Value):
    """What `evaluate` says: the same ruleset and findings give the same evaluation, for ever.

    `degraded_by` names what live rules could not know, such as `probes.violence: timeout`. `priority` orders the
    review queue (higher first). `surface` is the one whose own thresholds and rules were applied, None where those of
    the whole platform were.
    """

    outcome: Outcome
    degraded: bool
    degraded_by: tuple[str, ...] = ()
    violations: tuple[Violation, ...] = ()
    scores: dict[str, float | None] = Field(default_factory=dict)
    rules: tuple[RuleResult, ...] = ()
    probes: dict[str, ProbeScore] = Field(default_factory=dict)
    priority: Severity = Severity.LOW
    surface: str | None = None


class Pins(Value):
    """Everything that decided, by digest or version. Digests are `sha256:…`; None where that part did not run. A model
    that a server names and nobody gave the digest of is `unverified:` and that name."""

    ruleset: str
    policy: str
    lists: dict[str, str]
    model: str | None
    projector: str | None
    prompts: str
    ocr: str
    codes: str = "off"
    normaliser: str
    app: str


class Decision(Value):
    """What a platform gets for an upload. Immutable: a later, better one names this one in `supersedes`. `surface` is
    the one whose own thresholds and rules were applied, None where those of the whole platform were. `sampled_by`
    names what had a decision that stands looked at by a person, for quality control."""

    id: str
    outcome: Outcome
    passed: bool
    degraded: bool
    degraded_by: tuple[str, ...] = ()
    demo: bool
    violations: tuple[Violation, ...]
    scores: dict[str, float | None]
    findings: PublishedFindings
    rules: tuple[RuleResult, ...]
    pins: Pins
    supersedes: str | None = None
    image: ImageFacts
    case_id: str | None = None
    sampled_by: tuple[str, ...] = ()
    surface: str | None = None
    timing_ms: dict[str, float]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """What is stored for a decision: the answer as it was given, and everything needed to make it again.

    `key_id` is the API key that asked. `idempotency_key` with `request_digest` (`sha256:` of picture and fields) lets
    a repeated request get the first answer.
    """

    decision: Decision
    findings: Findings
    context: UploadContext
    key_id: str
    media_type: str
    idempotency_key: str | None = None
    request_digest: str | None = None

    def log_context(self) -> dict[str, Any]:
        """What a log line may say of it: never text, never pixels."""
        return {
            "decision_id": self.decision.id,
            "outcome": self.decision.outcome.value,
            "degraded": self.decision.degraded,
            "sha256": self.decision.image.sha256,
        }
