"""What a condition comes to, by the book: Kleene's three values over what is known, tried out over what is bounded."""

import itertools
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from app.domain import Truth
from tests.policy.differential.language import COMPARISONS, AsDouble, Lit, Node, Op, Ref, Scalar, names, walk

#: Whole numbers of CEL have 64 bits; beyond them its arithmetic fails.
_WHOLE = range(-(2**63), 2**63)
#: More combinations of bounded numbers than this are not tried here.
_MAX_TRIALS = 4000


@dataclass
class Facts:
    """What is known of one upload, and what is known to be at least so much. Every other name is unknown. `absent` are
    those of the known that speak of a text that is not there."""

    known: dict[str, Scalar] = field(default_factory=dict)
    at_least: dict[str, int | float] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)

    @property
    def there(self) -> "Facts":
        """Without what is absent: what may allow something."""
        return Facts({name: value for name, value in self.known.items() if name not in self.absent}, self.at_least)


@dataclass(frozen=True)
class Verdict:
    """`exact`: the policy has to come to just this. Otherwise it may also be at a loss."""

    truth: Truth
    exact: bool


def judge(node: Node, facts: Facts) -> Verdict:
    bounded = sorted(names(node) & facts.at_least.keys())
    axes = [_points(node, name, facts) for name in bounded]
    trials = itertools.product(*axes)
    found = {
        _value(node, {**facts.known, **dict(zip(bounded, values, strict=True))})
        for values in itertools.islice(trials, _MAX_TRIALS)
    }
    truth = _truth(found.pop()) if len(found) == 1 else Truth.UNKNOWN
    exact = not bounded or (len(bounded) <= 2 and _only_compared(node, set(bounded), facts))
    return Verdict(truth, exact)


def _truth(value: Scalar | None) -> Truth:
    return Truth.UNKNOWN if value is None else Truth.TRUE if value else Truth.FALSE


def evaluate_known(node: Node, values: Mapping[str, Scalar]) -> Truth:
    """Without anything that is only bounded."""
    return _truth(_value(node, values))


def _value(node: Node, values: Mapping[str, Scalar]) -> Scalar | None:
    """None is unknown."""
    match node:
        case Lit(value=value):
            return value
        case Ref(name=name):
            return values.get(name)
        case AsDouble(of=inner):
            whole = _value(inner, values)
            return None if whole is None else float(whole)
        case Op(function="&&" | "||" as function, args=args):
            decides = function == "||"
            both = [_value(one, values) for one in args]
            return decides if decides in both else None if None in both else not decides
        case Op(function="?:", args=(condition, yes, no)):
            chosen = _value(condition, values)
            return None if chosen is None else _value(yes if chosen else no, values)
        case Op(function=function, args=args):
            given = [_value(one, values) for one in args]
            return None if None in given else _apply(function, given)


def _apply(function: str, args: list[Any]) -> Scalar | None:
    result = _FUNCTIONS[function](*args)
    if isinstance(result, int) and not isinstance(result, bool) and result not in _WHOLE:
        return None
    return cast(Scalar, result)


def _divide(left: float, right: float) -> int | float:
    """Whole numbers are divided towards zero."""
    if isinstance(left, int) and isinstance(right, int):
        quotient = abs(left) // abs(right)
        return quotient if (left < 0) == (right < 0) else -quotient
    return left / right


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "!": lambda a: not a,
    "neg": lambda a: -a,
    "double": float,
    "size": len,
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": lambda a, b: b in a,
    "matches": lambda a, b: re.search(b, a) is not None,
    "in": lambda a, *items: a in items,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": _divide,
    "%": lambda a, b: a - b * _divide(a, b),
}


def _points(node: Node, name: str, facts: Facts) -> list[int | float]:
    """The bound, and what is above it: every number that could matter to the condition with its neighbours, some
    between them, and some beyond them all."""
    bound = facts.at_least[name]
    numbers = [one.value for one in walk(node) if isinstance(one, Lit)]
    numbers += [facts.known[one] for one in names(node) if one in facts.known]
    near = {abs(one) for one in numbers if isinstance(one, int | float) and not isinstance(one, bool)}
    if isinstance(bound, int):
        around = {int(one) + step for one in near for step in (-1, 0, 1, 2)}
        return sorted(one for one in {bound, *around, bound + 1, bound + 2, bound + 50, 1000} if one >= bound)
    beside = {point for one in near for point in (one, math.nextafter(one, -1), math.nextafter(one, 2))}
    return sorted(float(one) for one in {bound, *beside, 0.33, 0.6, 0.97, 1.0} if bound <= one <= 1)


def _only_compared(node: Node, bounded: set[str], facts: Facts) -> bool:
    """Whether all that is done with bounded numbers is to compare them with known ones: there the policy is as sure as
    one can be."""
    if not names(node) & bounded:
        return True
    match node:
        case Op(function=function, args=(first, *others)) if function in (*COMPARISONS, "in"):
            sides = (first, *others)
            own = [one for one in sides if names(one) & bounded]
            rest = [one for one in sides if one not in own]
            alone = len(own) == 1 and _bare(own[0]) and (function != "in" or own[0] is first)
            return alone and all(_plainly_known(one, facts) for one in rest)
        case Op(function="&&" | "||" | "!" | "?:", args=args):
            return all(_only_compared(one, bounded, facts) for one in args)
        case _:
            return False


def _bare(node: Node) -> bool:
    inner = node.args[0] if isinstance(node, Op) and node.function == "double" else node
    return isinstance(inner, Ref)


def _plainly_known(node: Node, facts: Facts) -> bool:
    match node:
        case Lit():
            return True
        case Ref(name=name):
            return name in facts.known
        case AsDouble(of=inner):
            return _plainly_known(inner, facts)
        case Op(function="double", args=(Ref(name=name),)):
            return name in facts.known
        case _:
            return False
