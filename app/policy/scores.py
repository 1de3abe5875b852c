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
    that a missing part counts as 0."""

    value: float | None
    lower_bound: bool


def score_category(score: Score, probes: Mapping[str, ProbeScore]) -> CategoryScore:
    parts = [probe for name in score.parts if (probe := probes.get(probe_of(name))) is not None]
    if len(parts) < len(score.parts) or all(part.p is None for part in parts):
        return CategoryScore(None, lower_bound=False)
    values = [part.p or 0.0 for part in parts]
    return CategoryScore(
        value=min(_combine(score, values), 1.0),
        lower_bound=any(part.p is None or part.lower_bound for part in parts),
    )


def probe_of(name: str) -> str:
    """`violence` of `probes.violence.p`."""
    return name.split(".")[1]


def _combine(score: Score, values: list[float]) -> float:
    if score.max is not None:
        return max(values)
    if score.noisy_or is not None:
        return 1 - math.prod(1 - value for value in values)
    weights = list((score.weighted or {}).values())
    return sum(weight * value for weight, value in zip(weights, values, strict=True)) / sum(weights)
