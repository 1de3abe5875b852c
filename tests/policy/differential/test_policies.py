"""From the text of a policy to the outcome, for one upload and for many at once: nothing is known that the book does
not know, and nothing is taken for a no that it does not know to be one."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import Evaluation, Mode, Outcome, RuleResult, StoredDecision, Truth
from app.policy.evaluate import evaluate, see
from app.policy.facts import Facts as SeenFacts
from app.policy.load import build_ruleset
from app.policy.replay import replay
from app.policy.rows import RowReader
from app.policy.ruleset import Ruleset
from tests.policy.differential import examples
from tests.policy.differential.language import names, policy_text
from tests.policy.differential.policies import (
    Case,
    Ruling,
    When,
    cases,
    fold,
    leaves,
    rule_out,
    rules_on,
    thresholds_on,
)
from tests.policy.differential.reference import Facts, judge
from tests.policy.differential.uploads import LISTS, MODEL, Upload, facts_of, uploads


class NoMatcher:
    """The lists have not changed: nothing is to be matched again."""

    def match(self, *_: object) -> None:
        raise AssertionError("a list was matched again")


def close(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return one == pytest.approx(other, rel=1e-9, abs=1e-12)
    return type(one) is type(other) and one == other


def checked_facts(ruleset: Ruleset, case: Case, upload: Upload) -> Facts:
    """What is known by the book, with the last digits of the service: it adds and multiplies in another order."""
    seen = see(ruleset, upload.findings, upload.context, model_digest=MODEL).facts
    facts = facts_of(upload, case.document)
    used = {name for when in case.whens.values() for leaf in leaves(when) for name in names(leaf.node)}
    asked = {name for program in ruleset.programs for rule in program.rules for name in rule.names}
    for name in used & asked:
        for book, told in _both(facts, seen):
            assert (name in book) == (name in told) or name.startswith("thresholds."), name
            if name in book:
                assert close(told[name], book[name]), name
                book[name] = told[name]
        assert name in seen.known or name.startswith("thresholds.") or seen.blame[name], name
        assert (name in facts.absent) is (name in seen.absent), name
    return facts


def _both(facts: Facts, seen: SeenFacts) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [(facts.known, seen.known), (facts.at_least, seen.at_least)]


def book_truth(when: When, facts: Facts) -> Truth:
    return fold(when, iter([judge(leaf.node, facts).truth for leaf in leaves(when)]))


def check_allow_rule(case: Case, result: RuleResult, facts: Facts) -> Truth:
    """It holds by what is there alone. One that would hold by what a text that is not there does not say shows what it
    wanted for. It is unknown where that may still hold by what is not known, and false elsewhere."""
    when = case.whens[result.id]
    shown = {name: value for trace in result.trace for name, value in trace.values.items()}
    wanting = {name for name in facts.absent & shown.keys() if shown[name] is None}
    if not wanting:
        truth = check_rule(case, result, facts)
        assert truth is not Truth.TRUE or book_truth(when, facts.there) is Truth.TRUE
        return truth
    assert wanting == facts.absent & shown.keys()
    there = check_rule(case, result, facts.there)
    assert there is not Truth.TRUE
    assert book_truth(when, facts) is Truth.TRUE
    hangs = any(
        trace.result is Truth.UNKNOWN
        and (not names(leaf.node) <= facts.known.keys() or judge(leaf.node, facts).truth is Truth.UNKNOWN)
        for leaf, trace in zip(leaves(when), result.trace, strict=True)
    )
    return there if hangs else Truth.FALSE


def check_rule(case: Case, result: RuleResult, facts: Facts) -> Truth:
    """The truth of the rule, from truths of its conditions that are right."""
    truths = []
    when = case.whens[result.id]
    for leaf, trace in zip(leaves(when), result.trace, strict=True):
        assert trace.condition == policy_text(leaf.node, leaf.style)
        verdict = judge(leaf.node, facts)
        if verdict.exact or trace.result is not Truth.UNKNOWN:
            assert trace.result is verdict.truth, trace
        assert trace.values.keys() == names(leaf.node)
        known = {name: value for name, value in facts.known.items() if name in trace.values}
        assert {name: trace.values[name] for name in known} == known
        truths.append(trace.result)
    return fold(when, iter(truths))


def check_evaluation(ruleset: Ruleset, case: Case, upload: Upload, made: Evaluation) -> tuple[Ruling, dict[str, Truth]]:
    facts = checked_facts(ruleset, case, upload)
    surface = upload.context.surface if upload.context.surface in case.document["surfaces"] else None
    facts.known |= thresholds_on(case, surface)
    results = {}
    expected_rules = rules_on(case, surface)
    for result in made.rules:
        allows = isinstance(expected_rules[result.id]["then"], dict)
        results[result.id] = (check_allow_rule if allows else check_rule)(case, result, facts)
        assert result.result is results[result.id]
        assert result.mode == expected_rules[result.id]["mode"]
    assert results.keys() == expected_rules.keys()
    ruling = rule_out(case, surface, results, facts)
    assert made.surface == surface
    assert made.outcome.value == ruling.outcome
    assert made.degraded is ruling.degraded
    assert bool(made.degraded_by) is ruling.degraded
    assert {one.id for one in made.rules if one.overridden_by is not None} == ruling.aside
    violating = {
        name
        for name, one in expected_rules.items()
        if one["mode"] == "live" and isinstance(one["then"], str) and results[name] is Truth.TRUE
    }
    assert {one.rule for one in made.violations} == violating - ruling.aside
    return ruling, results


def stored(ruleset: Ruleset, upload: Upload, at: int) -> StoredDecision:
    return StoredDecision(
        id=f"dec_{at}",
        at=datetime(2026, 1, 1, tzinfo=UTC),
        outcome=Outcome.PASS,
        ruleset=ruleset.digest,
        findings=upload.findings.model_dump_json(),
        context=upload.context.model_dump_json(),
        model=MODEL,
    )


def check_replay(ruleset: Ruleset, given_uploads: list[Upload], rulings: list[tuple[Ruling, dict[str, Truth]]]) -> None:
    reader = RowReader(ruleset, NoMatcher())  # type: ignore[arg-type]
    lists_of = {ruleset.digest: {one.name: one.digest for one in LISTS}}
    rows = [reader.read(stored(ruleset, upload, at), lists_of) for at, upload in enumerate(given_uploads)]
    replayed = replay(ruleset, rows)
    for at, (ruling, results) in enumerate(rulings):
        outcome = replayed.outcome(at)
        if outcome is None:
            assert rows[at].unasked
            continue
        assert outcome.value == ruling.outcome
        deciding = {name for name, where in replayed.decided_by.items() if where[at]}
        assert rows[at].unasked or deciding == (ruling.asking if outcome is not Outcome.PASS else set())
        fired = {name for name, where in replayed.fired.items() if where[at]}
        surface = ruleset.program_for(given_uploads[at].context.surface)
        live = {one.rule.id for one in surface.rules if one.rule.mode is Mode.LIVE}
        assert fired == {name for name in live if results[name] is Truth.TRUE}


@settings(max_examples=examples(60))
@given(cases(), st.lists(uploads(), min_size=1, max_size=4))
def test_policies_decide_by_the_book(case: Case, given_uploads: list[Upload]) -> None:
    ruleset = build_ruleset(case.text, LISTS, kept=True)  # what is never true is evaluated all the same
    rulings = []
    for upload in given_uploads:
        made = evaluate(ruleset, upload.findings, upload.context, model_digest=MODEL)
        rulings.append(check_evaluation(ruleset, case, upload, made))
    never = [one.message.split("`")[1] for one in ruleset.warnings if one.message.endswith("can never be true")]
    if not case.document["surfaces"]:
        assert all(results.get(name) is not Truth.TRUE for _, results in rulings for name in never)
    replayable = [at for at, upload in enumerate(given_uploads) if upload.context.surface != "\ud83d"]
    check_replay(ruleset, [given_uploads[at] for at in replayable], [rulings[at] for at in replayable])
