"""The thresholds that a policy gives, what each is compared with, and the values to try one at."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.errors import MalformedRequest
from app.policy.fields import MAX_NUMBER
from app.policy.ruleset import Ruleset
from app.policy.surfaces import place_of, threshold_places
from app.policy.vocabulary import did_you_mean

#: A curve has one more value than this.
_STEPS = 40
#: Where a threshold is no share of one, it is tried up to this multiple of what the policy gives, and a count of
#: nothing or one up to this number at least.
_REACH = 2
_LEAST_COUNT = 4


@dataclass(frozen=True, slots=True)
class Threshold:
    """`place` is where the policy gives it: `thresholds.reject`, or `surfaces.avatar.thresholds.reject`. `beside` are
    the names that stand in one condition with it, such as `scores.violence`."""

    place: str
    value: int | float
    beside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Moved:
    """A threshold to be moved, by its name or its place, from `low` to `high`; without them, over all that makes
    sense."""

    threshold: str
    low: float | None = None
    high: float | None = None


def thresholds_of(ruleset: Ruleset) -> tuple[Threshold, ...]:
    """By name, those of surfaces last."""
    beside: dict[str, dict[str, None]] = {}
    for place, name in _neighbours(ruleset):
        beside.setdefault(place, {})[name] = None
    places = sorted(threshold_places(ruleset).items(), key=lambda item: (item[0].startswith("surfaces."), item[0]))
    return tuple(Threshold(place, value, tuple(beside.get(place, ()))) for place, value in places)


def _neighbours(ruleset: Ruleset) -> Iterator[tuple[str, str]]:
    for program in ruleset.programs:
        for rule in program.rules:
            for leaf in rule.leaves:
                moved = [name for name in leaf.names if name in program.thresholds]
                others = sorted(name for name in leaf.names if name not in program.thresholds)
                yield from ((program.place(one), other) for one in moved for other in others)


def sweep(ruleset: Ruleset, moved: Moved) -> Mapping[str, Sequence[float]]:
    """The values to try, whole numbers where the threshold is one. Raises MalformedRequest for a threshold that the
    policy does not give, and for bounds that no threshold could be."""
    name = moved.threshold.removeprefix("thresholds.")
    places = threshold_places(ruleset)
    place = place_of(name)
    if place not in places:
        hint = did_you_mean(place, places) or "it gives none"
        raise MalformedRequest(f"the policy does not give `{place}`; {hint}", field="threshold")
    value = places[place]
    low = 0.0 if moved.low is None else moved.low
    high = _reach(value) if moved.high is None else moved.high
    if not (abs(low) <= MAX_NUMBER and abs(high) <= MAX_NUMBER):
        message = f"a threshold moves between two numbers from -{MAX_NUMBER:.0e} to {MAX_NUMBER:.0e}"
        raise MalformedRequest(message, field="threshold")
    low, high = sorted((low, high))
    values = {low + (high - low) * step / _STEPS for step in range(_STEPS + 1)}
    if isinstance(value, int):
        return {name: tuple(sorted({round(one) for one in values}))}
    return {name: tuple(sorted(values))}


def _reach(value: int | float) -> float:
    if isinstance(value, int):
        reach = float(max(_REACH * value, _LEAST_COUNT))
    else:
        reach = 1.0 if 0 <= value <= 1 else _REACH * value
    return max(-MAX_NUMBER, min(reach, MAX_NUMBER))
