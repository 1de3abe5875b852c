"""Scores of pictures and words together: everything that knows what a score is made of knows the words too."""

from dataclasses import replace
from typing import Any

import pytest

from app.domain import Findings, Outcome, ProbeFinding, Severity, Status, TextFinding, TextSource, Truth, UploadContext
from app.errors import PolicyInvalid
from app.policy.asked import never_asked
from app.policy.early_stop import still_open
from app.policy.evaluate import see
from app.policy.explain import Change, explain
from app.policy.replay import Row, replay
from app.policy.rows import RowReader
from app.policy.ruleset import Ruleset
from app.policy.shadow_judge import rules_trial
from app.signals.keywords import AhoCorasickMatcher
from tests.policy.build import LISTS, TEXT_PROBES, allow, findings, judge, keyword_list, match, reading, rule, ruleset

HIGH = rule("high", "scores.goods >= thresholds.high")
FORMS: list[dict[str, Any]] = [
    {"max": ["probes.a.p", "text.score.goods"]},
    {"noisy_or": ["probes.a.p", "text.score.goods"]},
    {"weighted": {"probes.a.p": 1, "text.score.goods": 3}},
]


def scored(goods: dict[str, Any], *rules: dict[str, Any], **parts: Any) -> Ruleset:
    return ruleset(*(rules or (HIGH,)), scores={"goods": goods}, **parts)


def found(*terms: str, a: float | None = 0.5, ocr: Status = Status.OK, **given: Any) -> Findings:
    """With matches of the list `banned` that the caption has; each is worth three quarters."""
    matches = [match("banned", TextSource.CAPTION).model_copy(update={"term": term}) for term in terms]
    return findings(a=a, ocr=ocr, matches=matches, caption="a caption", **given)


def truth(rules: Ruleset, upload: Findings) -> Truth:
    return judge(rules, upload).rules[0].result


class TestValues:
    @pytest.mark.parametrize(("goods", "value"), [*zip(FORMS, [0.75, 0.875, 0.6875], strict=True)])
    def test_words_count_as_probes_do(self, goods: dict[str, Any], value: float) -> None:
        assert judge(scored(goods), found("x")).scores == {"goods": pytest.approx(value)}

    def test_of_one_list_the_best_match_counts(self) -> None:
        rules = scored({"max": ["probes.a.p", "keywords.banned.score"]})
        doubtful = match("banned").model_copy(update={"score": 0.4, "severity": Severity.LOW})
        assert judge(rules, findings(a=0.1, matches=[doubtful])).scores == {"goods": pytest.approx(0.4)}

    def test_nothing_found_is_nothing_and_is_not_left_out(self) -> None:
        assert judge(scored(FORMS[2]), found(a=0.8)).scores == {"goods": pytest.approx(0.2)}

    @pytest.mark.parametrize("goods", FORMS)
    def test_with_a_reader_failed_it_is_at_least_what_is_known(self, goods: dict[str, Any]) -> None:
        rules = scored(goods, rule("some", "scores.goods > 0.1"), rule("high", "scores.goods >= thresholds.high"))
        evaluation = judge(rules, found(ocr=Status.FAILED))
        assert [one.result for one in evaluation.rules] == [Truth.TRUE, Truth.UNKNOWN]
        assert (evaluation.outcome, evaluation.degraded_by) == (Outcome.REJECT, ("ocr: failed",))

    @pytest.mark.parametrize("goods", FORMS)
    def test_never_a_no_while_a_part_is_missing(self, goods: dict[str, Any]) -> None:
        low = rule("low", "scores.goods < thresholds.high", "review", on_unknown="reject")
        for upload in (found(ocr=Status.FAILED), found(a=None), found(a=None, ocr=Status.FAILED)):
            assert truth(scored(goods), upload) is Truth.UNKNOWN
            assert truth(scored(goods, low), upload) is Truth.UNKNOWN

    def test_without_an_answer_words_are_enough(self) -> None:
        rules = scored(FORMS[0], rule("some", "scores.goods >= 0.7"))
        assert truth(rules, found("x", a=None, ocr=Status.FAILED)) is Truth.TRUE

    def test_every_finding_that_is_missing_is_to_blame(self) -> None:
        evaluation = judge(scored(FORMS[0]), found(a=None, ocr=Status.TIMEOUT))
        assert evaluation.degraded_by == ("ocr: timeout", "probes.a: timeout")

    def test_a_probe_of_a_text_that_is_not_there_is_left_out_beside_words(self) -> None:
        goods = {"weighted": {"probes.t.p": 5, "keywords.banned.score": 1}}
        rules = scored(goods, probes=TEXT_PROBES)
        assert judge(rules, findings(matches=[match("banned")])).scores == {"goods": 1.0}


class TestMistakes:
    def test_a_list_that_is_read_nowhere_makes_no_score(self) -> None:
        posted = keyword_list("posted", sources=frozenset({TextSource.QR}))
        for part in ("keywords.posted.score", "text.score.goods"):
            with pytest.raises(PolicyInvalid) as invalid:
                scored({"max": ["probes.a.p", part]}, HIGH, lists=[posted], defaults={"signals": {"qr": False}})
            (problem,) = invalid.value.problems
            assert problem.message == f"`{part}` would never be known: every text source of it is switched off"
            assert problem.source_line is not None
            assert part in problem.source_line

    def test_without_probes_and_lists_there_is_nothing_to_name(self) -> None:
        with pytest.raises(PolicyInvalid) as invalid:
            scored({"max": ["probes.a.p"]}, HIGH, lists=[], probes={})
        assert [one.hint for one in invalid.value.problems] == [None]


class TestWhatIsUsed:
    def test_a_list_that_a_score_is_made_of_is_used(self) -> None:
        warned = {one.file for one in scored({"max": ["probes.a.p", "keywords.banned.score"]}).warnings}
        assert warned == {"policies.yaml", "rules/sworn.txt"}
        assert {one.file for one in scored(FORMS[0]).warnings} == {"policies.yaml"}
        unused = ruleset(rule("r", "probes.a.p > 0.5"), scores={"goods": FORMS[0]})
        assert {one.file for one in unused.warnings} >= {"rules/banned.txt", "rules/sworn.txt"}

    def test_only_its_probes_are_asked(self) -> None:
        assert {question.probe for question in scored(FORMS[0]).needs.probes} == {"a"}
        assert scored({"max": ["text.score.goods"]}).needs.probes == ()

    def test_a_score_that_no_rule_uses_is_there_when_its_parts_are(self) -> None:
        rules = ruleset(rule("r", "image.width > 0"), scores={"goods": {"max": ["text.score.goods"]}})
        assert judge(rules, found("x")).scores == {"goods": 0.75}
        rules = ruleset(rule("r", "image.width > 0"), scores={"goods": FORMS[0]})
        assert judge(rules, found("x")).scores == {"goods": None}

    @pytest.mark.parametrize("part", ["keywords.sworn.score", "text.score.goods"])
    def test_a_binding_list_binds_through_a_score(self, part: str) -> None:
        rules = scored({"max": ["probes.a.p", part]}, HIGH, allow("shop", "image.width > 0", "high"))
        assert rules.program.rules[0].binding == ("sworn",)
        assert judge(rules, findings(a=0.95)).outcome is Outcome.PASS
        assert judge(rules, findings(a=0.95, matches=[match("sworn")])).outcome is Outcome.REJECT
        assert judge(rules, findings(a=0.95, ocr=Status.FAILED)).outcome is Outcome.REJECT

    def test_a_list_that_it_is_not_made_of_does_not_bind(self) -> None:
        rules = scored({"max": ["probes.a.p", "keywords.banned.score"]}, HIGH, allow("shop", "image.width > 0", "high"))
        assert judge(rules, findings(a=0.95, matches=[match("sworn")])).outcome is Outcome.PASS


def waited_for(rules: Ruleset, upload: Findings, *pending: str) -> frozenset[str]:
    return still_open(rules, upload, UploadContext(), model_digest=None, pending=frozenset(pending))


class TestStoppingEarly:
    RULES = scored({"max": ["probes.a.p", "keywords.banned.score"]}, defaults={"signals": {"model_text": True}})

    def test_readers_and_probes_are_waited_for_while_they_can_change_a_score(self) -> None:
        pending = ("probes.a", "probes.b", "ocr", "model_text", "qr", "scene")
        upload = findings(a=None, ocr=Status.SKIPPED)
        assert waited_for(self.RULES, upload, *pending) == {"probes.a", "ocr", "model_text", "qr"}

    def test_none_is_waited_for_once_words_are_enough(self) -> None:
        upload = findings(a=None, ocr=Status.SKIPPED, matches=[match("banned", TextSource.CAPTION)])
        assert waited_for(self.RULES, upload, "probes.a", "ocr", "model_text") == frozenset()

    def test_a_reader_is_not_waited_for_once_a_probe_is_enough(self) -> None:
        assert waited_for(self.RULES, findings(a=0.95, ocr=Status.SKIPPED), "ocr", "model_text") == frozenset()


def replayed(rules: Ruleset, upload: Findings) -> tuple[Outcome | None, list[str]]:
    seen = see(rules, upload, UploadContext(), model_digest=None)
    made = replay(rules, [Row(seen, never_asked(rules, upload, seen))])
    return made.outcome(0), [name for name, rows in made.missing.items() if rows[0]]


class TestThePast:
    def test_text_that_nobody_read_is_not_guessed(self) -> None:
        rules = scored(FORMS[0], defaults={"signals": {"model_text": True}})
        assert replayed(rules, findings(a=0.1)) == (None, ["scores.goods"])
        assert replayed(rules, findings(a=0.95)) == (Outcome.REJECT, [])

    def test_text_that_could_not_be_read_is_unknown_as_it_was(self) -> None:
        assert replayed(scored(FORMS[0]), found(ocr=Status.FAILED)) == (Outcome.REVIEW, [])

    def test_a_new_probe_is_not_guessed_where_words_do_not_decide(self) -> None:
        rules = scored(FORMS[0], rule("some", "scores.goods >= 0.7"))
        without = {"probes": {"b": ProbeFinding(readings=(reading(0.1),))}}
        assert replayed(rules, found().model_copy(update=without)) == (None, ["scores.goods"])
        assert replayed(rules, found("x").model_copy(update=without)) == (Outcome.REJECT, [])

    def test_a_list_that_changed_is_matched_again(self) -> None:
        fresh = replace(LISTS[0], terms=("knife",), digest="sha256:new")
        rules = scored(FORMS[0], rule("some", "scores.goods >= 0.7"), lists=(fresh, LISTS[1]))
        reader = RowReader(rules, AhoCorasickMatcher())
        before = {one.name: one.digest for one in LISTS}
        for text, outcome in (("a knife", Outcome.REJECT), ("a spoon", Outcome.PASS)):
            upload = reader.refound(findings(text=text, matches=[match("banned")]), before)
            assert replayed(rules, upload)[0] is outcome

    def test_a_policy_from_before_reads_as_it_did(self) -> None:
        """A stored decision of probes alone has no text findings but those that every decision has."""
        silent = findings(a=0.95).model_copy(update={"ocr": TextFinding(status=Status.SKIPPED)})
        assert replayed(scored({"max": ["probes.a.p"]}), silent) == (Outcome.REJECT, [])

    def test_the_record_of_a_shadow_rule_ends_when_its_score_is_made_of_other_words(self) -> None:
        def digest(goods: dict[str, Any], **parts: Any) -> str:
            trial = rules_trial(scored(goods, rule("s", "scores.goods > thresholds.half", mode="shadow"), **parts))
            assert trial is not None
            return trial.digest

        base = digest(FORMS[0])
        assert digest({"max": ["probes.a.p", "keywords.banned.score"]}) != base
        assert digest(FORMS[0], thresholds={"high": 0.8, "half": 0.5, "three": 3}) == base


class TestExplaining:
    def test_other_words_would_have_made_another_score(self) -> None:
        goods = {"noisy_or": ["probes.a.p", "text.score.goods"]}
        rules = scored(goods, rule("both", "text.score.goods >= 0.8 && scores.goods >= 0.89"))
        told = explain(rules, found("x", a=0.5), UploadContext(), model_digest=None)
        assert told.value_change == Change("text.score.goods", 0.75, 0.8, Outcome.REJECT)
        assert explain(rules, found("x", a=0.4), UploadContext(), model_digest=None).value_change is None

    def test_the_tree_tells_what_a_score_is_made_of(self) -> None:
        goods = {"noisy_or": ["probes.a.p", "text.score.goods", "probes.t.p"]}
        rules = scored(goods, probes=TEXT_PROBES)
        upload = findings(a=0.5, ocr=Status.FAILED, matches=[match("banned", TextSource.CAPTION)])
        told = explain(rules, upload, UploadContext(), model_digest=None)
        assert "\n".join(told.lines) == (
            """\
high: unknown → review
  unknown scores.goods >= thresholds.high
            scores.goods = unknown
              of probes.a.p = 0.5
              of text.score.goods = at least 0.75
              of probes.t.p = 0 (no text)
            thresholds.high = 0.9"""
        )

    def test_a_bound_rises_with_its_parts(self) -> None:
        rules = scored(FORMS[0], rule("r", "probes.a.p >= 0.6 && scores.goods >= 0.6"))
        told = explain(rules, found(a=0.5, ocr=Status.FAILED), UploadContext(), model_digest=None)
        assert told.outcome is Outcome.PASS
        assert told.value_change == Change("probes.a.p", pytest.approx(0.5), 0.6, Outcome.REJECT)

    def test_no_score_of_words_is_beyond_one(self) -> None:
        told = explain(ruleset(rule("r", "text.score.goods <= 1.0")), findings(), UploadContext(), model_digest=None)
        assert (told.outcome, told.value_change) == (Outcome.REJECT, None)
