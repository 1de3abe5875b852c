"""What is concluded from a lower bound holds for every value at or above it: held against brute force through CEL."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import Truth
from app.policy.bounds import decide
from app.policy.conditions import Compiler, Condition
from app.policy.vocabulary import Vocabulary

VOCABULARY = Vocabulary.of(probes=["a", "b"], scores=["s"], lists=["x", "y"], thresholds={"half": 0.5, "two": 2})
COMPILER = Compiler(VOCABULARY)
KNOWN = {
    **VOCABULARY.thresholds,
    "image.width": 3,
    "probes.b.p": 0.5,
    "context.surface": "ads",
    "image.transparent": True,
}
COUNTS = ("keywords.x.count", "keywords.y.count")
COMPARE = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])


def decided(condition: Condition, at_least: dict[str, int | float]) -> Truth:
    bounded = {name: at_least[name] for name in condition.names if name in at_least}
    known = {name: value for name, value in KNOWN.items() if name in condition.names}
    if not bounded:
        return condition.run_cel(COMPILER.activation(known))
    return decide(condition.tree, known, bounded, lambda values: condition.run_cel(COMPILER.activation(values)))


def whole_numbers() -> st.SearchStrategy[str]:
    atoms = st.sampled_from([*COUNTS, "0", "1", "2", "thresholds.two", "image.width", "(-1)"])
    return st.recursive(
        atoms,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(lambda t: f"({' '.join(t)})"),
            inner.map(lambda one: f"-({one})"),
            st.tuples(inner, inner).map(lambda t: f"(image.transparent ? {t[0]} : {t[1]})"),
        ),
        max_leaves=3,
    )


def decimals() -> st.SearchStrategy[str]:
    atoms = ["probes.a.p", "scores.s", "probes.b.p", "0.3", "1", "thresholds.half", "double(keywords.x.count)"]
    return st.recursive(
        st.sampled_from(atoms),
        lambda inner: st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(lambda t: f"({' '.join(t)})"),
        max_leaves=2,
    )


def leaves() -> st.SearchStrategy[str]:
    listed = st.tuples(st.sampled_from(COUNTS), st.lists(st.integers(0, 4), min_size=1, max_size=3))
    atoms = st.one_of(
        st.tuples(whole_numbers(), COMPARE, whole_numbers()).map(" ".join),
        st.tuples(st.sampled_from(COUNTS), COMPARE, st.sampled_from(["0", "1", "2", "3"])).map(" ".join),
        st.tuples(decimals(), COMPARE, decimals()).map(" ".join),
        listed.map(lambda t: f"{t[0]} in {t[1]}"),
        st.sampled_from(['context.surface == "ads"', "image.transparent"]),
    )
    return st.recursive(
        atoms,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda t: f"({t[0]}\n {t[1]} {t[2]})"),
            inner.map(lambda one: f"!({one})"),
            st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} ? {t[1]} : {t[2]})"),
        ),
        max_leaves=4,
    )


BOUNDS = st.fixed_dictionaries(
    {},
    optional={
        "keywords.x.count": st.integers(0, 3),
        "keywords.y.count": st.integers(0, 3),
        "probes.a.p": st.sampled_from([0.0, 0.2, 0.3, 0.5, 0.9, 1.0]),
        "scores.s": st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    },
)
#: Values of the names that have no bound.
FIXED = {"keywords.x.count": 1, "keywords.y.count": 0, "probes.a.p": 0.4, "scores.s": 0.6}
DECIMALS = [0.0, 0.1, 0.2, 0.25, 0.3, 0.31, 0.5, 0.51, 0.9, 0.99, 1.0]


def truths_above(condition: Condition, at_least: dict[str, int | float]) -> set[Truth]:
    """By brute force: the condition over a grid of the values at or above the bounds, the unbounded ones fixed."""
    axes = []
    for name, value in FIXED.items():
        if name not in condition.names or name not in at_least:
            axes.append([value])
        elif "count" in name:
            axes.append([at_least[name] + step for step in (0, 1, 2, 3, 4, 9, 1000)])
        else:
            axes.append([point for point in DECIMALS if point >= at_least[name]])
    return {
        condition.run_cel(COMPILER.activation({**KNOWN, **dict(zip(FIXED, values, strict=True))}))
        for values in itertools.product(*axes)
    }


@given(leaves(), BOUNDS)
@settings(max_examples=300)
def test_what_is_concluded_holds_for_every_higher_value(text: str, at_least: dict[str, int | float]) -> None:
    condition = COMPILER.compile(text)
    known = {**KNOWN, **{name: value for name, value in FIXED.items() if name not in at_least}}
    bounded = {name: at_least[name] for name in condition.names if name in at_least}

    def run(values: object) -> Truth:
        return condition.run_cel(COMPILER.activation(values))  # type: ignore[arg-type]

    result = decide(condition.tree, known, bounded, run) if bounded else run(known)
    if result is not Truth.UNKNOWN:
        assert truths_above(condition, at_least) == {result}


@pytest.mark.parametrize(
    ("text", "bound", "expected"),
    [
        ("keywords.x.count > 0", 0, Truth.UNKNOWN),
        ("keywords.x.count > 0", 1, Truth.TRUE),
        ("keywords.x.count == 0", 0, Truth.UNKNOWN),
        ("keywords.x.count == 0", 1, Truth.FALSE),
        ("!(keywords.x.count == 0)", 0, Truth.UNKNOWN),
        ("!(keywords.x.count\n  == 0)", 2, Truth.TRUE),
        ("keywords.x.count < 3", 0, Truth.UNKNOWN),
        ("keywords.x.count < 3", 3, Truth.FALSE),
        ("keywords.x.count >= 0", 0, Truth.TRUE),
        ("0 < keywords.x.count", 1, Truth.TRUE),
        ("keywords.x.count == 0 || keywords.x.count > 0", 0, Truth.TRUE),
        ("keywords.x.count in [0, 1]", 2, Truth.FALSE),
        ("!(keywords.x.count in [0, 1])", 2, Truth.TRUE),
        ("keywords.x.count in [0, 1]", 1, Truth.UNKNOWN),
        ("keywords.x.count + keywords.x.count > 3", 2, Truth.TRUE),
        ("keywords.x.count - keywords.x.count == 0", 2, Truth.UNKNOWN),
        ("double(keywords.x.count) > 0.5", 1, Truth.TRUE),
        ("double(keywords.x.count) < 0.5", 0, Truth.UNKNOWN),
        ("2 * keywords.x.count > thresholds.two", 2, Truth.TRUE),
        ("keywords.x.count * 1000000000 * 1000000000 < 1", 1, Truth.UNKNOWN),
        ("probes.a.p > 0.5", 0.6, Truth.TRUE),
        ("probes.a.p < 0.5", 0.6, Truth.FALSE),
        ("probes.a.p < 0.5", 0.4, Truth.UNKNOWN),
        ("probes.a.p <= 1", 0.4, Truth.TRUE),
        ("1 - probes.a.p < 0.5", 0.6, Truth.TRUE),
        ('context.surface == "feed" && keywords.x.count == 0', 0, Truth.FALSE),
        ('context.surface == "ads" && keywords.x.count == 0', 0, Truth.UNKNOWN),
    ],
)
def test_examples(text: str, bound: float, expected: Truth) -> None:
    condition = COMPILER.compile(text)
    assert decided(condition, dict.fromkeys(("keywords.x.count", "probes.a.p"), bound)) is expected


def test_a_missing_value_beside_a_bound_decides_nothing_by_itself() -> None:
    condition = COMPILER.compile("keywords.x.count > 0 || probes.a.p > 0.5")
    assert decided(condition, {"keywords.x.count": 1}) is Truth.TRUE
    assert decided(condition, {"keywords.x.count": 0}) is Truth.UNKNOWN
    assert decided(COMPILER.compile("keywords.x.count < 1 && probes.a.p > 0.5"), {"keywords.x.count": 1}) is Truth.FALSE


def test_too_many_combinations_are_unknown_not_slow() -> None:
    names = [f"l{number}" for number in range(12)]
    compiler = Compiler(Vocabulary.of(probes=[], scores=[], lists=names, thresholds={}))
    text = " || ".join(f"keywords.{name}.count == 7" for name in names)
    condition = compiler.compile(text)
    bounds = dict.fromkeys(condition.names, 0)
    result = decide(condition.tree, {}, bounds, lambda values: condition.run_cel(compiler.activation(values)))
    assert result is Truth.UNKNOWN


def test_what_is_decided_without_a_number_is_so_with_a_bound_of_it() -> None:
    """However the number is used beside it: to learn a bound must not make anything less known."""
    condition = COMPILER.compile("image.width > 5 && keywords.x.count * keywords.y.count != keywords.x.count")
    assert decided(condition, {}) is Truth.FALSE
    assert decided(condition, {"keywords.x.count": 1, "keywords.y.count": 0}) is Truth.FALSE
