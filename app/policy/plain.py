"""The conditions that nearly all are: one comparison, or two that are joined, read without the CEL library.

A policy of some hundred rules is a thousand of them, and the library takes a tenth of a millisecond for each. What is
read here is what the library would read, and sound; a test holds that. All else is left to it.
"""

import re
from collections.abc import Mapping

from app.policy.cel_syntax import Call, Const, Name, Node
from app.policy.fields import CEL_WORDS, MAX_NUMBER
from app.policy.vocabulary import Kind, Vocabulary

_NAME = r"[a-z][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)+"
#: Few enough digits for every way of reading decimals to come to the same number.
_NUMBER = r"(?:0|[1-9][0-9]{0,9})(?:\.[0-9]{1,15})?"
#: What needs no escape, and no thought about what a character is.
_TEXT = r"'[ !#-&(-\[\]-~]*'|\"[ !#-&(-\[\]-~]*\""
_COMPARISON = rf"({_NAME}) *(<=|>=|<|>|==|!=) *(?:({_NAME})|({_NUMBER})|({_TEXT}))"
_ONE = re.compile(_COMPARISON)
_TWO = re.compile(rf"{_COMPARISON} *(&&|\|\|) *{_COMPARISON}")

_NUMBERS = (Kind.INT, Kind.DOUBLE)
_EQUALITY = ("==", "!=")


class PlainReader:
    """Reads conditions over one vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._thresholds = vocabulary.thresholds
        self._kinds: Mapping[str, Kind] = {
            name: kind for name, kind in vocabulary.kinds.items() if CEL_WORDS.isdisjoint(name.split("."))
        }

    def read(self, text: str) -> Node | None:
        """The tree of a sound condition, or None for what the library has to look at."""
        if found := _ONE.fullmatch(text):
            return self._comparison(found, 1)
        if found := _TWO.fullmatch(text):
            left, right = self._comparison(found, 1), self._comparison(found, 7)
            if left is not None and right is not None:
                return Call(f"_{found[6]}_", (left, right), found.start(6))
        return None

    def _comparison(self, found: re.Match[str], first: int) -> Node | None:
        """Of the groups from `first` on: a name, an operator, and a name, a number or a text."""
        name, operator, other, number, text = found.group(*range(first, first + 5))
        kind = self._kinds.get(name)
        right: Node
        if other is not None:
            right_kind, constant = self._kinds.get(other), other in self._thresholds
            right = Name(other, found.start(first + 2))
        elif number is not None:
            value = float(number) if "." in number else int(number)
            if value > MAX_NUMBER:
                return None
            right_kind, constant = (Kind.DOUBLE if isinstance(value, float) else Kind.INT), True
            right = Const(value, found.start(first + 3))
        else:
            right_kind, constant = Kind.STRING, True
            right = Const(text[1:-1], found.start(first + 4))
        if not self._sound(name, kind, operator, right_kind, constant):
            return None
        return Call(f"_{operator}_", (Name(name, found.start(first)), right), found.start(first + 1))

    def _sound(self, name: str, kind: Kind | None, operator: str, other: Kind | None, constant: bool) -> bool:
        """Whether both sides are of one type, or become so because what is whole is a constant."""
        if kind in _NUMBERS and other in _NUMBERS:
            if kind is other:
                return True
            return constant if other is Kind.INT else name in self._thresholds
        return kind is other is Kind.STRING and operator in _EQUALITY
