"""What a rule's statement of reasons becomes in what is decided."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from app.domain import Ground, Outcome, Statement
from app.errors import PolicyInvalid
from app.policy.yaml_text import read_yaml
from tests.policy.build import allow, findings, judge, rule, ruleset

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "policies.md").read_text(encoding="utf-8")
SECTION = TEXT.split("## Statements of reasons")[1].split("\n## ")[0]


def words(**given: Any) -> dict[str, Any]:
    return {"ground": "legal", "clause": "Weapons Act, 3", "facts": {"en": "A knife.", "zh": "刀。"}} | given


REJECTS = rule("knives", "probes.a.p > 0.9", statement=words())
REVIEWS = rule("maybe", "probes.a.p > 0.5", "review", statement=words(redress="Write to us."))


def told(*rules: dict[str, Any], p: float | None) -> tuple[Outcome, dict[str, Statement | None]]:
    evaluation = judge(ruleset(*rules), findings(a=p))
    return evaluation.outcome, {one.rule: one.statement for one in evaluation.violations}


def statement(*, automated: bool, redress: str | None = None) -> Statement:
    return Statement(
        ground=Ground.LEGAL,
        clause="Weapons Act, 3",
        facts={"en": "A knife.", "zh": "刀。"},
        redress=redress,
        automated=automated,
    )


def test_the_documented_example_gives_the_documented_violation() -> None:
    example, answer = (re.search(rf"```{kind}\n(.*?)```", SECTION, re.DOTALL) for kind in ("yaml", "json"))
    assert example is not None
    assert answer is not None
    part, _, problems = read_yaml(example[1].encode(), "policies.md")
    assert not problems
    knives = ruleset(*part["rules"], thresholds={"reject": 0.9})
    violation = judge(knives, findings(a=0.97)).violations[0].model_dump(mode="json")
    assert violation.pop("score") == pytest.approx(0.97)
    expected = json.loads(answer[1])
    assert expected.pop("score") == 0.97
    assert violation == expected


def test_a_reject_is_automated_and_a_review_is_not() -> None:
    assert told(REJECTS, REVIEWS, p=0.7) == (
        Outcome.REVIEW,
        {"maybe": statement(automated=False, redress="Write to us.")},
    )
    assert told(REJECTS, REVIEWS, p=0.95) == (
        Outcome.REJECT,
        {"knives": statement(automated=True), "maybe": statement(automated=True, redress="Write to us.")},
    )


def test_a_rule_without_a_statement_has_none() -> None:
    assert told(rule("knives", "probes.a.p > 0.9"), p=0.95) == (Outcome.REJECT, {"knives": None})


def test_what_could_not_be_known_is_no_violation_and_states_nothing() -> None:
    assert told(REJECTS | {"on_unknown": "reject"}, p=None) == (Outcome.REJECT, {})


def test_a_rule_that_is_set_aside_states_nothing() -> None:
    assert told(REJECTS, allow("fine", "probes.b.p < 0.5", "knives"), p=0.95) == (Outcome.PASS, {})


@pytest.mark.parametrize(("field", "most"), [("clause", 500), ("facts", 5000), ("redress", 2000)])
def test_the_longest_text_is_taken_and_no_longer_one(field: str, most: int) -> None:
    def with_text(chars: int) -> dict[str, Any]:
        text = "字" * chars
        return rule(
            "knives", "probes.a.p > 0.9", statement=words(**{field: {"en": text} if field == "facts" else text})
        )

    ruleset(with_text(most))
    with pytest.raises(PolicyInvalid, match=f"at most {most:,} characters, and is {most + 1:,}"):
        ruleset(with_text(most + 1))


def test_a_surface_that_is_milder_leaves_the_last_word_to_a_person() -> None:
    rules = ruleset(REJECTS, surfaces={"chat": {"rules": {"knives": {"then": "review"}}}})
    evaluation = judge(rules, findings(a=0.95), surface="chat")
    assert evaluation.outcome is Outcome.REVIEW
    assert evaluation.violations[0].statement == statement(automated=False)
