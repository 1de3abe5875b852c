"""Which thresholds can be moved, and over what."""

from typing import Any

import pytest
import yaml

from app.errors import MalformedRequest
from app.policy.load import build_ruleset
from app.policy.ruleset import Ruleset
from app.policy.sweep import Moved, Threshold, sweep, thresholds_of
from tests.policy.build import document, keyword_list, rule

WORDS = keyword_list("words")


def made(**parts: Any) -> Ruleset:
    rules = [
        rule("high", "probes.a.p >= thresholds.high"),
        rule("words", {"all": ["keywords.words.count >= thresholds.few", "probes.a.p > thresholds.high"]}, "review"),
    ]
    given = {"thresholds": {"high": 0.8, "few": 3}, **parts}
    return build_ruleset(yaml.safe_dump(document(rules, **given)).encode(), [WORDS])


def test_each_threshold_says_what_it_is_compared_with() -> None:
    surfaces = {"avatar": {"thresholds": {"high": 0.6}}}
    assert thresholds_of(made(surfaces=surfaces)) == (
        Threshold("thresholds.few", 3, ("keywords.words.count",)),
        Threshold("thresholds.high", 0.8, ("probes.a.p",)),
        Threshold("surfaces.avatar.thresholds.high", 0.6, ("probes.a.p",)),
    )


@pytest.mark.parametrize("name", ["high", "thresholds.high"])
def test_a_share_is_moved_over_all_of_them(name: str) -> None:
    [(key, values)] = sweep(made(), Moved(name)).items()
    assert (key, len(values), values[0], values[-1]) == ("high", 41, 0.0, 1.0)
    assert list(values) == sorted(values)


def test_a_count_is_moved_in_whole_numbers() -> None:
    values = sweep(made(), Moved("few"))["few"]
    assert list(values) == [0, 1, 2, 3, 4, 5, 6]
    assert all(type(value) is int for value in values)


def test_the_largest_is_moved_no_further_than_a_policy_may_give() -> None:
    values = sweep(made(thresholds={"high": 0.8, "few": 900_000_000}), Moved("few"))["few"]
    assert (values[0], values[-1]) == (0, 1_000_000_000)


def test_bounds_are_kept_in_either_order() -> None:
    values = sweep(made(), Moved("high", 0.9, 0.5))["high"]
    assert (values[0], values[-1]) == (0.5, 0.9)


@pytest.mark.parametrize(
    ("moved", "said"),
    [
        (Moved("hihg"), "did you mean `thresholds.high`"),
        (Moved("high", float("nan"), 1.0), "between two numbers"),
        (Moved("high", 0.0, float("inf")), "between two numbers"),
        (Moved("high", -1e308, 1e308), "between two numbers"),
        (Moved("high", 0.0, 1e308), "between two numbers"),
        (Moved("few", 0.0, 1e308), "between two numbers"),
    ],
)
def test_what_cannot_be_moved_is_said(moved: Moved, said: str) -> None:
    with pytest.raises(MalformedRequest, match=said):
        sweep(made(), moved)


def test_a_policy_without_thresholds_has_none_to_move() -> None:
    plain = build_ruleset(yaml.safe_dump(document([rule("high", "probes.a.p > 0.8")], thresholds={})).encode(), [WORDS])
    assert thresholds_of(plain) == ()
    with pytest.raises(MalformedRequest, match="it gives none"):
        sweep(plain, Moved("high"))
