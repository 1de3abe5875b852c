"""What `evaluate` makes by short ways is what the long ways would have made."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import Evaluation, Findings, LeafTrace, Truth, UploadContext
from app.policy import truth
from app.policy.evaluate import evaluate
from app.policy.ruleset import AllOf, AnyOf, Not, Ruleset, Tree
from tests.policy.test_replay import policies, uploads


def folded(tree: Tree, results: Iterator[Truth]) -> Truth:
    match tree:
        case AnyOf(parts=parts):
            return truth.any_of([folded(part, results) for part in parts])
        case AllOf(parts=parts):
            return truth.all_of([folded(part, results) for part in parts])
        case Not(part=part):
            return truth.negate(folded(part, results))
        case _:
            return next(results)


@settings(max_examples=60, deadline=None)
@given(policies(), st.data())
def test_a_rule_is_folded_as_its_tree_is_written(rules: Ruleset, data: st.DataObject) -> None:
    for compiled in rules.program.rules:
        many = len(compiled.leaves)
        results = data.draw(st.lists(st.sampled_from(Truth), min_size=many, max_size=many))
        assert compiled.fold(results) is folded(compiled.tree, iter(results))


@settings(max_examples=80, deadline=None)
@given(policies(), uploads())
def test_what_is_made_unchecked_would_pass_every_check(rules: Ruleset, upload: tuple[Findings, UploadContext]) -> None:
    made = evaluate(rules, *upload, model_digest=None)
    checked = Evaluation.model_validate(made.model_dump())
    assert checked == made
    assert checked.model_dump_json() == made.model_dump_json()
    assert repr(checked) == repr(made)


def test_a_field_that_is_not_given_is_noticed() -> None:
    with pytest.raises(TypeError, match="3 fields, and 2"):
        LeafTrace.unchecked({"condition": "true", "result": Truth.TRUE})


def test_what_is_made_unchecked_is_frozen_too() -> None:
    made = LeafTrace.unchecked({"condition": "true", "values": {}, "result": Truth.TRUE})
    with pytest.raises(ValueError, match="frozen"):
        made.condition = "false"  # type: ignore[misc]
