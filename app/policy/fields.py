"""What single fields of `policies.yaml` may hold, with words for what they may not."""

from __future__ import annotations

import difflib
import math
import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PlainValidator

from app.domain import Outcome, Severity, Subject

#: Conditions speak of these by name, so that CEL's own words cannot be ids.
CEL_WORDS = frozenset(
    {
        *("as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let"),
        *("loop", "namespace", "null", "package", "return", "true", "var", "void", "while"),
    }
)
#: Numbers beyond this have no use beside probabilities and counts, and would let arithmetic overflow.
MAX_NUMBER = 1e9
MIN_DIVISOR = 1e-9

#: A hundred years: beyond any use, and far from where dates end.
MAX_DAYS = 36_500
HOURS_A_DAY = 24

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
    if name in CEL_WORDS:
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


def _surface_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", value):
        raise ValueError(f"`{value}` is not a surface: letters, digits and `_.-`, as uploads name it")
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


def _share(value: Any) -> float:
    number = float(_number(value))
    if not MIN_DIVISOR <= number <= 1:
        raise ValueError("must be above 0 and at most 1")
    return number


def _weight(value: Any) -> float:
    number = float(_number(value))
    if number < MIN_DIVISOR:
        raise ValueError("must be above 0")
    return number


def _days(value: Any) -> float:
    number = float(_number(value))
    if number <= 0:
        raise ValueError("must be above 0")
    if number > MAX_DAYS:
        raise ValueError(f"must be at most {MAX_DAYS:,} days")
    return number


def _hours(value: Any) -> float:
    number = float(_number(value))
    if number < 0:
        raise ValueError("must not be below 0")
    if number > MAX_DAYS * HOURS_A_DAY:
        raise ValueError(f"must be at most {MAX_DAYS * HOURS_A_DAY:,} hours")
    return number


def _severity(value: Any) -> Severity:
    if isinstance(value, Severity):
        return value
    words = {severity.name.lower(): severity for severity in Severity}
    if not isinstance(value, str) or value not in words:
        raise ValueError(f"must be one of {', '.join(words)}")
    return words[value]


def one_of(words: tuple[str, ...]) -> AfterValidator:
    def check(value: str) -> str:
        if value not in words:
            close = difflib.get_close_matches(value, words, n=1, cutoff=0.6)
            raise ValueError(f"did you mean `{close[0]}`?" if close else f"must be one of {', '.join(words)}")
        return value

    return AfterValidator(check)


def _subjects(value: Any) -> tuple[Subject, ...]:
    """One word, or a list of different ones; in the order of the vocabulary, which is no order."""
    words = value if isinstance(value, list | tuple) else [value]
    known = [subject.value for subject in Subject]
    for word in words:
        if word not in known:
            close = difflib.get_close_matches(str(word), known, n=1, cutoff=0.6)
            said = f"`{word}` is none; " if isinstance(value, list | tuple) else ""
            hint = f": did you mean `{close[0]}`?" if close else ""
            raise ValueError(f"{said}must be `picture`, `text` or `[picture, text]`{hint}")
    if not words or len(set(words)) < len(words):
        raise ValueError("must name each of `picture` and `text` once at most, and one of them at least")
    return tuple(subject for subject in Subject if subject in words)


def _some_text(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return value


def at_most(chars: int) -> AfterValidator:
    def check(value: str) -> str:
        if len(value) > chars:
            raise ValueError(f"must be at most {chars:,} characters, and is {len(value):,}")
        return value

    return AfterValidator(check)


def _on_unknown(value: Any) -> Any:
    if value == "pass":
        raise ValueError("must be `review` or `reject`: what could not be checked never passes")
    if value not in ("reject", "review"):
        raise ValueError("must be `review` or `reject`")
    return Outcome(value)


Id = Annotated[str, AfterValidator(_id)]
SurfaceName = Annotated[str, AfterValidator(_surface_name)]
RuleId = Annotated[str, AfterValidator(_rule_id)]
Language = Annotated[str, AfterValidator(_language)]
Text = Annotated[str, AfterValidator(_some_text)]
Subjects = Annotated[tuple[Subject, ...], PlainValidator(_subjects)]
Texts = Annotated[dict[Language, Text], Field(min_length=1)]
Number = Annotated[int | float, PlainValidator(_number)]
MinMass = Annotated[float, PlainValidator(_share)]
Share = Annotated[float, PlainValidator(_share)]
Weight = Annotated[float, PlainValidator(_weight)]
Days = Annotated[float, PlainValidator(_days)]
Hours = Annotated[float, PlainValidator(_hours)]
OnUnknown = Annotated[Outcome, PlainValidator(_on_unknown)]
SeverityWord = Annotated[Severity, PlainValidator(_severity)]
