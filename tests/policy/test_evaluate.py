import random
from itertools import permutations

import pytest

from app.domain import Code, CodesFinding, Findings, Mode, Outcome, Severity, Status, TextFinding, TextSource, Truth
from tests.policy.build import LISTS, allow, findings, judge, keyword_list, match, reading, rule, ruleset

HIGH = "probes.a.p >= thresholds.high"
BANNED = "keywords.banned.count > 0"


def test_nothing_true_passes() -> None:
    evaluation = judge(ruleset(rule("high", HIGH)), findings())
    assert (evaluation.outcome, evaluation.degraded, evaluation.violations) == (Outcome.PASS, False, ())
    assert evaluation.priority is Severity.LOW


def test_the_gravest_true_rule_decides_whatever_the_order() -> None:
    rules = [rule("r1", "true", "review"), rule("r2", HIGH), rule("r3", "image.width > 100")]
    for order in permutations(rules):
        assert judge(ruleset(*order), findings(a=0.95)).outcome is Outcome.REJECT


def test_a_violation_says_why() -> None:
    evaluation = judge(ruleset(rule("high", "scores.goods > 0.9")), findings(a=0.95))
    [violation] = evaluation.violations
    assert (violation.rule, violation.category, violation.outcome) == ("high", "goods", Outcome.REJECT)
    assert violation.score == pytest.approx(0.95)
    assert violation.reason == "because of high"


def test_the_trace_shows_what_each_condition_saw() -> None:
    tree = {"any": [HIGH, {"not": 'context.surface == "shop"'}, {"all": [BANNED, "image.width > 4"]}]}
    [result] = judge(ruleset(rule("tree", tree)), findings(a=None), surface="shop").rules
    assert result.result is Truth.UNKNOWN
    assert [(leaf.condition, leaf.values, leaf.result) for leaf in result.trace] == [
        (HIGH, {"probes.a.p": None, "thresholds.high": 0.9}, Truth.UNKNOWN),
        ('context.surface == "shop"', {"context.surface": "shop"}, Truth.TRUE),
        (BANNED, {"keywords.banned.count": 0}, Truth.FALSE),
        ("image.width > 4", {"image.width": 8}, Truth.TRUE),
    ]


@pytest.mark.parametrize(("on_unknown", "outcome"), [(None, "review"), ("review", "review"), ("reject", "reject")])
def test_an_unknown_rule_is_reviewed_or_rejected(on_unknown: str | None, outcome: str) -> None:
    given = {} if on_unknown is None else {"on_unknown": on_unknown}
    evaluation = judge(ruleset(rule("high", HIGH, **given)), findings(a=None))
    assert (evaluation.outcome, evaluation.degraded, evaluation.violations) == (Outcome(outcome), True, ())
    assert evaluation.degraded_by == ("probes.a: timeout",)
    assert evaluation.priority is Severity.HIGH


def test_the_default_for_unknown_rules_can_be_stricter() -> None:
    evaluation = judge(ruleset(rule("high", HIGH), defaults={"on_unknown": "reject"}), findings(a=None))
    assert evaluation.outcome is Outcome.REJECT


def test_degraded_by_names_only_what_live_rules_could_not_know() -> None:
    rules = ruleset(rule("high", HIGH), rule("shy", "probes.b.p > 0.5", mode="shadow"), rule("words", BANNED))
    assert judge(rules, findings(b=None)).degraded_by == ()
    evaluation = judge(rules, findings(a=None, b=None, ocr=Status.FAILED))
    assert evaluation.degraded_by == ("ocr: failed", "probes.a: timeout")


def test_a_score_is_blamed_on_its_probes() -> None:
    evaluation = judge(ruleset(rule("high", "scores.goods > 0.9")), findings(b=None))
    assert evaluation.degraded_by == ("probes.b: timeout",)
    assert evaluation.scores == {"goods": pytest.approx(0.1)}


def test_a_known_part_of_a_score_can_be_enough() -> None:
    evaluation = judge(ruleset(rule("high", "scores.goods > 0.9")), findings(a=0.95, b=None))
    assert (evaluation.outcome, evaluation.degraded) == (Outcome.REJECT, False)


def test_an_evaluation_error_is_unknown() -> None:
    overflow = " * ".join(["image.size_bytes"] * 10) + " > 0"
    evaluation = judge(ruleset(rule("broken", overflow)), findings(size_bytes=10**9))
    assert (evaluation.outcome, evaluation.degraded_by) == (Outcome.REVIEW, ("rules.broken: evaluation failed",))


def test_half_a_surrogate_pair_is_unknown_not_an_outage() -> None:
    rules = ruleset(rule("r1", 'context.surface == "shop"'), rule("r2", HIGH))
    evaluation = judge(rules, findings(a=0.95), surface="\ud800")
    assert (evaluation.outcome, evaluation.degraded_by) == (Outcome.REJECT, ("context.surface: not text",))


def test_shadow_rules_are_recorded_and_decide_nothing() -> None:
    evaluation = judge(ruleset(rule("shy", "true", mode="shadow"), rule("high", HIGH)), findings())
    assert (evaluation.outcome, evaluation.violations, evaluation.degraded) == (Outcome.PASS, (), False)
    shy = evaluation.rules[0]
    assert (shy.mode, shy.result, shy.outcome) == (Mode.SHADOW, Truth.TRUE, Outcome.REJECT)


def test_drafts_are_not_evaluated() -> None:
    evaluation = judge(ruleset(rule("idea", "true", mode="draft"), rule("high", HIGH)), findings())
    assert [one.id for one in evaluation.rules] == ["high"]


class TestCounts:
    def test_with_ocr_failed_no_match_is_not_no_text(self) -> None:
        rules = ruleset(rule("words", BANNED))
        evaluation = judge(rules, findings(ocr=Status.FAILED, caption="clean"))
        assert (evaluation.outcome, evaluation.degraded_by) == (Outcome.REVIEW, ("ocr: failed",))

    def test_with_ocr_failed_a_match_in_the_caption_is_enough(self) -> None:
        found = findings(ocr=Status.FAILED, caption="bad", matches=[match("banned", TextSource.CAPTION)])
        evaluation = judge(ruleset(rule("words", BANNED)), found)
        assert (evaluation.outcome, evaluation.degraded) == (Outcome.REJECT, False)

    def test_none_is_not_concluded_from_a_lower_bound(self) -> None:
        rules = ruleset(rule("quiet", "keywords.banned.count == 0", "review", on_unknown="reject"))
        assert judge(rules, findings()).outcome is Outcome.REVIEW
        assert judge(rules, findings(ocr=Status.TIMEOUT)).outcome is Outcome.REJECT

    def test_a_source_that_was_read_but_not_matched_is_no_source(self) -> None:
        found = findings()
        keywords = found.keywords.model_copy(update={"sources": {TextSource.CAPTION: Status.OK}})
        evaluation = judge(ruleset(rule("words", BANNED)), found.model_copy(update={"keywords": keywords}))
        assert evaluation.degraded_by == ("keywords (ocr): skipped", "keywords (qr): skipped")

    def test_the_scene_counts_only_for_lists_that_opt_in(self) -> None:
        seen = findings(matches=[match("banned", TextSource.SCENE)])
        assert judge(ruleset(rule("words", BANNED)), seen).outcome is Outcome.PASS
        looser = keyword_list("banned", sources=frozenset({TextSource.OCR, TextSource.SCENE}))
        assert judge(ruleset(rule("words", BANNED), lists=[looser]), seen).outcome is Outcome.REJECT

    def test_a_source_that_is_switched_off_is_not_missed(self) -> None:
        rules = ruleset(rule("words", BANNED), defaults={"signals": {"ocr": False}})
        evaluation = judge(rules, findings(ocr=Status.SKIPPED))
        assert (evaluation.outcome, evaluation.degraded) == (Outcome.PASS, False)

    def test_text_chars_is_a_lower_bound_too(self) -> None:
        rules = ruleset(rule("wordy", "text.chars > 3", "review"), rule("mute", "text.chars == 0", "review"))
        results = {one.id: one.result for one in judge(rules, findings(ocr=Status.FAILED, text="abcdef")).rules}
        assert results == {"wordy": Truth.TRUE, "mute": Truth.FALSE}
        results = {one.id: one.result for one in judge(rules, findings(ocr=Status.FAILED, text="")).rules}
        assert results == {"wordy": Truth.UNKNOWN, "mute": Truth.UNKNOWN}

    def test_what_two_readers_of_the_picture_saw_counts_once(self) -> None:
        rules = ruleset(rule("words", "keywords.banned.count >= 2"), defaults={"signals": {"model_text": True}})
        both = [match("banned", TextSource.OCR), match("banned", TextSource.MODEL_TEXT)]
        for matches, outcome in ((both, Outcome.PASS), ([*both, match("banned", TextSource.CAPTION)], Outcome.REJECT)):
            found = findings(matches=matches)
            sources = found.keywords.sources | {TextSource.MODEL_TEXT: Status.OK}
            read = {
                "model_text": TextFinding(status=Status.OK),
                "keywords": found.keywords.model_copy(update={"sources": sources}),
            }
            assert judge(rules, found.model_copy(update=read)).outcome is outcome

    def test_with_codes_unread_no_match_is_not_no_code(self) -> None:
        rules = ruleset(rule("words", BANNED), rule("coded", "codes.count > 0", "review"))
        failed = findings().model_copy(update={"codes": CodesFinding(status=Status.TIMEOUT, reason="late")})
        evaluation = judge(rules, failed)
        assert (evaluation.outcome, evaluation.degraded_by) == (Outcome.REVIEW, ("qr: timeout (late)",))

    def test_codes_are_counted_and_what_was_read_counts_though_some_failed(self) -> None:
        rules = ruleset(rule("coded", "codes.count > 1"))
        two = (Code(kind="qr_code", payload="a"), Code(kind="qr_code", payload="b"))
        for status in (Status.OK, Status.FAILED):
            found = findings().model_copy(update={"codes": CodesFinding(status=status, codes=two)})
            assert judge(rules, found).outcome is Outcome.REJECT

    def test_findings_from_before_codes_were_read_do_not_say_that_there_were_none(self) -> None:
        stored = findings().model_dump(mode="json")
        del stored["codes"]
        del stored["keywords"]["sources"]["qr"]
        evaluation = judge(ruleset(rule("words", BANNED)), Findings.model_validate(stored))
        assert (evaluation.outcome, evaluation.degraded_by) == (Outcome.REVIEW, ("qr: skipped (not asked)",))


class TestAllowRules:
    def test_sets_aside_the_rules_it_names_and_no_other(self) -> None:
        rules = ruleset(
            rule("r1", HIGH), rule("r2", BANNED, "review"), allow("shop", 'context.surface == "shop"', "r1")
        )
        found = findings(a=0.95, matches=[match("banned")])
        assert judge(rules, found).outcome is Outcome.REJECT
        evaluation = judge(rules, found, surface="shop")
        assert evaluation.outcome is Outcome.REVIEW
        assert [one.rule for one in evaluation.violations] == ["r2"]
        assert evaluation.rules[0].overridden_by == "shop"
        assert evaluation.rules[2].outcome is Outcome.PASS

    def test_unknown_allows_nothing(self) -> None:
        rules = ruleset(rule("r1", HIGH), allow("calm", "probes.b.p < 0.5", "r1"))
        assert judge(rules, findings(a=0.95, b=0.1)).outcome is Outcome.PASS
        evaluation = judge(rules, findings(a=0.95, b=None))
        assert (evaluation.outcome, evaluation.degraded_by) == (Outcome.REJECT, ("probes.b: timeout",))

    def test_unknown_is_missed_only_where_it_could_have_mattered(self) -> None:
        rules = ruleset(rule("r1", HIGH), allow("calm", "probes.b.p < 0.5", "r1"))
        evaluation = judge(rules, findings(a=0.1, b=None))
        assert (evaluation.outcome, evaluation.degraded) == (Outcome.PASS, False)

    def test_hides_an_unknown_rule_only_if_it_names_it(self) -> None:
        named = ruleset(rule("r1", HIGH), allow("shop", "image.width > 0", "r1"))
        evaluation = judge(named, findings(a=None))
        assert (evaluation.outcome, evaluation.degraded) == (Outcome.PASS, True)
        other = ruleset(rule("r1", HIGH), rule("r2", BANNED), allow("shop", "image.width > 0", "r2"))
        assert judge(other, findings(a=None)).outcome is Outcome.REVIEW

    def test_never_beats_a_binding_list(self) -> None:
        rules = ruleset(rule("r1", {"any": [HIGH, "keywords.sworn.count > 0"]}), allow("shop", "image.width > 0", "r1"))
        assert judge(rules, findings(a=0.95)).outcome is Outcome.PASS
        assert judge(rules, findings(matches=[match("sworn")])).outcome is Outcome.REJECT
        assert judge(rules, findings(a=0.95, matches=[match("sworn")])).outcome is Outcome.REJECT

    @pytest.mark.parametrize("when", ["!(keywords.sworn.count == 0)", {"not": "keywords.sworn.count == 0"}])
    def test_a_binding_list_binds_however_it_is_written(self, when: object) -> None:
        rules = ruleset(rule("r1", when), allow("shop", "image.width > 0", "r1"))
        assert judge(rules, findings(matches=[match("sworn")])).outcome is Outcome.REJECT

    def test_a_binding_list_that_may_have_matches_binds(self) -> None:
        rules = ruleset(rule("r1", {"any": [HIGH, "keywords.sworn.count > 0"]}), allow("shop", "image.width > 0", "r1"))
        assert judge(rules, findings(ocr=Status.FAILED)).outcome is Outcome.REVIEW
        assert judge(rules, findings(a=0.95, ocr=Status.FAILED)).outcome is Outcome.REJECT

    def test_a_shadow_allow_rule_sets_nothing_aside(self) -> None:
        rules = ruleset(rule("r1", HIGH), allow("shop", "image.width > 0", "r1", mode="shadow"))
        assert judge(rules, findings(a=0.95)).outcome is Outcome.REJECT


def test_priority_is_the_gravest_category_or_what_the_rule_says() -> None:
    rules = [rule("r1", "true", "review"), rule("r2", "true", "review", priority="critical")]
    assert judge(ruleset(*rules), findings()).priority is Severity.CRITICAL
    assert judge(ruleset(rules[0]), findings()).priority is Severity.HIGH


def test_violations_come_gravest_first() -> None:
    rules = ruleset(rule("b", "true", "review"), rule("a", "true", "review"), rule("z", "true"))
    assert [one.rule for one in judge(rules, findings()).violations] == ["z", "a", "b"]


def test_probes_that_no_rule_uses_are_neither_asked_nor_missed() -> None:
    rules = ruleset(rule("high", HIGH))
    assert {question.probe for question in rules.needs.probes} == {"a"}
    assert set(judge(rules, findings()).probes) == {"a"}


def test_the_same_findings_give_the_same_evaluation_also_from_json() -> None:
    rules = ruleset(rule("high", "scores.goods > 0.5"), rule("words", BANNED, "review"))
    found = findings(a=0.6180339887, b=None, matches=[match("banned")], caption="名")
    again = Findings.model_validate_json(found.model_dump_json())
    assert judge(rules, again) == judge(rules, found)


def test_file_order_of_rules_changes_only_the_order_of_the_trace() -> None:
    rules = [
        rule("r1", HIGH),
        rule("r2", BANNED, "review"),
        allow("a1", "image.width > 4", "r1", "r2"),
        allow("a2", "image.width > 0", "r1"),
        rule("r3", "probes.b.p > 0.5", on_unknown="reject"),
    ]
    found = findings(a=0.95, b=None, matches=[match("banned")])
    first = judge(ruleset(*rules), found)
    for seed in range(5):
        random.Random(seed).shuffle(rules)  # noqa: S311 - not a secret
        other = judge(ruleset(*rules), found)
        assert sorted(other.rules, key=lambda one: one.id) == sorted(first.rules, key=lambda one: one.id)
        assert other.model_copy(update={"rules": ()}) == first.model_copy(update={"rules": ()})


def test_several_frames_and_composites_are_all_expected() -> None:
    found = findings(frames=3, frames_sampled=3)
    evaluation = judge(ruleset(rule("high", HIGH)), found)
    assert (evaluation.outcome, evaluation.degraded_by) == (
        Outcome.REVIEW,
        ("probes.a: incomplete (2 of 3 readings missing: not asked)",),
    )
    readings = tuple(reading(0.1, frame=frame) for frame in range(3))
    whole = found.model_copy(update={"probes": {"a": found.probes["a"].model_copy(update={"readings": readings})}})
    assert not judge(ruleset(rule("high", HIGH)), whole).degraded


def test_lists_of_the_tests_are_as_they_claim() -> None:
    assert [one.binding for one in LISTS] == [False, True]
