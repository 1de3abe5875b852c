"""The shape of `policies.yaml`. What one part says about another is checked in `app.policy.check`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, PlainValidator, StrictBool, Tag, model_validator

from app.domain import Ground, Mode, Outcome, Subject
from app.policy.fields import (
    OPENAI_CATEGORIES,
    STATEMENT_CATEGORIES,
    Days,
    Hours,
    Id,
    Language,
    MinMass,
    Number,
    OnUnknown,
    RuleId,
    SeverityWord,
    Share,
    Subjects,
    SurfaceName,
    Text,
    Texts,
    Weight,
    at_most,
    one_of,
)


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Exposure(StrEnum):
    """How hard a category's pictures are on the people who review them."""

    STANDARD = "standard"
    SENSITIVE = "sensitive"
    GRAPHIC = "graphic"


class Signals(Part):
    """Which signals run. A signal that is off is never waited for, and conditions cannot speak of it."""

    ocr: StrictBool = True
    qr: StrictBool = True
    model_text: StrictBool = False
    scene: StrictBool = True


class Retention(Part):
    """How long pictures are kept, from when their decision was settled: passed without a person, passed by a person's
    verdict, rejected by either. Absent, `passed_hours` is the setting's, `reviewed_days` as long as `passed_hours`;
    without `rejected_days` they stay until somebody deletes them."""

    passed_hours: Hours | None = None
    reviewed_days: Days | None = None
    rejected_days: Days | None = None


class Defaults(Part):
    """`language` is the one every text must have; `ask` lists the languages that every probe is asked in. A probe
    answer whose yes and no words together have less probability than `min_mass` is no answer. With `early_stop` the
    model is not asked to the end what no live or shadow rule can use any more. `quality_sample` is the share of passes
    that a person looks at."""

    on_unknown: OnUnknown = Outcome.REVIEW
    language: Language = "en"
    ask: Annotated[tuple[Language, ...], Field(min_length=1)] = ("en",)
    min_mass: MinMass = 0.5
    early_stop: StrictBool = False
    quality_sample: Share | None = None
    retention: Retention = Retention()
    signals: Signals = Signals()


class Category(Part):
    """`openai` is the key in OpenAI's moderation API, `statement` the EU Transparency Database's category without
    its prefix. Of pictures that were rejected for it, `retention_days` goes before `defaults.retention`."""

    title: Texts
    severity: SeverityWord
    openai: Annotated[str, one_of(OPENAI_CATEGORIES)] | None = None
    statement: Annotated[str, one_of(STATEMENT_CATEGORIES)] = "OTHER_VIOLATION_TC"
    exposure: Exposure = Exposure.STANDARD
    retention_days: Days | None = None


class Calibration(Part):
    """p = sigmoid(slope * (log_yes - log_no) + intercept), fitted on the model with this digest."""

    model: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    slope: Weight
    intercept: Number


class Probe(Part):
    """`applies_to` says what it is asked of: the picture's frames, what the uploader wrote, or both."""

    category: Id
    questions: Texts
    applies_to: Subjects = (Subject.PICTURE,)
    calibration: Calibration | None = None


class Score(Part):
    """Exactly one way to make one number of several findings, each from 0 to 1. `noisy_or` is 1 - (1-p)(1-p)…;
    `weighted` is the mean with these weights."""

    max: Annotated[tuple[str, ...] | None, Field(min_length=1)] = None
    noisy_or: Annotated[tuple[str, ...] | None, Field(min_length=1)] = None
    weighted: Annotated[dict[str, Weight] | None, Field(min_length=1)] = None

    @model_validator(mode="before")
    @classmethod
    def _one_way(cls, value: Any) -> Any:
        if not isinstance(value, dict) or len(value) != 1:
            raise ValueError("must be one of `max: […]`, `noisy_or: […]`, `weighted: {…}`")
        return value

    @property
    def parts(self) -> tuple[str, ...]:
        return self.max or self.noisy_or or tuple(self.weighted or {})


class When(Part):
    """A condition: one CEL expression, or `any`, `all`, `not` over conditions."""

    cel: Text | None = None
    any: Annotated[tuple[When, ...] | None, Field(min_length=1)] = None
    all: Annotated[tuple[When, ...] | None, Field(min_length=1)] = None
    not_: Annotated[When | None, Field(alias="not")] = None

    @model_validator(mode="before")
    @classmethod
    def _one_form(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"cel": value}
        if not isinstance(value, dict) or len(value) != 1 or "cel" in value:
            raise ValueError("must be a condition in quotes, or one of `any: […]`, `all: […]`, `not: …`")
        if next(iter(value.values())) is None:
            if next(iter(value)) not in ("any", "all", "not"):
                raise ValueError("a condition stands in quotes, without braces")
            raise ValueError(f"`{next(iter(value))}` has no conditions")
        return value


class Pass(Part):
    overrides: Annotated[tuple[RuleId, ...], Field(min_length=1)]


class Allow(Part):
    """What an allow rule does: sets aside the rules it names."""

    pass_: Annotated[Pass, Field(alias="pass")]


def _decides(value: Any) -> Outcome:
    if value == "pass":
        raise ValueError("a rule that passes names the rules it sets aside: `then: {pass: {overrides: [rule-id]}}`")
    if value not in ("reject", "review"):
        raise ValueError("must be `reject`, `review` or `{pass: {overrides: [rule-id]}}`")
    return Outcome(value)


def _then_form(value: Any) -> str:
    return "<allow>" if isinstance(value, dict | Allow) else "<decides>"


#: The tags are in angle brackets so that they can be told from keys in pydantic's error locations.
Then = Annotated[
    Annotated[Allow, Tag("<allow>")] | Annotated[Outcome, PlainValidator(_decides), Tag("<decides>")],
    Discriminator(_then_form),
]


#: As the EU Transparency Database takes them, in its schema of 2025-07; of redress it has nothing.
_CLAUSE_CHARS = 500
_FACTS_CHARS = 5000
_REDRESS_CHARS = 2000


class StatementText(Part):
    """What a statement of reasons says where the rule decides: `clause` names the law or the term, `redress` says, or
    links to, how to object."""

    ground: Ground
    clause: Annotated[Text, at_most(_CLAUSE_CHARS)]
    facts: Annotated[dict[Language, Annotated[Text, at_most(_FACTS_CHARS)]], Field(min_length=1)]
    redress: Annotated[Text, at_most(_REDRESS_CHARS)] | None = None


class Rule(Part):
    """`priority` orders the review queue instead of the category's severity. `sample` is the share of the decisions
    that stand by this rule which a person looks at, for quality control."""

    id: RuleId
    category: Id
    mode: Mode = Mode.LIVE
    when: When
    then: Then
    on_unknown: OnUnknown | None = None
    reason: Texts | None = None
    statement: StatementText | None = None
    priority: SeverityWord | None = None
    sample: Share | None = None

    @model_validator(mode="after")
    def _says_what_its_kind_needs(self) -> Rule:
        if isinstance(self.then, Allow):
            if self.on_unknown is not None:
                raise ValueError("an allow rule has no `on_unknown`: while it is unknown it allows nothing")
            if self.statement is not None:
                raise ValueError("an allow rule has no `statement`: it decides against nobody")
        elif self.reason is None:
            raise ValueError("a rule that rejects or asks for review has a `reason`")
        return self

    @property
    def overrides(self) -> tuple[str, ...]:
        return self.then.pass_.overrides if isinstance(self.then, Allow) else ()


def _graver(value: Any) -> Outcome:
    if value not in ("reject", "review"):
        raise ValueError("must be `reject` or `review`")
    return Outcome(value)


class RuleOverride(Part):
    """What a rule is on one surface, where that differs."""

    mode: Literal["live", "shadow", "off"] | None = None
    then: Annotated[Outcome, PlainValidator(_graver)] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> RuleOverride:
        if self.mode is None and self.then is None:
            raise ValueError("must have a `mode` or a `then`")
        if self.mode == "off" and self.then is not None:
            raise ValueError("a rule that is off has no `then`")
        return self


class Surface(Part):
    """What is otherwise for uploads whose `context.surface` is its name."""

    thresholds: dict[Id, Number] = Field(default_factory=dict)
    rules: dict[RuleId, RuleOverride] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _says_something(self) -> Surface:
        if not self.thresholds and not self.rules:
            raise ValueError("must have `thresholds` or `rules`")
        return self


class Policy(Part):
    version: Literal[1]
    defaults: Defaults = Defaults()
    categories: Annotated[dict[Id, Category], Field(min_length=1)]
    thresholds: dict[Id, Number] = Field(default_factory=dict)
    probes: dict[Id, Probe] = Field(default_factory=dict)
    scores: dict[Id, Score] = Field(default_factory=dict)
    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]
    surfaces: dict[SurfaceName, Surface] = Field(default_factory=dict)
