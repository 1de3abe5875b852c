"""From a document's plain value to the parts of a policy, with every mistake of form.

All mistakes are told at once: parts that are sound in themselves are still checked against each other when others
are not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from app.errors import PolicyProblem
from app.policy.fields import Number, id_problem
from app.policy.hints import field_hint, form_hint
from app.policy.schema import (
    Allow,
    Calibration,
    Category,
    Defaults,
    Part,
    Pass,
    Policy,
    Probe,
    Retention,
    Rule,
    RuleOverride,
    Score,
    Signals,
    StatementText,
    Surface,
)
from app.policy.source import Path, Source
from app.policy.vocabulary import did_you_mean

T = TypeVar("T")

#: Which model a mapping has, by its place; `*` stands for any id or index.
_MODELS: Mapping[Path, type[Part]] = {
    (): Policy,
    ("defaults",): Defaults,
    ("defaults", "retention"): Retention,
    ("defaults", "signals"): Signals,
    ("categories", "*"): Category,
    ("probes", "*"): Probe,
    ("probes", "*", "calibration"): Calibration,
    ("rules", "*"): Rule,
    ("rules", "*", "statement"): StatementText,
    ("rules", "*", "then"): Allow,
    ("rules", "*", "then", "pass"): Pass,
    ("surfaces", "*"): Surface,
    ("surfaces", "*", "rules", "*"): RuleOverride,
}

_MESSAGES = {
    "bool_type": "must be `true` or `false`",
    "dict_type": "must be a mapping of `key: value` lines",
    "model_type": "must be a mapping of `key: value` lines",
    "model_attributes_type": "must be a mapping of `key: value` lines",
    "string_type": "must be text",
    "tuple_type": "must be a list",
    "too_short": "must not be empty",
    "string_pattern_mismatch": "must be `sha256:` and 64 hexadecimal digits",
}


#: As many as are told of a whole policy, and one more, which says that there are more.
_MAX_TOLD = 101


@dataclass(frozen=True, slots=True)
class Draft:
    """The sound parts of a policy. `policy` is there when all are; `ids` has those of unsound parts too, so that
    a mistake within a part is not told again wherever the part is named."""

    policy: Policy | None
    defaults: Defaults
    categories: Mapping[str, Category] = field(default_factory=dict)
    thresholds: Mapping[str, int | float] = field(default_factory=dict)
    probes: Mapping[str, Probe] = field(default_factory=dict)
    scores: Mapping[str, Score] = field(default_factory=dict)
    rules: Mapping[int, Rule] = field(default_factory=dict)
    surfaces: Mapping[str, Surface] = field(default_factory=dict)
    ids: Mapping[str, frozenset[str]] = field(default_factory=dict)


def read_draft(value: Any, source: Source) -> tuple[Draft, list[PolicyProblem]]:
    if not isinstance(value, dict):
        return Draft(None, Defaults()), [source.problem((), "a policy is a mapping of `key: value` lines")]
    ids = {name: _ids(value.get(name)) for name in ("categories", "thresholds", "probes", "scores", "rules")}
    try:
        policy = Policy.model_validate(value)
        return _whole(policy, ids), []
    except ValidationError as error:
        # Of a list whose items are unsound pydantic says that it is too short as well.
        errors = [one for one in error.errors(include_url=False) if one["type"] != "too_short" or not one["input"]]
    bad = {_path(error)[:length] for error in errors for length in (1, 2)}
    draft = Draft(
        None,
        defaults=_sound_defaults(value.get("defaults")),
        categories=_sound(value, "categories", Category, bad),
        thresholds=_sound(value, "thresholds", Number, bad),
        probes=_sound(value, "probes", Probe, bad),
        scores=_sound(value, "scores", Score, bad),
        rules=dict(_sound_rules(value.get("rules"), bad)),
        surfaces=_sound(value, "surfaces", Surface, bad),
        ids=ids,
    )
    return draft, [_problem(error, source) for error in errors[:_MAX_TOLD]]


def _whole(policy: Policy, ids: Mapping[str, frozenset[str]]) -> Draft:
    return Draft(
        policy,
        defaults=policy.defaults,
        categories=policy.categories,
        thresholds=policy.thresholds,
        probes=policy.probes,
        scores=policy.scores,
        rules=dict(enumerate(policy.rules)),
        surfaces=policy.surfaces,
        ids=ids,
    )


def _sound_defaults(value: Any) -> Defaults:
    try:
        return Defaults.model_validate({} if value is None else value)
    except ValidationError:
        return Defaults()


def _sound(value: dict[str, Any], section: str, kind: Any, bad: set[Path]) -> dict[str, Any]:
    items = value.get(section)
    if not isinstance(items, dict):
        return {}
    adapter = TypeAdapter[Any](kind)
    return {name: adapter.validate_python(item) for name, item in items.items() if (section, name) not in bad}


def _sound_rules(items: Any, bad: set[Path]) -> Iterable[tuple[int, Rule]]:
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if ("rules", index) not in bad:
            yield index, Rule.model_validate(item)


def _ids(items: Any) -> frozenset[str]:
    if isinstance(items, dict):
        return frozenset(name for name in items if id_problem(name) is None)
    if isinstance(items, list):
        return frozenset(str(item["id"]) for item in items if isinstance(item, dict) and "id" in item)
    return frozenset()


def _path(error: ErrorDetails) -> Path:
    """The error's place in the document: pydantic's, without the tags of `Then` and its mark for keys."""
    return tuple(part for part in error["loc"] if not (isinstance(part, str) and part[:1] in ("<", "[")))


def _problem(error: ErrorDetails, source: Source) -> PolicyProblem:
    path, kind = _path(error), error["type"]
    if kind == "missing":
        return source.key_problem(path[:-1], f"`{path[-1]}` is missing")
    if kind == "extra_forbidden":
        return source.key_problem(path, f"unknown field `{path[-1]}`", hint=_known_fields(path[:-1], str(path[-1])))
    if error["loc"] and error["loc"][-1] == "[key]":
        message = _message(error)
        return source.key_problem(path, message, hint=form_hint(path, kind, path[-1], message))
    if error["input"] is None and kind != "value_error":
        return source.key_problem(path, f"`{path[-1]}` has no value" if path else "has no value")
    message = _message(error)
    return source.problem(path, message, hint=form_hint(path, kind, error["input"], message))


def _message(error: ErrorDetails) -> str:
    kind = error["type"]
    if kind == "value_error":
        return error["msg"].removeprefix("Value error, ")
    if kind in ("enum", "literal_error"):
        return f"must be {error['ctx']['expected'].replace(chr(39), '`')}"
    return _MESSAGES.get(kind, error["msg"][:1].lower() + error["msg"][1:])


def _known_fields(path: Path, word: str) -> str | None:
    if (told := field_hint(path, word)) is not None:
        return told
    named = {1: ("categories", "probes", "rules", "surfaces"), 3: ("surfaces",)}
    place = tuple("*" if path[0] in named.get(at, ()) else part for at, part in enumerate(path))
    model = _MODELS.get(place)
    if model is None:
        return None
    known = [entry.alias or name for name, entry in model.model_fields.items()]
    return did_you_mean(word, known if place else [*known, "include"])
