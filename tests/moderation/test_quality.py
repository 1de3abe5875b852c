"""Which decisions that stand are looked at by a person."""

from typing import Any

import pytest

from app.domain import Outcome, new_id
from app.moderation.early_stop import is_sampled
from app.moderation.quality import sampled_by
from tests.policy.build import allow, findings, judge, rule, ruleset

KNIVES = rule("knives", "probes.a.p > 0.9", sample=1)
FINE = allow("fine", "probes.b.p < 0.5", "knives", sample=1)


def sampled(
    *rules: dict[str, Any], p: float | None = 0.95, b: float = 0.1, passes: float | None = None, decision: str = "dec_1"
) -> tuple[Outcome, tuple[str, ...]]:
    defaults = {} if passes is None else {"quality_sample": passes}
    given = ruleset(*rules, defaults=defaults)
    evaluation = judge(given, findings(a=p, b=b))
    return evaluation.outcome, sampled_by(decision, evaluation, given.policy)


def test_a_rule_that_rejected_and_an_allow_rule_that_let_through_are_looked_at() -> None:
    assert sampled(KNIVES, FINE, b=0.9) == (Outcome.REJECT, ("rules.knives",))
    assert sampled(KNIVES, FINE) == (Outcome.PASS, ("rules.fine",))
    assert sampled(KNIVES, FINE, passes=1) == (Outcome.PASS, ("rules.fine", "defaults.quality_sample"))


def test_a_rule_that_had_no_say_is_not() -> None:
    assert sampled(KNIVES, FINE, p=0.1) == (Outcome.PASS, ())
    assert sampled(rule("knives", "probes.a.p > 0.9", mode="shadow", sample=1), FINE) == (Outcome.PASS, ())


def test_only_passes_are_looked_at_as_passes() -> None:
    assert sampled(rule("knives", "probes.a.p > 0.9"), passes=1) == (Outcome.REJECT, ())


def test_what_goes_to_a_person_anyway_is_no_sample() -> None:
    assert sampled(rule("maybe", "probes.a.p > 0.9", "review", sample=1)) == (Outcome.REVIEW, ())
    both = sampled(rule("maybe", "probes.a.p > 0.9", "review", sample=1), rule("knives", "probes.a.p > 0.9"))
    assert both == (Outcome.REJECT, ("rules.maybe",))


def test_a_degraded_decision_is_no_sample() -> None:
    rejects = rule("unread", "probes.a.p > 0.9", on_unknown="reject", sample=1)
    assert sampled(rejects, rule("other", "probes.b.p < 0.5", sample=1), p=None) == (Outcome.REJECT, ())


@pytest.mark.parametrize("share", [0.02, 0.5])
def test_the_sample_follows_from_the_decisions_id(share: float) -> None:
    for decision in (new_id("dec") for _ in range(40)):
        expected = ("defaults.quality_sample",) if is_sampled(decision, share) else ()
        assert sampled(KNIVES, p=0.1, passes=share, decision=decision) == (Outcome.PASS, expected)
