"""Conditions over numbers that may be higher than what is known.

With OCR failed, a keyword count is only *at least* what the caption gave. A condition is then true (false) only if it
is true (false) for every value that the number may have. Three arguments can show that; where none does, it
is unknown:

- **Without it.** What is true (false) while nothing is known of the number is so for all its values.
- **Trend.** If raising the numbers can only ever make the condition truer, and it is true at the bound, it is true
  everywhere; likewise falling and false.
- **Cuts.** If each such number is only ever compared directly with known numbers, the condition can change only at
  those: it is tried at the bound, at each cut, beside each cut and at the top.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from enum import Enum
from itertools import product

from app.domain import Truth
from app.policy.cel_syntax import Call, Const, Items, Name, Node, Scalar, walk
from app.policy.promotion import COMPARISONS

Number = int | float

#: More combinations than this are not tried: the condition is unknown.
MAX_TRIALS = 512

#: A bound that is a float belongs to a probability or a score, which end here; counts have no end.
_TOP = 1.0


def decide(
    tree: Node,
    known: Mapping[str, Scalar],
    at_least: Mapping[str, Number],
    run: Callable[[Mapping[str, Scalar]], Truth],
) -> Truth:
    """The condition's truth for every value of the `at_least` names that is at or above their bounds.

    `run` evaluates the condition with all values given (those missing left out).
    """
    without = run({name: value for name, value in known.items() if name not in at_least})
    if without is not Truth.UNKNOWN:
        return without
    low = run({**known, **at_least})
    trend = _trend(tree, at_least.keys())
    if (low, trend) in ((Truth.TRUE, _Trend.RISING), (Truth.FALSE, _Trend.FALLING)):
        return low
    cuts = _cuts(tree, known, at_least.keys())
    if cuts is None:
        return Truth.UNKNOWN
    trials = [_trial_points(bound, cuts.get(name, set())) for name, bound in at_least.items()]
    if math.prod(map(len, trials)) > MAX_TRIALS:
        return Truth.UNKNOWN
    others = (run({**known, **dict(zip(at_least, values, strict=True))}) for values in product(*trials))
    return low if all(result is low for result in others) else Truth.UNKNOWN


class _Trend(Enum):
    """What raising the bounded numbers does to a node's value."""

    NONE = 0
    RISING = 1
    FALLING = 2
    MIXED = 3


_TURNED = {_Trend.RISING: _Trend.FALLING, _Trend.FALLING: _Trend.RISING}


def _turn(trend: _Trend) -> _Trend:
    return _TURNED.get(trend, trend)


def _join(trends: Iterable[_Trend]) -> _Trend:
    moving = set(trends) - {_Trend.NONE}
    if not moving:
        return _Trend.NONE
    return moving.pop() if len(moving) == 1 else _Trend.MIXED


#: Whether a function's value rises (1) or falls (-1) with each of its arguments; true counts as more than false.
_SIGNS = {
    "_&&_": (1, 1),
    "_||_": (1, 1),
    "!_": (-1,),
    "_+_": (1, 1),
    "_-_": (1, -1),
    "-_": (-1,),
    "double": (1,),
    "_>_": (1, -1),
    "_>=_": (1, -1),
    "_<_": (-1, 1),
    "_<=_": (-1, 1),
}


def _trend(node: Node, bounded: Collection[str]) -> _Trend:
    if isinstance(node, Name):
        return _Trend.RISING if node.name in bounded else _Trend.NONE
    children = _children(node)
    trends = [_trend(child, bounded) for child in children]
    signs = _signs(node, trends) if isinstance(node, Call) else None
    if signs is None:
        return _Trend.NONE if _join(trends) is _Trend.NONE else _Trend.MIXED
    return _join(trend if sign > 0 else _turn(trend) for trend, sign in zip(trends, signs, strict=True))


def _signs(node: Call, trends: list[_Trend]) -> tuple[int, ...] | None:
    if node.function == "_?_:_":
        return (1, 1, 1) if trends[0] is _Trend.NONE else None
    if node.function == "_*_":
        return (1, 1) if any(_scales(*pair) for pair in (node.args, node.args[::-1])) else None
    return _SIGNS.get(node.function)


def _scales(factor: Node, other: Node) -> bool:
    """Multiplying by a literal that is not negative keeps the order. A chain of whole-number products could overflow,
    which is an error and no order at all."""
    if not isinstance(factor, Const) or not isinstance(factor.value, int | float) or factor.value < 0:
        return False
    return isinstance(factor.value, float) or not any(
        isinstance(node, Call) and node.function == "_*_" for node in walk(other)
    )


def _children(node: Node) -> tuple[Node, ...]:
    if isinstance(node, Call):
        return node.args
    return node.items if isinstance(node, Items) else ()


def _cuts(node: Node, known: Mapping[str, Scalar], bounded: Collection[str]) -> dict[str, set[Number]] | None:
    """The numbers that each bounded name is compared with, or None where it is used in any other way."""
    if isinstance(node, Name):
        return None if node.name in bounded else {}
    if (direct := _direct_cuts(node, known, bounded)) is not None:
        return direct
    merged: dict[str, set[Number]] = {}
    for child in _children(node):
        cuts = _cuts(child, known, bounded)
        if cuts is None:
            return None
        for name, values in cuts.items():
            merged.setdefault(name, set()).update(values)
    return merged


def _direct_cuts(node: Node, known: Mapping[str, Scalar], bounded: Collection[str]) -> dict[str, set[Number]] | None:
    """The cuts of `bounded name, comparison, known number` (either way round) and `bounded name in […]`."""
    match node:
        case Call(function=function, args=(left, right)) if function in COMPARISONS:
            for side, other in ((left, right), (right, left)):
                name, cut = _bounded_name(side, bounded), _value(other, known)
                if name is not None and cut is not None:
                    return {name: {cut}}
        case Call(function="@in", args=(side, Items(items=items))):
            name = _bounded_name(side, bounded)
            values = {value for item in items if (value := _value(item, known)) is not None}
            if name is not None and all(_value(item, known) is not None for item in items):
                return {name: values}
    return None


def _bounded_name(node: Node, bounded: Collection[str]) -> str | None:
    if isinstance(node, Call) and node.function == "double":
        node = node.args[0]
    return node.name if isinstance(node, Name) and node.name in bounded else None


def _value(node: Node, known: Mapping[str, Scalar]) -> Number | None:
    """A number that is known before the condition runs."""
    match node:
        case Const(value=int() | float() as value) if not isinstance(value, bool):
            return value
        case Name(name=name):
            found = known.get(name)
            return found if isinstance(found, int | float) and not isinstance(found, bool) else None
        case Call(function="-_", args=(inner,)):
            negated = _value(inner, known)
            return None if negated is None else -negated
        case Call(function="double", args=(inner,)):
            return _value(inner, known)
        case _:
            return None


def _trial_points(bound: Number, cuts: set[Number]) -> list[Number]:
    """The bound, every cut and its neighbours, and something above them all: between these nothing can change."""
    if isinstance(bound, int):
        near = {int(edge) + step for cut in cuts for edge in (math.floor(cut), math.ceil(cut)) for step in (-1, 0, 1)}
        return sorted({bound, *(point for point in near if point >= bound)})
    beside = {point for cut in cuts for point in (cut, math.nextafter(cut, -math.inf), math.nextafter(cut, math.inf))}
    return sorted({bound, _TOP, *(float(point) for point in beside if bound <= point <= _TOP)})
