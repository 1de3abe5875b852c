"""The figures of merit themselves."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from training.figures import auroc, upper_bound

_SCORES = st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=2, max_size=40)


@given(_SCORES)
@settings(max_examples=80)
def test_auroc_is_the_share_of_pairs_ranked_right(cases: list[tuple[int, bool]]) -> None:
    scores = np.array([s for s, _ in cases], float)
    positive = np.array([p for _, p in cases])
    pairs = [(a > b) + (a == b) / 2 for a in scores[positive] for b in scores[~positive]]
    if pairs:
        assert math.isclose(auroc(scores, positive), float(np.mean(pairs)), abs_tol=1e-12)
    else:
        assert math.isnan(auroc(scores, positive))


def test_upper_bound_is_the_textbooks() -> None:
    # Without a hit in n trials the bound is 1 - 0.05 ** (1 / n): the rule of three.
    assert math.isclose(upper_bound(0, 300), 1 - 0.05 ** (1 / 300), rel_tol=1e-6)
    assert math.isclose(upper_bound(5, 100), 0.1023, abs_tol=2e-4)
    assert upper_bound(4, 4) == 1.0
