"""What conditions can come to at all: a rule that no upload could make true is a mistake.

Each number has a range that it never leaves. A comparison cuts the ranges of those for whom it holds; where nothing is
left, it holds for nobody. What this does not understand is taken to be possible.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

from app.policy.cel_syntax import Call, Const, Items, Name, Node, walk
from app.policy.promotion import COMPARISONS
from app.policy.ruleset import AllOf, AnyOf, Not, Tree
from app.policy.vocabulary import Kind

Number: TypeAlias = int | float


@dataclass(frozen=True, slots=True)
class Range:
    """From `low` to `high`, without an end that is open. Whole numbers have no open ends."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False
    whole: bool = False

    @property
    def empty(self) -> bool:
        return self.low > self.high or (self.low == self.high and (self.low_open or self.high_open))

    @property
    def shown(self) -> str:
        return f"{self.low} or more" if math.isinf(self.high) else f"from {self.low} to {self.high}"

    def holds(self, value: float) -> bool:
        return not replace(self, low=max(self.low, value), high=min(self.high, value)).empty

    def above(self, value: float, *, at: bool) -> "Range":
        """The part that is more than the value, or with `at` the value as well."""
        if self.whole:
            value, at = (math.ceil(value) if at else math.floor(value) + 1), True
        if value > self.low:
            return Range(value, self.high, not at, self.high_open, self.whole)
        return replace(self, low_open=self.low_open or not at) if value == self.low else self

    def below(self, value: float, *, at: bool) -> "Range":
        if self.whole:
            value, at = (math.floor(value) if at else math.ceil(value) - 1), True
        if value < self.high:
            return Range(self.low, value, self.low_open, not at, self.whole)
        return replace(self, high_open=self.high_open or not at) if value == self.high else self

    def both(self, other: "Range") -> "Range":
        """From the lower of the low ends to the higher of the high ones."""
        return Range(
            min(self.low, other.low),
            max(self.high, other.high),
            min((self.low, self.low_open), (other.low, other.low_open))[1],
            max((self.high, not self.high_open), (other.high, not other.high_open))[1] is False,
            self.whole,
        )


_SHARE = Range(0, 1)
_COUNT = Range(0, whole=True)
_LEVEL = Range(0, 4, whole=True)
_FLAG = Range(0, 1, whole=True)

#: A number's range by name, and what is given at the moment.
Ranges: TypeAlias = Mapping[str, Range]
Values: TypeAlias = Mapping[str, Number]


_COMPARING = COMPARISONS | {"@in"}


def ranges_of(kinds: Mapping[str, Kind]) -> Ranges:
    """The range that each name of a vocabulary never leaves. Thresholds have none: they have values."""
    return {name: _range_of(name, kind) for name, kind in kinds.items() if not name.startswith("thresholds.")}


def _range_of(name: str, kind: Kind) -> Range:
    if kind is Kind.DOUBLE:
        return _SHARE
    if kind is Kind.BOOL:
        return _FLAG
    return _LEVEL if name.endswith(".severity") else _COUNT


def never_true(tree: Tree, ranges: Ranges, values: Values) -> bool:
    return _narrow_tree(tree, True, ranges, values=values) is None


def impossible(node: Node, ranges: Ranges, values: Values) -> Iterable[Call]:
    """The comparisons of numbers in a condition that hold for nobody, each by itself."""
    for one in walk(node):
        if isinstance(one, Call) and one.function in _COMPARING and _narrow(one, True, ranges, values) is None:
            yield one


def _narrow_tree(tree: Tree, wanted: bool, ranges: Ranges, *, values: Values) -> Ranges | None:
    match tree:
        case Not(part=part):
            return _narrow_tree(part, not wanted, ranges, values=values)
        case AllOf(parts=parts) | AnyOf(parts=parts):
            steps = [partial(_narrow_tree, part, wanted, values=values) for part in parts]
            return _all(steps, ranges) if wanted is isinstance(tree, AllOf) else _any(steps, ranges)
        case _:
            return _narrow(tree.tree, wanted, ranges, values)


_Step: TypeAlias = Callable[[Ranges], Ranges | None]


def _all(steps: Iterable[_Step], ranges: Ranges) -> Ranges | None:
    for step in steps:
        left = step(ranges)
        if left is None:
            return None
        ranges = left
    return ranges


def _any(steps: Iterable[_Step], ranges: Ranges) -> Ranges | None:
    ways = [left for step in steps if (left := step(ranges)) is not None]
    if not ways:
        return None
    joined = dict(ways[0])
    for way in ways[1:]:
        joined = {name: one if one is way[name] else one.both(way[name]) for name, one in joined.items()}
    return joined


def _narrow(node: Node, wanted: bool, ranges: Ranges, values: Values) -> Ranges | None:  # noqa: PLR0911 - one a form
    """The ranges of those uploads for which the condition comes to `wanted`; None when there are none."""
    if isinstance(node, Call) and node.function in COMPARISONS:  # nearly all are
        left, right = node.args
        return _compared(node.function if wanted else _OPPOSITE[node.function], left, right, ranges, values)

    def step(part: Node, what: bool) -> _Step:
        return lambda left: _narrow(part, what, left, values)

    match node:
        case Const(value=bool() as value):
            return ranges if value is wanted else None
        case Name(name=name) if name in ranges:
            return _cut(ranges, name, "_==_", float(wanted))
        case Call(function="!_", args=(part,)):
            return _narrow(part, not wanted, ranges, values)
        case Call(function="_&&_" | "_||_" as function, args=parts):
            steps = [step(part, wanted) for part in parts]
            return _all(steps, ranges) if wanted is (function == "_&&_") else _any(steps, ranges)
        case Call(function="_?_:_", args=(asked, yes, no)):
            ways = ((asked, True, yes), (asked, False, no))
            return _any([_both(step(first, what), step(then, wanted)) for first, what, then in ways], ranges)
        case Call(function="@in", args=(side, Items(items=items))) if wanted:
            return _any([step(Call("_==_", (side, item), node.at), True) for item in items], ranges)
        case _:
            return ranges


def _both(first: _Step, second: _Step) -> _Step:
    return lambda ranges: _all((first, second), ranges)


_OPPOSITE = {"_<_": "_>=_", "_>=_": "_<_", "_>_": "_<=_", "_<=_": "_>_", "_==_": "_!=_", "_!=_": "_==_"}
_MIRRORED = {"_<_": "_>_", "_>_": "_<_", "_<=_": "_>=_", "_>=_": "_<=_", "_==_": "_==_", "_!=_": "_!=_"}


def _compared(function: str, left: Node, right: Node, ranges: Ranges, values: Values) -> Ranges | None:
    for operator, side, other in ((function, left, right), (_MIRRORED[function], right, left)):
        name, value = _name(side), _value(other, values)
        if value is None:
            continue
        if name in ranges:
            return _cut(ranges, name, operator, value)
        if (fixed := _value(side, values)) is not None:
            one = Range(fixed, fixed)
            return None if _cut({"": one}, "", operator, value) is None else ranges
    return ranges


def _cut(ranges: Ranges, name: str, function: str, value: Number) -> Ranges | None:
    whole = ranges[name]
    match function:
        case "_<_" | "_<=_":
            cut = whole.below(value, at=function == "_<=_")
        case "_>_" | "_>=_":
            cut = whole.above(value, at=function == "_>=_")
        case "_==_":
            cut = whole.above(value, at=True).below(value, at=True)
        case _:
            cut = whole.above(value, at=False) if value == whole.low else whole
            cut = cut.below(value, at=False) if value == whole.high else cut
    if cut.empty:
        return None
    return ranges if cut == whole else {**ranges, name: cut}


def _name(node: Node) -> str:
    if isinstance(node, Call) and node.function == "double":
        node = node.args[0]
    return node.name if isinstance(node, Name) else ""


def _value(node: Node, values: Values) -> Number | None:
    match node:
        case Const(value=int() | float() as value) if not isinstance(value, bool):
            return value
        case Name(name=name):
            return values.get(name)
        case Call(function="double", args=(inner,)):
            return _value(inner, values)
        case Call(function="-_", args=(inner,)):
            negated = _value(inner, values)
            return None if negated is None else -negated
        case _:
            return None
