"""What is said to be impossible is impossible: no values at all make it true."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import RulesetText, Truth
from app.errors import PolicyInvalid
from app.policy.cel_syntax import Scalar
from app.policy.conditions import Compiler
from app.policy.load import build_ruleset
from app.policy.reach import never_true, ranges_of
from app.policy.versions import rebuild
from app.policy.vocabulary import Vocabulary
from tests.policy.build import LISTS, allow, document, rule, ruleset

VOCABULARY = Vocabulary.of(
    probes=["a"], scores=["goods"], lists=["words"], thresholds={"high": 0.9, "low": 0.2, "three": 3}
)
COMPILER = Compiler(VOCABULARY)
RANGES = ranges_of(VOCABULARY.kinds)


def impossible(text: str) -> bool:
    return never_true(COMPILER.compile(text), RANGES, VOCABULARY.thresholds)


@pytest.mark.parametrize(
    "text",
    [
        "probes.a.p > 1",
        "probes.a.p >= 1.0000001",
        "-0.1 >= scores.goods",
        "probes.a.p == 2",
        "keywords.words.count < 0",
        "keywords.words.count > 0 && keywords.words.count < 1",
        "keywords.words.severity > 4",
        "probes.a.p > thresholds.high && probes.a.p < thresholds.low",
        "!(probes.a.p <= 1)",
        "!(probes.a.p > 0.5 || probes.a.p <= 0.5)",
        "probes.a.p > 0.5 && (probes.a.p < 0.1 || probes.a.p < 0.2)",
        "(probes.a.p < 0.1 || probes.a.p < 0.2) && probes.a.p > 0.5",
        "keywords.words.severity in [7, 9]",
        "image.transparent && !image.transparent",
        "thresholds.high < thresholds.low",
        "image.transparent ? probes.a.p > 2 : false",
        "keywords.words.count > 0 && keywords.words.count != 1 && keywords.words.count <= 1",
        "probes.a.p != 1 && probes.a.p >= 1",
        "double(keywords.words.count) < 0.0",
        "false",
    ],
)
def test_what_no_upload_could_make_true(text: str) -> None:
    assert impossible(text)


@pytest.mark.parametrize(
    "text",
    [
        "probes.a.p >= 1",
        "probes.a.p <= 0",
        "probes.a.p > thresholds.low && probes.a.p < thresholds.high",
        "keywords.words.count > 0 && keywords.words.count < 2",
        "probes.a.p + scores.goods > 1.5",
        "probes.a.p > 2 || keywords.words.count > 3",
        "context.surface == 'a' && context.surface == 'b'",
        "image.transparent ? probes.a.p > 2 : true",
        "true",
    ],
)
def test_what_some_upload_may_make_true(text: str) -> None:
    assert not impossible(text)


SHARE = st.sampled_from(["0", "0.0", "0.2", "0.5", "1", "1.0", "1.5", "-1", "thresholds.high", "thresholds.low"])
WHOLE = st.sampled_from(["0", "1", "2", "4", "5", "-1", "thresholds.three"])
ORDERS = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
COMPARED = st.builds("{} {} {}".format, st.sampled_from(["probes.a.p", "scores.goods"]), ORDERS, SHARE) | st.builds(
    "{} {} {}".format, st.sampled_from(["keywords.words.count", "keywords.words.severity"]), ORDERS, WHOLE
)
LEAF = (
    COMPARED
    | st.builds("{2} {1} {0}".format, st.just("probes.a.p"), ORDERS, SHARE)
    | st.sampled_from(["image.transparent", "probes.a.p < scores.goods", "true", "false"])
    | st.lists(WHOLE, max_size=3).map(lambda items: f"keywords.words.count in [{', '.join(items)}]")
)
TEXTS = st.recursive(
    LEAF,
    lambda inner: (
        st.builds("({} && {})".format, inner, inner)
        | st.builds("({} || {})".format, inner, inner)
        | st.builds("!({})".format, inner)
        | st.builds("({} ? {} : {})".format, inner, inner, inner)
    ),
    max_leaves=5,
)
P = st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5, 0.9, 0.95, 1.0])


@settings(max_examples=250, deadline=None)
@given(TEXTS, st.lists(st.tuples(P, P, st.integers(0, 6), st.integers(0, 4), st.booleans()), min_size=4, max_size=8))
def test_nothing_makes_true_what_is_said_to_be_impossible(
    text: str, uploads: list[tuple[float, float, int, int, bool]]
) -> None:
    condition = COMPILER.compile(text)
    if not never_true(condition, RANGES, VOCABULARY.thresholds):
        return
    for a, goods, count, severity, transparent in uploads:
        values: dict[str, Scalar] = {
            "probes.a.p": a,
            "scores.goods": goods,
            "keywords.words.count": count,
            "keywords.words.severity": severity,
            "image.transparent": transparent,
            **VOCABULARY.thresholds,
        }
        assert condition.run_cel(COMPILER.activation(values)) is not Truth.TRUE


def test_a_rule_whose_threshold_is_unsound_is_not_told_twice() -> None:
    with pytest.raises(PolicyInvalid) as invalid:
        ruleset(rule("r", "probes.a.p > thresholds.high"), thresholds={"high": "lots"})
    assert len(invalid.value.problems) == 1


def test_an_allow_rule_that_always_holds_may_be_off_on_some_surface() -> None:
    rules = (rule("r", "probes.a.p > 0.5"), allow("fine", "true", "r"))
    with pytest.raises(PolicyInvalid, match="always sets it aside"):
        ruleset(*rules)
    assert ruleset(*rules, surfaces={"chat": {"rules": {"fine": {"mode": "off"}}}})
    assert ruleset(rule("r", "keywords.sworn.count > 0"), allow("fine", "true", "r"))


def test_what_was_in_force_before_can_be_returned_to_all_the_same() -> None:
    text = yaml.safe_dump(document([rule("r", "probes.a.p > thresholds.three")]), sort_keys=False)
    with pytest.raises(PolicyInvalid, match="never true"):
        build_ruleset(text.encode(), LISTS)
    kept = build_ruleset(text.encode(), LISTS, kept=True)
    stored = RulesetText(kept.digest, kept.policy_digest, text, LISTS)
    assert "never true" in rebuild(stored).warnings[0].message
