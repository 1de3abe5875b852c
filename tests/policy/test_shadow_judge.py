"""What would have been decided is what `evaluate` says, or nothing at all."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import Comparison, Findings, Mode, Needs, Outcome, ProbeFinding, Status, Tried, UploadContext
from app.policy.ruleset import Ruleset
from app.policy.shadow_judge import Decided, judge, not_comparable, policy_trial, promoted, rules_trial, wanting
from app.signals.keywords import AhoCorasickMatcher
from tests.policy.build import LISTS, allow, findings, match, reading, rule, ruleset
from tests.policy.build import judge as evaluated

AT = datetime(2026, 11, 1, tzinfo=UTC)
LIVE = ruleset(rule("r1", "probes.a.p > thresholds.high"))
P = st.sampled_from([None, 0.1, 0.45, 0.55, 0.85, 0.95])


def decided(found: Findings, live: Ruleset = LIVE, extra: dict[str, ProbeFinding] | None = None) -> Decided:
    return Decided(
        decision_id="dec_1",
        at=AT,
        outcome=evaluated(live, found).outcome,
        findings=found,
        context=UploadContext(),
        model=None,
        asked=live.needs,
        lists={one.name: one.digest for one in live.lists},
        extra=extra or {},
    )


def compare(shadow: Ruleset, one: Decided) -> Comparison:
    return judge(policy_trial(shadow), AhoCorasickMatcher(), [one])[0]


@given(P, st.booleans(), st.sampled_from([0.5, 0.8]))
@settings(max_examples=40)
def test_the_outcome_is_that_of_an_evaluation(a: float | None, listed: bool, high: float) -> None:
    shadow = ruleset(
        rule("r1", "probes.a.p > thresholds.high"),
        rule("r2", "keywords.banned.count > 0", "review"),
        rule("r3", "keywords.sworn.count > 0", mode="shadow"),
        allow("ok", "probes.a.p < 0.2", "r2"),
        thresholds={"high": high},
    )
    found = findings(a=a, matches=[match("banned")] if listed else [])
    one = compare(shadow, decided(found))
    expected = evaluated(shadow, found)
    assert one.after is expected.outcome
    assert one.before is evaluated(LIVE, found).outcome
    assert one.whole
    assert set(one.fired) == {
        said.id for said in expected.rules if said.mode is Mode.LIVE and said.result.value == "true"
    }
    asking = {said.id for said in expected.rules if said.mode is Mode.LIVE and said.overridden_by is None}
    assert set(one.rules) <= asking


def test_a_probe_that_only_the_shadow_has_is_not_guessed() -> None:
    shadow = ruleset(rule("r1", "probes.a.p > thresholds.high"), rule("r2", "probes.b.p > 0.5", "review"))
    # The live policy never asked `b`: what stands in the findings under that name answers nothing.
    one = compare(shadow, decided(findings(a=0.1, b=0.9)))
    assert (one.after, one.missing, one.whole) == (None, ("probes.b.p",), False)
    rejected = compare(shadow, decided(findings(a=0.95, b=None)))
    assert (rejected.after, rejected.rules, rejected.whole) == (Outcome.REJECT, ("r1",), False)


def test_a_probe_that_was_asked_afterwards_counts_and_a_failed_one_does_not() -> None:
    shadow = ruleset(rule("r1", "probes.a.p > thresholds.high"), rule("r2", "probes.b.p > 0.5", "review"))
    found = findings(a=0.1)
    one = compare(shadow, decided(found, extra={"b": ProbeFinding(readings=(reading(0.9),))}))
    assert (one.after, one.rules, one.whole) == (Outcome.REVIEW, ("r2",), True)
    late = compare(shadow, decided(found, extra={"b": ProbeFinding(readings=(reading(None),))}))
    assert (late.after, late.missing) == (None, ("probes.b.p",))


def test_what_an_early_stop_spared_is_no_sample_of_anything() -> None:
    shadow = ruleset(rule("r1", "probes.a.p > 0.2"))
    spared = findings(a=None)
    skipped = ProbeFinding(readings=(reading(None, status=Status.SKIPPED),))
    one = compare(shadow, decided(spared.model_copy(update={"probes": {"a": skipped}})))
    assert (one.after, one.missing, one.whole) == (None, ("probes.a.p",), False)


def test_a_question_in_other_words_is_another_question() -> None:
    probes: dict[str, Any] = {"a": {"category": "goods", "questions": {"en": "Something else?"}}}
    shadow = ruleset(rule("r1", "probes.a.p > thresholds.high"), probes=probes, scores={})
    assert compare(shadow, decided(findings(a=0.95))).missing == ("probes.a.p",)
    asked_in_two = ruleset(rule("r1", "probes.a.p > thresholds.high"), defaults={"ask": ["en", "zh"]})
    assert compare(asked_in_two, decided(findings(a=0.1))).after is None
    assert wanting(LIVE.needs, asked_in_two.needs, text=False) == Needs(
        probes=tuple(one for one in asked_in_two.needs.probes if one.language == "zh"),
        read_text=False,
        read_codes=False,
        describe=False,
    )
    assert wanting(asked_in_two.needs, LIVE.needs, text=False) is None


def test_what_was_asked_and_failed_is_unknown_as_it_was() -> None:
    shadow = ruleset(rule("r1", "probes.a.p > 0.2"))
    one = compare(shadow, decided(findings(a=None)))
    assert (one.before, one.after, one.missing) == (Outcome.REVIEW, Outcome.REVIEW, ())


def test_text_that_nobody_read_is_not_comparable() -> None:
    shadow = ruleset(rule("r2", "keywords.banned.count > 0", "review"), defaults={"signals": {"model_text": True}})
    assert compare(shadow, decided(findings())).after is None
    assert compare(shadow, decided(findings(matches=[match("banned")]))).after is Outcome.REVIEW
    failed = compare(ruleset(rule("r2", "keywords.banned.count > 0", "review")), decided(findings(ocr=Status.FAILED)))
    assert failed.after is Outcome.REVIEW


def test_a_list_that_changed_is_matched_again() -> None:
    fresh = (LISTS[0].__class__(**{**_fields(LISTS[0]), "terms": ("knife",), "digest": "sha256:new"}), LISTS[1])
    shadow = ruleset(rule("r2", "keywords.banned.count > 0", "review"), lists=fresh)
    assert compare(shadow, decided(findings(text="a knife"))).after is Outcome.REVIEW
    assert compare(shadow, decided(findings(text="a spoon", matches=[match("banned")]))).after is Outcome.PASS


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


def test_shadow_rules_are_tried_as_if_they_were_live() -> None:
    live = ruleset(
        rule("r1", "probes.a.p > thresholds.high"),
        rule("r2", "probes.b.p > 0.5", "review", mode="shadow"),
        rule("r3", "probes.b.p > 0.9", mode="draft"),
        allow("ok", "keywords.banned.count > 0", "r1", mode="shadow"),
    )
    trial = rules_trial(live)
    assert trial is not None
    assert (trial.tried, trial.rules) == (Tried.RULES, frozenset({"r2", "ok"}))
    assert rules_trial(LIVE) is None
    assert {one.rule.id for one in promoted(live).program.rules} == {"r1", "r2", "ok"}

    def tried(found: Findings) -> Comparison:
        return judge(trial, AhoCorasickMatcher(), [decided(found, live)])[0]

    graver = tried(findings(b=0.8))
    assert (graver.before, graver.after, graver.rules, graver.fired) == (
        Outcome.PASS,
        Outcome.REVIEW,
        ("r2",),
        ("r2",),
    )
    milder = tried(findings(a=0.95, matches=[match("banned")]))
    assert (milder.before, milder.after, milder.fired) == (Outcome.REJECT, Outcome.PASS, ("ok",))
    same = tried(findings(a=0.95, b=0.8))
    assert (same.after, same.rules, same.fired) == (Outcome.REJECT, ("r1",), ("r2",))
    unknown = tried(findings(b=None))
    assert (unknown.before, unknown.after) == (Outcome.PASS, Outcome.REVIEW)


def test_the_record_of_shadow_rules_goes_on_through_other_edits() -> None:
    def digest(*rules: Any, **parts: Any) -> str:
        trial = rules_trial(ruleset(*rules, rule("s", "scores.goods > thresholds.half", mode="shadow"), **parts))
        assert trial is not None
        return trial.digest

    base = digest(rule("r1", "probes.a.p > thresholds.high"))
    thresholds = {"high": 0.8, "half": 0.5, "three": 3}
    assert digest(rule("r2", "probes.a.p > 0.7"), thresholds=thresholds) == base
    assert digest(rule("r1", "probes.a.p > thresholds.high"), thresholds=thresholds | {"half": 0.6}) != base
    assert digest(rule("r1", "probes.a.p > 0.7"), scores={"goods": {"max": ["probes.a.p"]}}) != base
    assert digest(rule("s2", "image.width > 9000", mode="shadow")) != base
    surfaces = {"chat": {"thresholds": {"half": 0.6}}}
    assert digest(rule("r1", "probes.a.p > thresholds.high"), surfaces=surfaces) != base


def test_a_surface_may_be_where_a_rule_is_tried() -> None:
    live = ruleset(rule("r1", "probes.a.p > 0.5"), surfaces={"chat": {"rules": {"r1": {"mode": "shadow"}}}})
    trial = rules_trial(live)
    assert trial is not None
    assert trial.rules == frozenset({"r1"})
    found = findings(a=0.8)
    one = decided(found, live)
    chat = Decided(**{**_fields(one), "context": UploadContext(surface="chat"), "outcome": Outcome.PASS})
    assert [said.after for said in judge(trial, AhoCorasickMatcher(), [one, chat])] == [Outcome.REJECT] * 2


def test_a_trial_that_fails_says_so() -> None:
    one = not_comparable(policy_trial(LIVE), decided(findings()), "internal error: ValueError")
    assert (one.after, one.missing, one.whole) == (None, ("internal error: ValueError",), False)


@pytest.mark.parametrize("count", [0, 1, 70])
def test_many_are_judged_as_one_is(count: int) -> None:
    shadow = ruleset(rule("r1", "probes.a.p > 0.4"))
    each = [decided(findings(a=number / 100)) for number in range(count)]
    together = judge(policy_trial(shadow), AhoCorasickMatcher(), each)
    assert together == [compare(shadow, one) for one in each]
