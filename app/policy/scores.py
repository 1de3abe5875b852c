"""One number a category, made of other findings."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from app.policy.facts import Facts
from app.policy.schema import Score


@dataclass(frozen=True, slots=True)
class CategoryScore:
    """`value` is None when no part is known, or when no rule uses the score and its parts were not all asked for.
    `lower_bound` says that some part is missing or only a bound itself: every way of scoring rises with its parts, so
    that a missing part counts as 0. It is `absent` when all its parts are."""

    value: float | None
    lower_bound: bool
    absent: bool = False


def add_scores(facts: Facts, formulas: Mapping[str, Score]) -> dict[str, CategoryScore]:
    """The scores, which are among the facts from then on. Everything that they are made of has to be there."""
    made = {}
    for category, score in formulas.items():
        name, one = f"scores.{category}", score_category(score, facts)
        if one.absent:
            facts.absent.add(name)
        blame = {line for part in score.parts for line in facts.blame.get(part, ())}
        facts.add(name, one.value, lower_bound=one.lower_bound, blame=blame)
        made[category] = one
    return made


def score_category(score: Score, facts: Facts) -> CategoryScore:
    """What there is nothing to ask of is left out, as if the score were made of the other parts."""
    parts: dict[str, float | None] = {}
    whole = True
    for name in score.parts:
        if name in facts.absent:
            continue
        if name not in facts.known:
            if name not in facts.blame:
                return CategoryScore(None, lower_bound=False)
            whole = False
        value = facts.known.get(name, facts.at_least.get(name))
        parts[name] = None if value is None else float(value)
    if not parts:
        return CategoryScore(0.0, lower_bound=False, absent=True)
    if all(value is None for value in parts.values()):
        return CategoryScore(None, lower_bound=False)
    values = {name: value or 0.0 for name, value in parts.items()}
    return CategoryScore(min(_combine(score, values), 1.0), lower_bound=not whole)


def with_parts(names: Iterable[str], scores: Mapping[str, Score]) -> frozenset[str]:
    """The names, and those that the scores among them are made of."""
    own = frozenset(names)
    made = (scores.get(name.removeprefix("scores.")) for name in own if name.startswith("scores."))
    return own.union(*(score.parts for score in made if score is not None))


def _combine(score: Score, values: Mapping[str, float]) -> float:
    if score.max is not None:
        return max(values.values())
    if score.noisy_or is not None:
        return 1 - math.prod(1 - value for value in values.values())
    weights = {name: weight for name, weight in (score.weighted or {}).items() if name in values}
    return sum(weight * values[name] for name, weight in weights.items()) / sum(weights.values())
