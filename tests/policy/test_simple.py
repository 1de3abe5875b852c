"""Plain comparisons run without the CEL library, and always as the library would."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.domain import Truth
from app.policy.cel_syntax import Scalar
from app.policy.conditions import Compiler, ConditionInvalid
from app.policy.vocabulary import Vocabulary

VOCABULARY = Vocabulary.of(
    probes=["a", "b"], scores=["goods"], lists=["words"], thresholds={"high": 0.9, "three": 3, "zero": 0}
)
COMPILER = Compiler(VOCABULARY)

DOUBLES = ("probes.a.p", "probes.b.mass", "scores.goods", "thresholds.high")
INTS = ("keywords.words.count", "image.width", "thresholds.three", "thresholds.zero")
STRINGS = ("context.surface", "image.format")
FLAGS = ("image.transparent", "context.has_caption")
ORDERS = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
P = st.sampled_from([0.0, -0.0, 0.1, 0.3, 0.5, 0.9, 1.0, 0.1 + 0.2, 1e-300])
COUNT = st.integers(-3, 5)
TEXT = st.sampled_from(["", "chat", "Chat", "头像", "a'b"])


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


NUMBER = (
    st.sampled_from(DOUBLES + INTS)
    | st.builds(repr, P)
    | st.builds(str, COUNT)
    | st.sampled_from(INTS).map(lambda name: f"double({name})")
)
LEAF = (
    st.builds(lambda a, op, b: f"{a} {op} {b}", NUMBER, ORDERS, NUMBER)
    | st.builds(
        lambda a, op, b: f"{a} {op} {b}",
        st.sampled_from(STRINGS) | TEXT.map(quoted),
        st.sampled_from(["==", "!=", "<"]),
        st.sampled_from(STRINGS) | TEXT.map(quoted),
    )
    | st.sampled_from(FLAGS)
    | st.builds(
        lambda a, items: f"{a} in [{', '.join(items)}]",
        st.sampled_from(STRINGS),
        st.lists(TEXT.map(quoted), max_size=3),
    )
    | st.builds(
        lambda a, items: f"{a} in [{', '.join(items)}]", st.sampled_from(INTS), st.lists(COUNT.map(str), max_size=3)
    )
)
CONDITION = st.recursive(
    LEAF,
    lambda inner: (
        st.builds(lambda a, op, b: f"({a} {op} {b})", inner, st.sampled_from(["&&", "||"]), inner)
        | inner.map(lambda a: f"!({a})")
    ),
    max_leaves=4,
)
VALUES = st.fixed_dictionaries(
    {"thresholds.high": st.just(0.9), "thresholds.three": st.just(3), "thresholds.zero": st.just(0)},
    optional={
        **dict.fromkeys(DOUBLES[:3], P),
        **dict.fromkeys(INTS[:2], COUNT),
        **dict.fromkeys(STRINGS, TEXT),
        **{name: st.booleans() for name in FLAGS},
    },
)


class Table:
    """Rows of values as columns."""

    def __init__(self, rows: list[dict[str, Scalar]]) -> None:
        self._rows = rows
        self.rows = len(rows)

    def column(self, name: str) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        blank = {"string": "", "bool": False, "int": 0, "double": 0.0}[VOCABULARY.kinds[name].value]
        kind = {"string": object, "bool": bool, "int": np.int64, "double": np.float64}[VOCABULARY.kinds[name].value]
        values = np.array([row.get(name, blank) for row in self._rows], dtype=kind)
        return values, np.array([name in row for row in self._rows], dtype=bool)


@settings(max_examples=300, deadline=None)
@given(CONDITION, st.lists(VALUES, min_size=1, max_size=6))
def test_simple_conditions_agree_with_the_library(text: str, rows: list[dict[str, Scalar]]) -> None:
    try:
        condition = COMPILER.compile(text)
    except ConditionInvalid:
        return
    if condition.simple is None:
        return
    truths = [condition.run_cel(COMPILER.activation(row)) for row in rows]
    assert [condition.run(row, lambda: None) for row in rows] == truths
    both = condition.simple.run_columns(Table(rows))
    assert both.true.tolist() == [truth is Truth.TRUE for truth in truths]
    assert both.false.tolist() == [truth is Truth.FALSE for truth in truths]


@pytest.mark.parametrize(
    "text",
    [
        "probes.a.p >= thresholds.high",
        "keywords.words.count > 0 && context.surface == 'avatar'",
        "!(image.transparent || image.width < 100)",
        "context.surface in ['chat', 'avatar']",
        "probes.a.p > 1 || double(keywords.words.count) >= 2.5",
        "-1 < image.width",
    ],
)
def test_common_conditions_are_simple(text: str) -> None:
    assert COMPILER.compile(text).simple is not None


@pytest.mark.parametrize("text", ["probes.a.p + 0.1 > 0.5", "context.surface.startsWith('a')", "image.width % 2 == 0"])
def test_others_are_the_librarys(text: str) -> None:
    assert COMPILER.compile(text).simple is None
