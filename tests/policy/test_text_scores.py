"""What conditions see of the matches of a list, and of all lists of a category."""

import pytest

from app.domain import COUNTED_SCORE, Findings, Outcome, Severity, Status, TextSource, UploadContext
from app.policy import text_scores
from app.policy.evaluate import see
from tests.policy import build

_RULES = (
    build.rule("counted", "keywords.banned.count > 0", "review"),
    build.rule("sure", "keywords.banned.score >= 0.9"),
    build.rule("suspected", "keywords.banned.score > 0.0 && keywords.banned.count == 0", "review"),
    build.rule("grave", "keywords.banned.severity >= 4"),
    build.rule("several", "keywords.banned.terms >= 2"),
    build.rule("category", "text.score.goods > 0.9"),
)


def _true(*matches: dict[str, object], **given: object) -> set[str]:
    found = tuple(build.match("banned").model_copy(update=one) for one in matches)
    evaluation = build.judge(build.ruleset(*_RULES), build.findings(matches=found, **given))  # type: ignore[arg-type]
    return {rule.id for rule in evaluation.rules if rule.result == "true"}


def test_nothing_found_is_nothing() -> None:
    assert _true() == set()


def test_a_plain_match() -> None:
    assert _true({}) == {"counted", "sure"}


def test_a_doubtful_match_has_a_score_and_does_not_count() -> None:
    assert _true({"score": COUNTED_SCORE - 0.01}) == {"suspected"}
    assert _true({"score": COUNTED_SCORE}) == {"counted"}


def test_a_match_says_its_own_severity() -> None:
    assert _true({"severity": Severity.CRITICAL}) >= {"grave", "counted"}
    assert "grave" not in _true({"severity": Severity.CRITICAL, "score": 0.2})
    assert "grave" not in _true({"severity": Severity.LOW})


def test_terms_are_counted_once() -> None:
    assert "several" not in _true({}, {"span": (4, 5)})
    assert "several" in _true({}, {"term": "y"})


def test_the_score_of_a_category_adds_what_its_lists_found() -> None:
    assert "category" not in _true({})
    assert "category" in _true({}, {"term": "y"})


@pytest.mark.parametrize("ocr", [Status.OK, Status.FAILED])
def test_without_a_match_scores_are_decimal_as_they_are_declared(ocr: Status) -> None:
    """The library adds nothing whole to what is decimal, and what is whole would have no upper end."""
    facts = see(build.ruleset(*_RULES), build.findings(ocr=ocr), UploadContext(), model_digest=None).facts
    found = {**facts.known, **facts.at_least}
    assert [type(found[name]) for name in ("text.score.goods", "keywords.banned.score")] == [float, float]


def test_strengths_are_probabilities_that_rise_with_severity() -> None:
    strengths = [text_scores._STRENGTH[severity] for severity in sorted(Severity)]
    assert strengths == sorted(strengths)
    assert all(0 < strength < 1 for strength in strengths)


@pytest.mark.parametrize("name", ["count", "terms", "severity"])
def test_over_a_source_that_failed_they_are_lower_bounds(name: str) -> None:
    rules = build.ruleset(
        build.rule("some", f"keywords.banned.{name} > 0"), build.rule("none", f"keywords.banned.{name} == 0")
    )
    nothing = build.judge(rules, build.findings(ocr=Status.FAILED))
    assert {rule.result for rule in nothing.rules} == {"unknown"}
    found = build.judge(rules, build.findings(ocr=Status.FAILED, matches=[build.match("banned", TextSource.CAPTION)]))
    assert [rule.result for rule in found.rules] == ["true", "false"]


def test_matches_that_were_cut_off_are_lower_bounds() -> None:
    rules = build.ruleset(
        build.rule("some", "keywords.banned.count > 0"), build.rule("very-many", "keywords.banned.count > 900")
    )
    found = build.findings(matches=[build.match("banned")])
    assert [rule.result for rule in build.judge(rules, found).rules] == ["true", "false"]
    cut = found.model_copy(update={"keywords": found.keywords.model_copy(update={"cut": ("banned",)})})
    evaluation = build.judge(rules, cut)
    assert [rule.result for rule in evaluation.rules] == ["true", "unknown"]
    assert evaluation.degraded_by == ("keywords.banned: more matches than are counted",)


def test_scores_over_a_source_that_failed_are_lower_bounds_too() -> None:
    rules = build.ruleset(
        build.rule("some", "text.score.goods > 0.5"), build.rule("few", "keywords.banned.score < 0.5")
    )
    nothing = build.judge(rules, build.findings(ocr=Status.FAILED))
    assert {rule.result for rule in nothing.rules} == {"unknown"}
    found = build.judge(rules, build.findings(ocr=Status.FAILED, matches=[build.match("banned", TextSource.CAPTION)]))
    assert [rule.result for rule in found.rules] == ["true", "false"]


def test_no_allow_rule_sets_aside_what_a_binding_list_found_by_score_either() -> None:
    for condition in ("keywords.sworn.score > 0.5", "text.score.goods > 0.5"):
        rules = build.ruleset(build.rule("sworn", condition), build.allow("fine", "image.width > 0", "sworn"))
        assert build.judge(rules, build.findings(matches=[build.match("sworn")])).outcome is Outcome.REJECT


def test_a_list_used_by_its_category_is_used() -> None:
    rules = build.ruleset(build.rule("category", "text.score.goods > 0.9"))
    assert not any("list" in warning.message for warning in rules.warnings)


def test_findings_of_before_scores_existed_are_read_as_plain_matches() -> None:
    stored = build.findings(matches=[build.match("banned")]).model_dump(mode="json")
    for one in stored["keywords"]["matches"]:
        del one["score"], one["severity"]
    (match,) = Findings.model_validate(stored).keywords.matches
    assert (match.score, match.severity) == (1.0, None)
