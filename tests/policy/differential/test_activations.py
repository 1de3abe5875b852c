"""A version that is activated after others is the one that a fresh start would load, whatever was kept of theirs."""

import json
from collections.abc import Generator, Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import Truth
from app.errors import PolicyInvalid
from app.policy.conditions import Compiler, Condition
from app.policy.evaluate import evaluate, see
from app.policy.load import build_ruleset
from app.policy.ruleset import Ruleset
from app.policy.travel import Unpacker, pack
from tests.policy.differential import examples
from tests.policy.differential.policies import Case, cases
from tests.policy.differential.uploads import LISTS, MODEL, Upload, uploads

#: Other values, other types, and a name more: what a condition means depends on some of these.
THRESHOLDS = st.sampled_from(
    [
        {"high": 0.9, "half": 0.5, "three": 3},
        {"high": 0.2, "half": 0.5, "three": 3},
        {"high": 0.9, "half": 0.25, "three": 2},
        {"high": 1, "half": 0.5, "three": 3.0},
        {"high": 0.9, "half": 0.0, "three": 0},
        {"high": 0.9, "half": 0.5, "three": 3, "new": 4},
    ]
)


def edited(case: Case, thresholds: Mapping[str, float]) -> bytes:
    return json.dumps({**case.document, "thresholds": thresholds}, ensure_ascii=False).encode()


def all_at_once(steps: Generator[None, None, Ruleset]) -> Ruleset:
    try:
        while True:
            next(steps)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def built(text: bytes, before: Compiler | None) -> Ruleset | PolicyInvalid:
    try:
        return build_ruleset(text, LISTS, kept=True, before=before)
    except PolicyInvalid as invalid:
        return invalid


def plain(condition: Condition) -> tuple[Any, ...]:
    return condition.text, condition.names, condition.tree, condition.simple is None


def by_the_library(ruleset: Ruleset, upload: Upload) -> list[Truth]:
    """Every condition as CEL runs it, those too that deciding runs without it."""
    seen = see(ruleset, upload.findings, upload.context, model_digest=MODEL).facts
    return [
        leaf.run_cel(program.compiler.activation({**seen.known, **program.thresholds}))
        for program in ruleset.programs
        for one in program.rules
        for leaf in one.leaves
    ]


@settings(max_examples=examples(40))
@given(
    st.lists(cases(), min_size=1, max_size=2),
    st.lists(st.tuples(st.integers(0, 1), THRESHOLDS), min_size=2, max_size=5),
    st.lists(uploads(), min_size=1, max_size=3),
)
def test_whatever_came_before(
    policies: list[Case], edits: list[tuple[int, Mapping[str, float]]], given_uploads: list[Upload]
) -> None:
    unpacker, compiler = Unpacker(), None
    for which, thresholds in edits:
        text = edited(policies[which % len(policies)], thresholds)
        fresh, after = built(text, None), built(text, compiler)
        if isinstance(fresh, PolicyInvalid) or isinstance(after, PolicyInvalid):
            assert isinstance(fresh, PolicyInvalid)
            assert isinstance(after, PolicyInvalid)
            assert fresh.problems == after.problems
            continue
        compiler = after.program.compiler
        activated = all_at_once(unpacker.steps(pack(after), LISTS))
        assert activated == fresh
        for one, same in zip(activated.programs, fresh.programs, strict=True):
            assert (one.thresholds, one.surface, one.own_thresholds) == (
                same.thresholds,
                same.surface,
                same.own_thresholds,
            )
            assert one.compiler.kinds == same.compiler.kinds
            for rule, expected in zip(one.rules, same.rules, strict=True):
                assert (rule.rule, rule.binding, rule.surface) == (expected.rule, expected.binding, expected.surface)
                assert [*map(plain, rule.leaves)] == [*map(plain, expected.leaves)]
        for upload in given_uploads:
            made = evaluate(activated, upload.findings, upload.context, model_digest=MODEL)
            assert made == evaluate(fresh, upload.findings, upload.context, model_digest=MODEL)
            assert by_the_library(activated, upload) == by_the_library(fresh, upload)
