"""Conditions that are plain comparisons, without the CEL library: for one upload, and for columns of many.

Most conditions compare a name with a number or a text and join such comparisons. Those are run here, an order of
magnitude faster than the library; a test holds that both always agree. None stands for what is not known.
"""

from __future__ import annotations  # or each function that is made here would work its annotations out anew

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.domain import Truth
from app.policy.cel_syntax import Call, Const, Items, Name, Node, Scalar
from app.policy.vocabulary import Kind

Bools: TypeAlias = NDArray[np.bool_]
Run: TypeAlias = Callable[[Mapping[str, Scalar]], bool | None]

_ORDERED: Mapping[str, Callable[[Any, Any], Any]] = {
    "_<_": operator.lt,
    "_<=_": operator.le,
    "_>_": operator.gt,
    "_>=_": operator.ge,
}
_EQUAL: Mapping[str, Callable[[Any, Any], Any]] = {"_==_": operator.eq, "_!=_": operator.ne}
_NUMBERS = (Kind.INT, Kind.DOUBLE)
_KINDS_OF: Mapping[type, Kind] = {int: Kind.INT, float: Kind.DOUBLE, str: Kind.STRING}


class Columns(Protocol):
    """One value of each name for each of `rows` uploads."""

    rows: int

    def column(self, name: str) -> tuple[NDArray[Any], Bools]:
        """The values, and where they are known."""
        ...


@dataclass(frozen=True, slots=True)
class Both:
    """Where a condition is true, and where it is false; neither is unknown."""

    true: Bools
    false: Bools


#: What the three values that a condition comes to here are called elsewhere.
TRUTHS: Mapping[bool | None, Truth] = {True: Truth.TRUE, False: Truth.FALSE, None: Truth.UNKNOWN}


class Simple(NamedTuple):
    run: Run
    run_columns: Callable[[Columns], Both]

    def judge(self, values: Mapping[str, Scalar]) -> Truth:
        return TRUTHS[self.run(values)]


def simplify(node: Node, kinds: Mapping[str, Kind]) -> Simple | None:  # noqa: PLR0911 - one return a form
    """The same condition without the library, or None when it takes more than comparisons joined by logic."""
    if isinstance(node, Call) and (node.function in _ORDERED or node.function in _EQUAL):  # nearly all are
        left, right = node.args
        return _comparison(node.function, left, right, kinds)
    match node:
        case Name(name=name) if kinds.get(name) is Kind.BOOL:
            return _flag(name)
        case Call(function="!_", args=(part,)):
            inner = simplify(part, kinds)
            return None if inner is None else _not(inner)
        case Call(function="_&&_" | "_||_" as function, args=(left, right)):
            parts = simplify(left, kinds), simplify(right, kinds)
            if parts[0] is None or parts[1] is None:
                return None
            return _joined(parts[0], parts[1], stop=function == "_||_")
        case Call(function="@in", args=(Name(name=name), Items(items=items))):
            values = [item.value for item in items if isinstance(item, Const)]
            return _member(name, tuple(values)) if len(values) == len(items) else None
        case _:
            return None


class _Operand(NamedTuple):
    """A name, or a value."""

    kind: Kind
    name: str | None = None
    value: Scalar | None = None


def _operand(node: Node, kinds: Mapping[str, Kind]) -> _Operand | None:
    if isinstance(node, Name):
        return _Operand(kinds[node.name], node.name) if node.name in kinds else None
    match node:
        case Const(value=bool()):
            return None
        case Const(value=value):
            return _Operand(_KINDS_OF[type(value)], value=value)
        case Call(function="-_", args=(Const(value=int() | float() as value),)) if not isinstance(value, bool):
            return _Operand(Kind.DOUBLE if isinstance(value, float) else Kind.INT, value=-value)
        case Call(function="double", args=(inner,)):
            # Counts and sizes are whole numbers that a double holds exactly.
            operand = _operand(inner, kinds)
            return operand if operand is not None and operand.kind in _NUMBERS else None
        case _:
            return None


def _comparison(function: str, left: Node, right: Node, kinds: Mapping[str, Kind]) -> Simple | None:
    first, second = _operand(left, kinds), _operand(right, kinds)
    if first is None or second is None:
        return None
    if first.kind in _NUMBERS and second.kind in _NUMBERS:
        compare = _ORDERED.get(function) or _EQUAL[function]
    elif first.kind is second.kind is Kind.STRING and function in _EQUAL:
        compare = _EQUAL[function]
    else:
        return None
    return Simple(_scalar(compare, first, second), partial(_compared, compare, first, second))


def _scalar(compare: Callable[[Any, Any], bool], first: _Operand, second: _Operand) -> Run:
    if first.name is not None and second.name is None:
        return _against_constant(compare, first.name, second.value)
    one, other = first.name, second.name

    def general(values: Mapping[str, Scalar]) -> bool | None:
        left = first.value if one is None else values.get(one)
        right = second.value if other is None else values.get(other)
        return None if left is None or right is None else compare(left, right)

    return general


def _against_constant(compare: Callable[[Any, Any], bool], name: str, constant: Scalar | None) -> Run:
    def run(values: Mapping[str, Scalar]) -> bool | None:
        value = values.get(name)
        return None if value is None else compare(value, constant)

    return run


def _compared(compare: Callable[[Any, Any], Any], first: _Operand, second: _Operand, columns: Columns) -> Both:
    known = np.ones(columns.rows, bool)
    sides: list[Any] = []
    for operand in (first, second):
        if operand.name is None:
            sides.append(operand.value)
        else:
            values, there = columns.column(operand.name)
            known &= there
            sides.append(values)
    result = np.broadcast_to(np.asarray(compare(*sides), bool), columns.rows)
    return Both(known & result, known & ~result)


def _flag(name: str) -> Simple:
    def run(values: Mapping[str, Scalar]) -> bool | None:
        value = values.get(name)
        return None if value is None else bool(value)

    def run_columns(columns: Columns) -> Both:
        values, known = columns.column(name)
        result = values.astype(bool)
        return Both(known & result, known & ~result)

    return Simple(run, run_columns)


def _member(name: str, values: tuple[Scalar, ...]) -> Simple:
    def run(given: Mapping[str, Scalar]) -> bool | None:
        value = given.get(name)
        return None if value is None else value in values

    def run_columns(columns: Columns) -> Both:
        column, known = columns.column(name)
        result = np.zeros(columns.rows, bool)
        for value in values:
            result |= np.asarray(column == value, bool)
        return Both(known & result, known & ~result)

    return Simple(run, run_columns)


def _not(part: Simple) -> Simple:
    def run(values: Mapping[str, Scalar]) -> bool | None:
        result = part.run(values)
        return None if result is None else not result

    def run_columns(columns: Columns) -> Both:
        both = part.run_columns(columns)
        return Both(both.false, both.true)

    return Simple(run, run_columns)


def _joined(left: Simple, right: Simple, *, stop: bool) -> Simple:
    """`&&` or `||`: one side that is `stop` decides, whatever the other is."""

    def run(values: Mapping[str, Scalar]) -> bool | None:
        one = left.run(values)
        if one is stop:
            return stop
        other = right.run(values)
        if other is stop:
            return stop
        return None if one is None or other is None else not stop

    def run_columns(columns: Columns) -> Both:
        one, other = left.run_columns(columns), right.run_columns(columns)
        if stop:
            return Both(one.true | other.true, one.false & other.false)
        return Both(one.true & other.true, one.false | other.false)

    return Simple(run, run_columns)
