"""Why an outcome is what it is, and what would have made it another."""

import yaml
from hypothesis import assume, given, settings

from app.domain import Findings, Outcome, UploadContext
from app.errors import PolicyInvalid
from app.policy.evaluate import evaluate
from app.policy.explain import Change, Explanation, explain
from app.policy.load import build_ruleset
from app.policy.ruleset import Ruleset
from tests.policy.build import LISTS, findings, match, rule, ruleset
from tests.policy.test_replay import policies, uploads

RULES = ruleset(
    rule("stop", "probes.a.p >= thresholds.high"),
    rule(
        "look",
        {"any": ["probes.a.p >= thresholds.half", {"all": ["keywords.banned.count > 2", "image.width > 4"]}]},
        "review",
    ),
    rule("trial", "probes.b.p > 0.05", mode="shadow"),
)


def why(found: Findings, rules: Ruleset = RULES) -> Explanation:
    return explain(rules, found, UploadContext(), model_digest=None)


def test_the_tree_names_every_rule_leaf_and_value() -> None:
    text = "\n".join(why(findings(a=0.55, matches=[match("banned")])).lines)
    assert (
        text
        == """\
stop: false
  false   probes.a.p >= thresholds.high
            probes.a.p = 0.55
            thresholds.high = 0.9
look: true → review
  any of
    true    probes.a.p >= thresholds.half
              probes.a.p = 0.55
              thresholds.half = 0.5
    all of
      false   keywords.banned.count > 2
                keywords.banned.count = 1
      true    image.width > 4
                image.width = 8
trial (shadow): true → reject
  true    probes.b.p > 0.05
            probes.b.p = 0.1"""
    )


def test_the_smallest_change_is_told_for_values_and_for_thresholds() -> None:
    told = why(findings(a=0.55))
    assert told.outcome is Outcome.REVIEW
    assert told.value_change is not None
    assert (told.value_change.name, told.value_change.outcome) == ("probes.a.p", Outcome.PASS)
    assert 0.49 < told.value_change.to < 0.5
    assert told.threshold_change is not None
    assert (told.threshold_change.name, told.threshold_change.outcome) == ("thresholds.half", Outcome.PASS)


def test_a_count_moves_by_whole_steps() -> None:
    told = why(findings(a=0.1, matches=[match("banned"), match("banned")]))
    assert told.value_change == Change("probes.a.p", 0.1, 0.5, Outcome.REVIEW) or told.value_change == Change(
        "keywords.banned.count", 2, 3, Outcome.REVIEW
    )


def test_nothing_single_is_said_where_nothing_single_helps() -> None:
    rules = ruleset(rule("one", "context.surface == ''"), rule("two", "probes.a.p > 0.5"))
    told = why(findings(a=0.9), rules)
    assert (told.outcome, told.value_change, told.threshold_change) == (Outcome.REJECT, None, None)


def test_a_probe_moves_the_scores_that_are_made_of_it() -> None:
    rules = ruleset(rule("score", "scores.goods > thresholds.half && probes.a.p > 0.3"))
    told = why(findings(a=0.4, b=0.1), rules)
    assert told.value_change is not None
    assert told.value_change.name in ("scores.goods", "probes.a.p")


@settings(max_examples=100, deadline=None)
@given(policies(), uploads())
def test_a_threshold_that_is_said_to_flip_the_outcome_does(
    rules: Ruleset, upload: tuple[Findings, UploadContext]
) -> None:
    found, context = upload
    told = explain(rules, found, context, model_digest=None)
    assert told.outcome is evaluate(rules, found, context, model_digest=None).outcome
    change = told.threshold_change
    if change is None:
        return
    edited = yaml.safe_load(rules.source)
    *above, name = change.name.split(".")
    place = edited
    for step in above:
        place = place[step]
    place[name] = change.to
    try:
        again = build_ruleset(yaml.safe_dump(edited, sort_keys=False).encode(), LISTS)
    except PolicyInvalid as refused:  # a threshold that would make some other rule impossible
        assume("never" not in str(refused))
        raise
    assert evaluate(again, found, context, model_digest=None).outcome is change.outcome
