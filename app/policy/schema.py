"""The shape of `policies.yaml`. What one part says about another is checked in `app.policy.check`."""

from __future__ import annotations

import difflib
import math
import re
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    StrictBool,
    Tag,
    model_validator,
)

from app.domain import Mode, Outcome, Severity

#: Conditions speak of these by name, so that CEL's own words cannot be ids.
_CEL_WORDS = frozenset(
    {
        *("as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let"),
        *("loop", "namespace", "null", "package", "return", "true", "var", "void", "while"),
    }
)
#: Numbers beyond this have no use beside probabilities and counts, and would let arithmetic overflow.
MAX_NUMBER = 1e9
MIN_DIVISOR = 1e-9

OPENAI_CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "sexual",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm/intent",
    "self-harm/instructions",
    "self-harm",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
#: EU Transparency Database, schema of 2025-07, without the prefix STATEMENT_CATEGORY_.
STATEMENT_CATEGORIES = (
    "ANIMAL_WELFARE",
    "CONSUMER_INFORMATION",
    "CYBER_VIOLENCE",
    "CYBER_VIOLENCE_AGAINST_WOMEN",
    "DATA_PROTECTION_AND_PRIVACY_VIOLATIONS",
    "ILLEGAL_OR_HARMFUL_SPEECH",
    "INTELLECTUAL_PROPERTY_INFRINGEMENTS",
    "NEGATIVE_EFFECTS_ON_CIVIC_DISCOURSE_OR_ELECTIONS",
    "OTHER_VIOLATION_TC",
    "PROTECTION_OF_MINORS",
    "RISK_FOR_PUBLIC_SECURITY",
    "SCAMS_AND_FRAUD",
    "SELF_HARM",
    "UNSAFE_AND_PROHIBITED_PRODUCTS",
    "VIOLENCE",
)


def id_problem(name: str) -> str | None:
    """Why conditions could not speak of this id, or None."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        return f"`{name}` is not an id: small letters, digits and underscores, beginning with a letter"
    if name in _CEL_WORDS:
        return f"`{name}` cannot be an id: conditions use the word themselves"
    return None


def _id(value: str) -> str:
    if problem := id_problem(value):
        raise ValueError(problem)
    return value


def _rule_id(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]*", value):
        raise ValueError(f"`{value}` is not a rule id: small letters, digits and hyphens, beginning with a letter")
    return value


def _language(value: str) -> str:
    if not re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", value):
        raise ValueError(f"`{value}` is not a language tag such as `en` or `zh`")
    return value


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic collects ValueErrors
    if not math.isfinite(value) or abs(value) > MAX_NUMBER:
        raise ValueError(f"must be a number between -{MAX_NUMBER:.0e} and {MAX_NUMBER:.0e}")
    return value


def _min_mass(value: Any) -> float:
    number = float(_number(value))
    if not MIN_DIVISOR <= number <= 1:
        raise ValueError("must be above 0 and at most 1")
    return number


def _weight(value: Any) -> float:
    number = float(_number(value))
    if number < MIN_DIVISOR:
        raise ValueError("must be above 0")
    return number


def _severity(value: Any) -> Severity:
    if isinstance(value, Severity):
        return value
    words = {severity.name.lower(): severity for severity in Severity}
    if not isinstance(value, str) or value not in words:
        raise ValueError(f"must be one of {', '.join(words)}")
    return words[value]


def _one_of(words: tuple[str, ...]) -> AfterValidator:
    def check(value: str) -> str:
        if value not in words:
            close = difflib.get_close_matches(value, words, n=1, cutoff=0.6)
            raise ValueError(f"did you mean `{close[0]}`?" if close else f"must be one of {', '.join(words)}")
        return value

    return AfterValidator(check)


def _some_text(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return value


def _on_unknown(value: Any) -> Any:
    if value == "pass":
        raise ValueError("must be `review` or `reject`: what could not be checked never passes")
    if value not in ("reject", "review"):
        raise ValueError("must be `review` or `reject`")
    return Outcome(value)


Id = Annotated[str, AfterValidator(_id)]
RuleId = Annotated[str, AfterValidator(_rule_id)]
Language = Annotated[str, AfterValidator(_language)]
Text = Annotated[str, AfterValidator(_some_text)]
Texts = Annotated[dict[Language, Text], Field(min_length=1)]
Number = Annotated[int | float, PlainValidator(_number)]
MinMass = Annotated[float, PlainValidator(_min_mass)]
Weight = Annotated[float, PlainValidator(_weight)]
OnUnknown = Annotated[Outcome, PlainValidator(_on_unknown)]
SeverityWord = Annotated[Severity, PlainValidator(_severity)]


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


class Defaults(Part):
    """`language` is the one every text must have; `ask` lists the languages that every probe is asked in. A probe
    answer whose yes and no words together have less probability than `min_mass` is no answer."""

    on_unknown: OnUnknown = Outcome.REVIEW
    language: Language = "en"
    ask: Annotated[tuple[Language, ...], Field(min_length=1)] = ("en",)
    min_mass: MinMass = 0.5
    signals: Signals = Signals()


class Category(Part):
    """`openai` is the key in OpenAI's moderation API, `statement` the EU Transparency Database's category without
    its prefix."""

    title: Texts
    severity: SeverityWord
    openai: Annotated[str, _one_of(OPENAI_CATEGORIES)] | None = None
    statement: Annotated[str, _one_of(STATEMENT_CATEGORIES)] = "OTHER_VIOLATION_TC"
    exposure: Exposure = Exposure.STANDARD


class Calibration(Part):
    """p = sigmoid(slope * (log_yes - log_no) + intercept), fitted on the model with this digest."""

    model: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    slope: Weight
    intercept: Number


class Probe(Part):
    category: Id
    questions: Texts
    calibration: Calibration | None = None


class Score(Part):
    """Exactly one way to make one number of several probes. `noisy_or` is 1 - (1-p)(1-p)…; `weighted` is the mean
    with these weights."""

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


class Rule(Part):
    """`priority` orders the review queue instead of the category's severity."""

    id: RuleId
    category: Id
    mode: Mode = Mode.LIVE
    when: When
    then: Then
    on_unknown: OnUnknown | None = None
    reason: Texts | None = None
    priority: SeverityWord | None = None

    @model_validator(mode="after")
    def _says_what_its_kind_needs(self) -> Rule:
        if isinstance(self.then, Allow):
            if self.on_unknown is not None:
                raise ValueError("an allow rule has no `on_unknown`: while it is unknown it allows nothing")
        elif self.reason is None:
            raise ValueError("a rule that rejects or asks for review has a `reason`")
        return self

    @property
    def overrides(self) -> tuple[str, ...]:
        return self.then.pass_.overrides if isinstance(self.then, Allow) else ()


class Policy(Part):
    version: Literal[1]
    defaults: Defaults = Defaults()
    categories: Annotated[dict[Id, Category], Field(min_length=1)]
    thresholds: dict[Id, Number] = Field(default_factory=dict)
    probes: dict[Id, Probe] = Field(default_factory=dict)
    scores: dict[Id, Score] = Field(default_factory=dict)
    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]
