"""Conditions: CEL expressions over the names of the vocabulary, checked when they are loaded.

Conditions use a part of CEL that is easy to reason about: comparisons, arithmetic, logic and a few text functions. What
could make a number that is not finite (division by what may be zero) is refused when the policy is loaded.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from cel_expr_python import cel

from app.domain import Truth
from app.policy import truth
from app.policy.cel_messages import (
    FUNCTIONS,
    Complaint,
    function_hint,
    shown,
    syntax_complaint,
    syntax_hint,
    type_complaints,
)
from app.policy.cel_syntax import (
    Call,
    Const,
    Flat,
    Name,
    Node,
    Scalar,
    UnsupportedSyntax,
    flatten,
    read_tree,
    unflatten,
    walk,
)
from app.policy.fields import MAX_NUMBER, MIN_DIVISOR
from app.policy.plain import PlainReader
from app.policy.promotion import ARITHMETIC, COMPARISONS, promote
from app.policy.simple import Simple, simplify
from app.policy.vocabulary import Kind, Vocabulary

MAX_CONDITION_CHARS = 2000
#: With numbers up to 1e9 and divisors down to 1e-9 no product of this many leaves the range of a double.
MAX_PRODUCTS = 16

_DIVISIONS = frozenset({"_/_", "_%_"})
_LOGIC = frozenset({"_&&_", "_||_", "!_", "_?_:_", "@in", "-_"})
_ALLOWED = COMPARISONS | ARITHMETIC | _LOGIC | frozenset(FUNCTIONS)
_TYPES = {Kind.BOOL: cel.Type.BOOL, Kind.INT: cel.Type.INT, Kind.DOUBLE: cel.Type.DOUBLE, Kind.STRING: cel.Type.STRING}


class ConditionInvalid(Exception):
    """Everything that is wrong with one condition."""

    def __init__(self, complaints: Sequence[Complaint]) -> None:
        super().__init__("; ".join(complaint.message for complaint in complaints))
        self.complaints = tuple(complaints)


class CheckedCondition(NamedTuple):
    """A sound condition on its way between processes; `checked` is CEL's checked expression, serialized."""

    text: str
    names: tuple[str, ...]
    tree: Flat
    checked: bytes


@dataclass(frozen=True, slots=True)
class Condition:
    """A checked condition. `names` are those it refers to, in order of appearance; `simple` is the same condition
    without the CEL library, where it is no more than comparisons. Of a plain one the library has not made anything."""

    text: str
    names: tuple[str, ...]
    tree: Node = field(repr=False)
    simple: Simple | None = field(repr=False)
    _library: "_Library" = field(repr=False)
    _expression: Any = field(default=None, repr=False)

    def run(self, values: Mapping[str, Scalar], activation: Callable[[], Any]) -> Truth:
        """Evaluates over the values; `activation` gives what `Compiler.activation` made of them, if it is needed."""
        if self.simple is not None:
            return self.simple.judge(values)
        return self.run_cel(activation())

    def run_cel(self, activation: Any) -> Truth:
        """Evaluates with the library. An error, such as a missing value that decides, is unknown."""
        expression = self._expression or self._library.compile(self.text, self.tree)
        try:
            value = expression.eval(activation).value()
        except RuntimeError:  # how the library refuses a value that it cannot take
            return Truth.UNKNOWN
        return truth.of(value) if isinstance(value, bool) else Truth.UNKNOWN

    def checked(self) -> CheckedCondition | str:
        """What `Compiler.take_over` makes this condition of: a plain one of its text."""
        if self._expression is None:
            return self.text
        return CheckedCondition(self.text, self.names, flatten(self.tree), self._expression.serialize())


@dataclass(frozen=True, slots=True)
class _Library:
    """CEL, for the names of one vocabulary."""

    vocabulary: Vocabulary
    env: Any

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> "_Library":
        return cls(vocabulary, cel.NewEnv(variables={name: _TYPES[kind] for name, kind in vocabulary.kinds.items()}))

    def parse(self, text: str) -> Node:
        """Raises ConditionInvalid."""
        try:
            return read_tree(self.env.compile(text, disable_check=True).serialize())
        except UnsupportedSyntax as error:
            raise ConditionInvalid(
                [Complaint(error.at, f"{error.what} cannot be used in a condition", syntax_hint(error.what))]
            ) from error
        except RuntimeError as error:
            raise ConditionInvalid([syntax_complaint(text, str(error))]) from error

    def compile(self, text: str, tree: Node) -> Any:
        """Raises ConditionInvalid."""
        promoted = promote(text, tree, self.vocabulary)
        try:
            expression = self.env.compile(promoted.text)
        except RuntimeError as error:
            complaints = type_complaints(promoted.text, str(error))
            raise ConditionInvalid([replace(one, at=promoted.original(one.at)) for one in complaints]) from error
        if expression.return_type() != cel.Type.BOOL:
            message = f"a condition is true or false, and this is of type {expression.return_type().name().lower()}"
            raise ConditionInvalid([Complaint(0, message, "compare it with something")])
        return expression


class Compiler:
    """Compiles the conditions of one policy. What `before` compiled, for an earlier version of it, is not compiled
    again where it would come out the same."""

    def __init__(self, vocabulary: Vocabulary, *, before: "Compiler | None" = None) -> None:
        self._vocabulary = vocabulary
        self._made: dict[str, Condition] = {}
        self._made_before: Mapping[str, Condition] = before._made if before else {}
        self._kinds_before: Mapping[str, Kind] = before.kinds if before else {}
        self._same_names = before is not None and before.kinds == vocabulary.kinds
        self._plain = PlainReader(vocabulary)
        self._library: _Library
        if before is not None and self._same_names:
            self._library = _Library(vocabulary, before._library.env)
        else:
            self._library = _Library.of(vocabulary)

    @property
    def kinds(self) -> Mapping[str, Kind]:
        return self._vocabulary.kinds

    def shares_names_with(self, other: "Compiler") -> bool:
        """Whether the conditions of one can be run as those of the other."""
        return self._library.env is other._library.env

    def activation(self, values: Mapping[str, Scalar]) -> Any:
        """Values for `Condition.run`, of the types the vocabulary declares. A name that is left out is missing."""
        return self._library.env.Activation(values)

    def compile(self, text: str) -> Condition:
        """Raises ConditionInvalid."""
        condition = self._made.get(text) or self._known(text) or self._read(text) or self._compiled(text)
        self._made[text] = condition
        return condition

    def take_over(self, checked: CheckedCondition | str) -> Condition:
        """A condition that a compiler with the same names and thresholds has compiled, as if it had been compiled
        here. Only for what another process of this service has checked."""
        if isinstance(checked, str):
            return self.compile(checked)
        expression = self._library.env.deserialize(checked.checked)
        return self._condition(checked.text, checked.names, unflatten(checked.tree), expression)

    def _condition(self, text: str, names: tuple[str, ...], tree: Node, expression: Any = None) -> Condition:
        return Condition(text, names, tree, simplify(tree, self._vocabulary.kinds), self._library, expression)

    def _known(self, text: str) -> Condition | None:
        """A condition depends on the types of its names, and on the values of thresholds that it divides by."""
        known = self._made_before.get(text)
        if known is None or any(self.kinds.get(name) is not self._kinds_before[name] for name in known.names):
            return None
        if any(isinstance(node, Call) and node.function in _DIVISIONS for node in walk(known.tree)):
            return None
        if self._same_names:
            return known
        checked = known.checked()
        return None if isinstance(checked, str) else self.take_over(checked)

    def _read(self, text: str) -> Condition | None:
        """A plain condition."""
        tree = self._plain.read(text) if len(text) <= MAX_CONDITION_CHARS else None
        return None if tree is None else self._condition(text, _names(tree), tree)

    def _compiled(self, text: str) -> Condition:
        if len(text) > MAX_CONDITION_CHARS:
            raise ConditionInvalid([Complaint(0, f"a condition has at most {MAX_CONDITION_CHARS} characters")])
        tree = self._library.parse(text)
        if complaints := [*self._complaints(tree)]:
            raise ConditionInvalid(complaints)
        return self._condition(text, _names(tree), tree, self._library.compile(text, tree))

    def _complaints(self, tree: Node) -> Iterator[Complaint]:
        products = 0
        for node in walk(tree):
            match node:
                case Name(name=name, at=at) if name not in self._vocabulary.kinds:
                    yield Complaint(at, f"unknown name `{name}`", self._vocabulary.suggest(name))
                case Const(value=int() | float() as value, at=at) if not abs(value) <= MAX_NUMBER:
                    yield Complaint(at, f"a number in a condition is at most {MAX_NUMBER:.0e}")
                case Call(function=function, at=at) if function not in _ALLOWED:
                    yield Complaint(at, f"{shown(function)} cannot be used in a condition", function_hint(function))
                case Call(function="_*_" | "_/_"):
                    products += 1
                case Call(function="matches", args=args, at=at):
                    yield from self._bad_pattern(args[-1], at)
            if isinstance(node, Call) and node.function in _DIVISIONS and not self._safe_divisor(node.args[1]):
                yield Complaint(
                    node.at,
                    "a condition divides only by a number that is not zero",
                    "multiply instead: `a > 2.0 * b` for `a / b > 2.0`",
                )
        if products > MAX_PRODUCTS:
            yield Complaint(0, f"a condition multiplies and divides at most {MAX_PRODUCTS} times")

    def _safe_divisor(self, node: Node) -> bool:
        value = self._vocabulary.thresholds.get(node.name) if isinstance(node, Name) else None
        if isinstance(node, Const):
            value = node.value if isinstance(node.value, int | float) else None
        return value is not None and abs(value) >= MIN_DIVISOR

    def _bad_pattern(self, pattern: Node, at: int) -> Iterator[Complaint]:
        """CEL looks at a regular expression only when it runs, which would be too late."""
        if not isinstance(pattern, Const) or not isinstance(pattern.value, str):
            yield Complaint(at, "`matches()` takes a pattern in quotes")
            return
        result = self._library.env.compile(f"''.matches({json.dumps(pattern.value)})").eval(data={}).value()
        if not isinstance(result, bool):
            reason = str(result).rpartition("invalid regular expression: ")[2]
            yield Complaint(pattern.at, f"not a regular expression: {reason}", "the syntax is RE2's")


def _names(tree: Node) -> tuple[str, ...]:
    return tuple(dict.fromkeys(node.name for node in walk(tree) if isinstance(node, Name)))
