"""Conditions over known values are what the CEL library makes of them, when it is told every type."""

from cel_expr_python import cel
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import Truth
from app.policy.conditions import Compiler
from app.policy.vocabulary import Vocabulary
from tests.policy.differential import examples
from tests.policy.differential.generate import CONDITIONS, PROBABILITIES, STYLES, TEXTS
from tests.policy.differential.language import (
    DOUBLES,
    FLAGS,
    INTS,
    STRINGS,
    Node,
    Scalar,
    Style,
    cel_text,
    policy_text,
)
from tests.policy.differential.reference import evaluate_known

THRESHOLDS: dict[str, int | float] = {"high": 0.9, "half": 0.5, "three": 3}
COMPILER = Compiler(
    Vocabulary.of(
        probes=["a", "b"],
        scores=["goods", "arms"],
        lists=["banned", "sworn", "posted"],
        thresholds=THRESHOLDS,
        text_categories=["goods", "arms"],
    )
)
#: Apart from the compiler's: no part of the service has a say in what these declare.
BARE = cel.NewEnv(
    variables={
        name: kind
        for names, kind in (
            (DOUBLES, cel.Type.DOUBLE),
            (INTS, cel.Type.INT),
            (STRINGS, cel.Type.STRING),
            (FLAGS, cel.Type.BOOL),
        )
        for name in names
    }
)
FIXED: dict[str, Scalar] = {f"thresholds.{name}": value for name, value in THRESHOLDS.items()}
VALUES = {
    **dict.fromkeys(DOUBLES, st.sampled_from(PROBABILITIES)),
    **dict.fromkeys(INTS, st.integers(0, 5)),
    **dict.fromkeys(STRINGS, st.sampled_from(TEXTS)),
    **dict.fromkeys(FLAGS, st.booleans()),
}
KNOWN = st.fixed_dictionaries({name: st.just(FIXED[name]) if name in FIXED else one for name, one in VALUES.items()})


def bare(node: Node, values: dict[str, Scalar]) -> Truth:
    """Only whole numbers beyond 64 bits can fail it."""
    try:
        value = BARE.compile(cel_text(node)).eval(data=values).value()
    except RuntimeError:
        return Truth.UNKNOWN
    return (Truth.TRUE if value else Truth.FALSE) if isinstance(value, bool) else Truth.UNKNOWN


@settings(max_examples=examples(100))
@given(CONDITIONS, STYLES, KNOWN)
def test_a_condition_means_what_plain_cel_means(node: Node, style: Style, values: dict[str, Scalar]) -> None:
    condition = COMPILER.compile(policy_text(node, style))
    truth = condition.run(values, lambda: COMPILER.activation(values))
    assert truth is bare(node, values)
    assert truth is evaluate_known(node, values)
