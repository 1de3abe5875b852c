"""Conditions as anyone might write them, and some that nobody would."""

from hypothesis import strategies as st

from tests.policy.differential.language import (
    COMPARISONS,
    DOUBLES,
    FLAGS,
    INTS,
    METHODS,
    STRINGS,
    AsDouble,
    Lit,
    Node,
    Op,
    Ref,
    Style,
)

TEXTS = ("", "chat", "Chat", "头像", "😀a", 'it\'s "so"', "a\\b", "png", "jpeg")
#: Read the same by RE2 and by Python.
PATTERNS = ("^ch", "at$", "a.*t", "(?i)CHAT", "头", "[^a-z]", "", "^(png|jpeg)$")
PROBABILITIES = (0.0, 0.1, 0.25, 0.3, 0.5, 0.75, 0.9, 1.0, 0.1 + 0.2, 1e-300, 2.5, -0.5)

STYLES = st.builds(
    Style,
    space=st.sampled_from([" ", " ", "\n", "  ", " \t"]),
    dot=st.sampled_from([".", ".", " . "]),
    quote=st.sampled_from(['"', "'"]),
)


def op(function: str, *args: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    return st.tuples(*args).map(lambda given: Op(function, given))


def ops(functions: tuple[str, ...], *args: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    return st.builds(Op, st.sampled_from(functions), st.tuples(*args))


def _refs(names: tuple[str, ...]) -> st.SearchStrategy[Node]:
    return st.sampled_from(names).map(Ref)


FLAG = _refs(FLAGS)
TEXT = _refs(STRINGS) | st.sampled_from(TEXTS).map(Lit)
WHOLE_LITERAL: st.SearchStrategy[Node] = st.sampled_from([*range(-3, 6), 0, 1, 1_000_000_000]).map(Lit)
WHOLE_NAME = _refs(INTS)
DECIMAL_NAME = _refs(DOUBLES)
DECIMAL_CONSTANT: st.SearchStrategy[Node] = (
    st.sampled_from(PROBABILITIES).map(Lit)
    | st.sampled_from([0, 1, 2, -1]).map(lambda value: AsDouble(Lit(value)))
    | st.just(AsDouble(Ref("thresholds.three")))
)


def _whole(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    divisor: st.SearchStrategy[Node] = st.sampled_from([Lit(2), Lit(3), Lit(-2), Ref("thresholds.three")])
    return (
        ops(("+", "-", "*"), inner, inner)
        | op("neg", inner)
        | ops(("/", "%"), inner, divisor)
        | op("?:", FLAG, inner, inner)
    )


def _decimal(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    divisor: st.SearchStrategy[Node] = st.sampled_from([Lit(2.0), Lit(0.5), Ref("thresholds.half")])
    return (
        ops(("+", "-", "*"), inner, inner)
        | op("neg", inner)
        | op("/", inner, divisor)
        | op("?:", FLAG, inner, inner)
        | op("double", WHOLE_NAME)
    )


WHOLE = st.recursive(WHOLE_LITERAL | WHOLE_NAME | op("size", TEXT), _whole, max_leaves=3)
DECIMAL = st.recursive(DECIMAL_NAME | DECIMAL_CONSTANT, _decimal, max_leaves=3)

#: What most rules are made of.
PLAIN = (
    ops(COMPARISONS, WHOLE_NAME, WHOLE_LITERAL | st.just(Ref("thresholds.three")))
    | ops(COMPARISONS, DECIMAL_NAME, DECIMAL_CONSTANT | _refs(("thresholds.high", "thresholds.half")))
    | ops(COMPARISONS, WHOLE_LITERAL, WHOLE_NAME)
    | ops(COMPARISONS, DECIMAL_CONSTANT, DECIMAL_NAME)
    | ops(COMPARISONS, op("double", WHOLE_NAME), DECIMAL_CONSTANT)
    | ops(("==", "!="), TEXT, TEXT)
    | FLAG
)


def _among(one: st.SearchStrategy[Node], item: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    items = st.lists(item, min_size=1, max_size=3)
    return st.builds(lambda sought, listed: Op("in", (sought, *listed)), one, items)


LEAF = (
    PLAIN
    | ops(COMPARISONS, WHOLE, WHOLE)
    | ops(COMPARISONS, DECIMAL, DECIMAL)
    | ops(COMPARISONS, TEXT, TEXT)
    | ops(("==", "!="), FLAG, FLAG | st.booleans().map(Lit))
    | ops(METHODS[:3], _refs(STRINGS), TEXT)
    | op("matches", TEXT, st.sampled_from(PATTERNS).map(Lit))
    | _among(TEXT, TEXT)
    | _among(WHOLE_NAME, WHOLE_LITERAL)
    | _among(DECIMAL_NAME, DECIMAL_CONSTANT)
)


def _logic(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    return ops(("&&", "||"), inner, inner) | op("!", inner) | op("?:", inner, inner, inner)


CONDITIONS = st.recursive(PLAIN | LEAF, _logic, max_leaves=4)
