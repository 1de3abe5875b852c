"""What the CEL library says of a broken condition, in words for people who write policies."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from app.policy.promotion import COMPARISONS

_CEL_ERROR = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_OVERLOAD = re.compile(
    r"found no matching overload for '(?P<function>.+?)' applied to '(?P<target>.*?)\((?P<args>.*)\)'"
)

#: What stands where reading stopped, and what to say of it. `{0}` is the first group.
_SYNTAX = (
    (re.compile(r"\s*$"), "the condition ends too early", None),
    (re.compile(r"(and|AND)\b"), "`{0}` is not an operator", "write `&&`"),
    (re.compile(r"(or|OR)\b"), "`{0}` is not an operator", "write `||`"),
    (re.compile(r"(not|NOT)\b"), "`{0}` is not an operator", "write `!`"),
    (re.compile(r"="), "`=` is not an operator", "write `==` to compare"),
    (re.compile(r"([&|])"), "`{0}` is not an operator", "write `{0}{0}`"),
    (re.compile(r"['\"]"), "a quote that is never closed", None),
    (re.compile(r"(\S+)"), "cannot read the condition from `{0}` on", None),
)


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is wrong with a condition; `at` counts code points from its beginning."""

    at: int
    message: str
    hint: str | None = None


def shown(function: str) -> str:
    """An operator or function as people write it."""
    if function == "_[_]":
        return "an index `[…]`"
    return f"`{function}()`" if function.isidentifier() else f"`{function.strip('_@')}`"


def syntax_complaint(text: str, message: str) -> Complaint:
    """One complaint: what follows the first syntax error is mostly its echo."""
    at, what = next(_cel_errors(text, message))
    if not what.startswith("Syntax error: "):
        return Complaint(at, what)
    for pattern, said, hint in _SYNTAX:
        if found := pattern.match(text, at):
            return Complaint(at, said.format(*found.groups()), hint and hint.format(*found.groups()))
    return Complaint(at, what)


def type_complaints(text: str, message: str) -> list[Complaint]:
    return [Complaint(at, *_type_message(what)) for at, what in _cel_errors(text, message)]


def _cel_errors(text: str, message: str) -> Iterator[tuple[int, str]]:
    """Offsets and messages. The library counts lines and columns (in code points) from 1."""
    found = _CEL_ERROR.findall(message)
    lines = text.split("\n")
    for line, column, what in found:
        before = sum(len(passed) + 1 for passed in lines[: int(line) - 1])
        yield before + int(column) - 1, str(what).removesuffix(" [INVALID_ARGUMENT]")
    if not found:
        yield 0, "the condition is nested too deep" if "recursion limit" in message else message


def _type_message(message: str) -> tuple[str, str | None]:
    overload = _OVERLOAD.match(message)
    if overload is None:
        return message, None
    function = overload["function"]
    kinds = [kind for kind in (overload["target"].rstrip("."), *overload["args"].split(", ")) if kind]
    what = f"{shown(function)} does not take {' and '.join(kinds)}"
    if set(kinds) == {"int", "double"}:
        return what, "a count or size is an int: compare it with a whole number, or write `double(…)` around it"
    if "bool" in kinds and function in COMPARISONS:
        return what, "true and false are joined with `&&`, `||` and `!`, or left alone"
    return what, None
