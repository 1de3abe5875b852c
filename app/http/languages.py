"""In which language an answer gives its reasons. What is stored has all of them, so a repeated request gets the same
decision in whatever language it asks for."""

import math
from collections.abc import Collection, Sequence
from typing import Annotated, TypeAlias

from litestar.params import HeaderParameter

from app.domain import Decision, Violation

#: More than any browser sends; what is beyond is not looked at, however long the header is.
_MAX_HEADER_CHARS = 1000
#: The longest tag that RFC 5646 asks anybody to take.
_MAX_TAG_CHARS = 35


#: The request's header, as handlers name it.
AcceptLanguage: TypeAlias = Annotated[
    str | None,
    HeaderParameter(
        name="Accept-Language", description="In which language each `reason` is, where its rule has that language."
    ),
]


def in_language(decision: Decision, accept_language: str | None) -> Decision:
    """The decision with each `reason` in the language that the header (RFC 9110, 12.5.4) asks for; where a rule has
    none of those, in the policy's own."""
    wanted = wanted_languages(accept_language)
    if not wanted or not any(violation.reasons for violation in decision.violations):
        return decision
    violations = tuple(_spoken(violation, wanted) for violation in decision.violations)
    return decision.model_copy(update={"violations": violations})


def wanted_languages(header: str | None) -> tuple[str, ...]:
    """The header's ranges in small letters, the most wanted first. From `*` on, and where nothing can be made of a
    part of it, there is nothing to choose by: no header makes a request fail."""
    ranked: list[tuple[float, str]] = []
    for part in (header or "")[:_MAX_HEADER_CHARS].split(","):
        tag, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = _weight(parameters)
        if 0 < len(tag) <= _MAX_TAG_CHARS and weight > 0:
            ranked.append((-weight, tag))
    ranked.sort(key=lambda one: one[0])
    tags = [tag for _, tag in ranked]
    return tuple(tags[: tags.index("*")] if "*" in tags else tags)


def best_language(wanted: Sequence[str], given: Collection[str]) -> str | None:
    """RFC 4647's lookup: `zh-Hant-TW` is met by `zh-Hant` and by `zh`. What nothing meets may be met by its own kind:
    `zh` by `zh-Hans`."""
    by_tag = {tag.lower(): tag for tag in sorted(given)}
    for language in wanted:
        parts = language.split("-")
        for length in range(len(parts), 0, -1):
            if found := by_tag.get("-".join(parts[:length])):
                return found
        for tag, written in by_tag.items():
            if tag.startswith(f"{language}-"):
                return written
    return None


def _spoken(violation: Violation, wanted: Sequence[str]) -> Violation:
    language = best_language(wanted, violation.reasons)
    return violation if language is None else violation.model_copy(update={"reason": violation.reasons[language]})


def _weight(parameters: Sequence[str]) -> float:
    """`q=0.5` is 0.5, and 1 is what nobody says; what is no weight makes its range count for nothing."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() != "q":
            continue
        try:
            weight = float(value)
        except ValueError:
            return 0.0
        return weight if math.isfinite(weight) and 0 <= weight <= 1 else 0.0
    return 1.0
