"""One number a category, made of probes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from app.domain import ProbeScore
from app.policy.schema import Score


@dataclass(frozen=True, slots=True)
class CategoryScore:
    """`value` is None when no part is known, or when no rule uses the score and its probes were not all asked.
    `lower_bound` says that some part is missing or only a bound itself: every way of scoring rises with its parts, so
    that a missing part counts as 0. It is `absent` when all its parts are."""

    value: float | None
    lower_bound: bool
    absent: bool = False


def score_category(score: Score, probes: Mapping[str, ProbeScore]) -> CategoryScore:
    """What there is nothing to ask of is left out, as if the score were made of the other parts."""
    found = {name: probe for name in score.parts if (probe := probes.get(probe_of(name))) is not None}
    parts = {name: probe for name, probe in found.items() if not probe.absent}
    if len(found) == len(score.parts) and not parts:
        return CategoryScore(0.0, lower_bound=False, absent=True)
    if len(found) < len(score.parts) or all(part.p is None for part in parts.values()):
        return CategoryScore(None, lower_bound=False)
    values = {name: part.p or 0.0 for name, part in parts.items()}
    return CategoryScore(
        value=min(_combine(score, values), 1.0),
        lower_bound=any(part.p is None or part.lower_bound for part in parts.values()),
    )


def probe_of(name: str) -> str:
    """`violence` of `probes.violence.p`."""
    return name.split(".")[1]


def _combine(score: Score, values: Mapping[str, float]) -> float:
    if score.max is not None:
        return max(values.values())
    if score.noisy_or is not None:
        return 1 - math.prod(1 - value for value in values.values())
    weights = {name: weight for name, weight in (score.weighted or {}).items() if name in values}
    return sum(weight * values[name] for name, weight in weights.items()) / sum(weights.values())
