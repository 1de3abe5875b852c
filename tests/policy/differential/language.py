"""Conditions as trees, and the texts that say the same: in the policy language, and in plain CEL with every type spelt
out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

Scalar: TypeAlias = bool | int | float | str

DOUBLES = (
    *("probes.a.p", "probes.b.p", "probes.a.mass", "scores.goods", "scores.arms", "text.score.goods"),
    *("text.score.arms", "keywords.banned.score", "thresholds.high", "thresholds.half"),
)
INTS = (
    *("keywords.banned.count", "keywords.sworn.count", "keywords.posted.count", "keywords.banned.terms"),
    *("keywords.sworn.severity", "codes.count", "text.chars", "image.width", "image.frames", "thresholds.three"),
)
STRINGS = ("context.surface", "image.format")
FLAGS = ("image.transparent", "context.has_caption")

METHODS = ("startsWith", "endsWith", "contains", "matches")
ARITHMETIC = ("+", "-", "*", "/", "%")
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")


@dataclass(frozen=True)
class Lit:
    value: Scalar


@dataclass(frozen=True)
class Ref:
    name: str


@dataclass(frozen=True)
class Op:
    """`function` as it is written, `?:` for a choice and `neg` for a minus sign; of `in` the first of `args` is looked
    for among the others."""

    function: str
    args: tuple["Node", ...]


@dataclass(frozen=True)
class AsDouble:
    """A whole number, or a threshold that is one, where a decimal one is wanted: the policy language lets it stand
    beside a decimal number as it is."""

    of: Lit | Ref


Node: TypeAlias = Lit | Ref | Op | AsDouble


@dataclass(frozen=True)
class Style:
    """How a condition is laid out, which means nothing."""

    space: str = " "
    dot: str = "."
    quote: str = '"'


def walk(node: Node) -> Iterator[Node]:
    yield node
    if isinstance(node, Op):
        for arg in node.args:
            yield from walk(arg)
    elif isinstance(node, AsDouble):
        yield node.of


def names(node: Node) -> set[str]:
    return {one.name for one in walk(node) if isinstance(one, Ref)}


def policy_text(node: Node, style: Style) -> str:
    return _text(node, style, plain=False)


def cel_text(node: Node) -> str:
    """The same for a CEL library that knows nothing of promotion."""
    return _text(node, Style(), plain=True)


def _text(node: Node, style: Style, *, plain: bool, beside_double: bool = False) -> str:
    match node:
        case Lit(value=value):
            return _literal(value, style)
        case Ref(name=name):
            return name.replace(".", style.dot)
        case AsDouble(of=inner):
            written = _text(inner, style, plain=plain)
            if beside_double and not plain:
                return written
            return f"{written}.0" if isinstance(inner, Lit) else f"double({written})"
        case Op(function=function, args=args):
            siblings = args[1:] if function == "?:" else args
            double = any(_surely_double(one) for one in siblings) and function not in ("&&", "||", "!")
            parts = [_text(one, style, plain=plain, beside_double=double and one in siblings) for one in args]
            return _call(function, parts, style)


#: How each is written that does not stand between its two arguments.
_FORMS = {
    "!": "!({0})",
    "neg": "-({0})",
    "double": "double({0})",
    "size": "size({0})",
    "?:": "({0}{space}?{space}{1}{space}:{space}{2})",
    **{method: f"{{0}}.{method}({{1}})" for method in METHODS},
}


def _call(function: str, parts: list[str], style: Style) -> str:
    if function == "in":
        return f"({parts[0]}{style.space}in [{', '.join(parts[1:])}])"
    if function in _FORMS:
        return _FORMS[function].format(*parts, space=style.space)
    return f"({parts[0]}{style.space}{function}{style.space}{parts[1]})"


def _literal(value: Scalar, style: Style) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return style.quote + value.replace("\\", "\\\\").replace(style.quote, f"\\{style.quote}") + style.quote
    return repr(value)


def _surely_double(node: Node) -> bool:
    """Whether it is a decimal number however its whole numbers are read."""
    match node:
        case Lit(value=value):
            return isinstance(value, float)
        case Ref(name=name):
            return name in DOUBLES
        case Op(function="double"):
            return True
        case Op(function=function, args=args) if function in ARITHMETIC or function in ("neg", "?:"):
            return any(_surely_double(one) for one in (args[1:] if function == "?:" else args))
        case _:
            return False
