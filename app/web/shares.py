"""Bars of pass, review and reject, one after the other."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.domain import Outcome


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a bar, in percent of its length."""

    outcome: Outcome
    start: float
    width: float
    count: int


def parts_of(counts: Mapping[Outcome, int]) -> tuple[Part, ...]:
    total, start, parts = sum(counts.values()), 0.0, []
    for outcome, count in counts.items():
        width = 100 * count / total if total else 0.0
        parts.append(Part(outcome, start, width, count))
        start += width
    return tuple(parts)
