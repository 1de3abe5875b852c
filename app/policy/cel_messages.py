"""What the CEL library says of a broken condition, in words for people who write policies."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.policy.promotion import ARITHMETIC, COMPARISONS

_CEL_ERROR = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_OVERLOAD = re.compile(
    r"found no matching overload for '(?P<function>.+?)' applied to '(?P<target>.*?)\((?P<args>.*)\)'"
)

#: What stands where reading stopped, or just before it, and what to say of it. `{0}` is the first group.
_SYNTAX = (
    (re.compile(r"(?:(?<=%)|(?<=% ))(?=\s*(?:$|&&|\|\||\)))"), "`%` is the rest of a division", "write 80% as `0.8`"),
    (re.compile(r"\s*$"), "the condition ends too early", None),
    (re.compile(r"(and|AND)\b"), "`{0}` is not an operator", "write `&&`"),
    (re.compile(r"(or|OR)\b"), "`{0}` is not an operator", "write `||`"),
    (re.compile(r"(?<=\b(?:not|NOT)\s)"), "`not` is not an operator", "write `!(…)`, or the tree `not: …`"),
    (re.compile(r"(is|IS|equals)\b"), "`{0}` is not an operator", "write `==` to compare"),
    (re.compile(r"(percent)\b"), "cannot read the condition from `{0}` on", "write 80 percent as `0.8`"),
    (re.compile(r"(?<===)="), "`===` is not an operator", "write `==` to compare"),
    (re.compile(r"=([<>])"), "`={0}` is not an operator", "write `{0}=`"),
    (re.compile(r"(?<=<)>"), "`<>` is not an operator", "write `!=`"),
    (re.compile(r"="), "`=` is not an operator", "write `==` to compare"),
    (re.compile(r"([&|])"), "`{0}` is not an operator", "write `{0}{0}`"),
    (
        re.compile(r"(?<=\d)(,\d+)"),
        "cannot read the condition from `{0}` on",
        "write a point in a decimal number: `0.9`",
    ),
    (re.compile(r"['\"](?=.*\\)"), "a quote that is never closed", "within quotes a backslash is written twice"),
    (re.compile(r"['\"]"), "a quote that is never closed", None),
)
_IN_ROUND_BRACKETS = re.compile(r"\bin\s*\([^()]*$")
#: Signs that look like those of conditions, or stand for them elsewhere.
_LOOKALIKES = {
    **dict.fromkeys("“”„‟«»＂", '`"`'),
    **dict.fromkeys("‘’‚‛＇`´", "`'`"),
    **{"≥": "`>=`", "≤": "`<=`", "≠": "`!=`", "−": "`-`", "–": "`-`", "×": "`*`", "·": "`*`", "÷": "`/`"},
    **{"∧": "`&&`", "∨": "`||`", "¬": "`!`"},
}


_OPERAND_HINTS = {
    "!_": "put what is not to be into brackets: `!(…)`",
    "@in": '`in` takes a list of the same kind: `context.surface in ["avatar", "chat"]`',
}
_ORDER = frozenset({"_<_", "_<=_", "_>_", "_>=_"})


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is wrong with a condition; `at` counts code points from its beginning. `of_types`: it is that something
    is of another type than is needed."""

    at: int
    message: str
    hint: str | None = None
    of_types: bool = False


#: The functions that conditions may use.
FUNCTIONS = ("size", "double", "startsWith", "endsWith", "contains", "matches")
_INSTEAD = {
    **dict.fromkeys(("max", "min"), "one number of several is made in `scores`: `{max: […]}`"),
    **dict.fromkeys(("len", "length", "count"), "write `size(…)`"),
    **dict.fromkeys(("float", "int", "number"), "write `double(…)`"),
    **dict.fromkeys(("regex", "match", "search"), 'write `….matches("…")`'),
}


def syntax_hint(what: str) -> str | None:
    """Of CEL that conditions do not use."""
    if what in ("`null`", "`has()`"):
        return "what is not known makes a condition unknown by itself: `on_unknown` says what then"
    return None


def function_hint(function: str) -> str:
    """What there is in place of a function that there is not."""
    return _INSTEAD.get(function) or f"there are {', '.join(f'`{name}()`' for name in FUNCTIONS)}"


def shown(function: str) -> str:
    """An operator or function as people write it."""
    if function == "_[_]":
        return "an index `[…]`"
    return f"`{function}()`" if function.isidentifier() else f"`{function.strip('_@')}`"


def syntax_complaint(text: str, message: str) -> Complaint:
    """One complaint: what follows the first syntax error is mostly its echo."""
    at, what = next(_cel_errors(text, message))
    if what.startswith("reserved identifier: "):
        word = what.removeprefix("reserved identifier: ")
        return Complaint(
            at, f"`{word}` cannot be used in a condition", "a choice is written `a ? b : c`, or as two rules"
        )
    if not what.startswith("Syntax error: "):
        return Complaint(at, what)
    if text[at : at + 1] == "," and _IN_ROUND_BRACKETS.search(text, 0, at):
        return Complaint(at, "a list stands in square brackets", 'write `in ["avatar", "chat"]`')
    for pattern, said, hint in _SYNTAX:
        if found := pattern.match(text, at):
            return Complaint(at, said.format(*found.groups()), hint and hint.format(*found.groups()))
    return _unreadable(text, at)


def _unreadable(text: str, at: int) -> Complaint:
    """Of a sign that conditions do not know, which one they do."""
    sign = text[at]
    plain = unicodedata.normalize("NFKC", sign)
    known = _LOOKALIKES.get(sign) or (f"`{plain}`" if plain != sign and plain.isascii() and plain.strip() else None)
    if known is not None:
        return Complaint(at, f"`{sign}` is not a sign that conditions know", f"write {known}")
    if not sign.isprintable():
        return Complaint(at, f"a character that cannot be seen (U+{ord(sign):04X})", "type it anew, with plain spaces")
    return Complaint(at, f"cannot read the condition from `{text[at:].split(maxsplit=1)[0]}` on")


def type_complaints(text: str, message: str) -> list[Complaint]:
    return [Complaint(at, *_type_message(what), of_types=True) for at, what in _cel_errors(text, message)]


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
    return f"{shown(function)} does not take {' and '.join(kinds)}", _type_hint(function, kinds)


def _type_hint(function: str, kinds: Sequence[str]) -> str | None:
    if function in _OPERAND_HINTS:
        return _OPERAND_HINTS[function]
    compares = function in COMPARISONS
    if set(kinds) == {"int", "double"}:
        return "a count or size is an int: compare it with a whole number, or write `double(…)` around it"
    if function in _ORDER and kinds[0] == "bool" and kinds[-1] in ("int", "double"):
        return "compare two at a time: `0.5 < a && a < 0.9`; what is true or false is left alone"
    if compares and "bool" in kinds:
        return "true and false are joined with `&&`, `||` and `!`, or left alone"
    if "string" in kinds and len(set(kinds)) > 1 and (compares or function in ARITHMETIC):
        return "in quotes stands a text: a number or a name such as `thresholds.high` is written without"
    return None
