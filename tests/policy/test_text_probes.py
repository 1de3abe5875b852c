"""Probes of what the uploader wrote: what there is no text of is known not to be said, and vouches for nothing."""

from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import (
    Findings,
    Outcome,
    ProbeFinding,
    ProbeQuestion,
    ProbeReading,
    Status,
    Subject,
    Truth,
    UploadContext,
)
from app.policy.asked import never_asked
from app.policy.cases import check_cases
from app.policy.early_stop import still_open
from app.policy.evaluate import see
from app.policy.explain import explain
from app.policy.replay import Row, replay
from app.policy.ruleset import Ruleset
from app.policy.shadow_judge import Decided, as_asked, wanting
from app.policy.stored import read_findings
from tests.policy.build import TEXT_PROBES, allow, findings, judge, reading, rule, ruleset


def policy(*rules: dict[str, Any], **parts: Any) -> Ruleset:
    return ruleset(*rules, **({"probes": TEXT_PROBES} | parts))


def found(*readings: ProbeReading, caption: str | None = "for sale", name: str = "t", **given_: Any) -> Findings:
    made = findings(caption=caption, **given_)
    asked = {name: ProbeFinding(readings=readings)} if readings else {}
    return made.model_copy(update={"probes": made.probes | asked})


def said(p: float | None, part: int = 0) -> ProbeReading:
    return reading(p, part=part)


STOP = policy(rule("stop", "probes.t.p >= thresholds.half"))
EVERY_WAY = (
    "probes.t.p < 0.1",
    {"not": "probes.t.p >= thresholds.half"},
    "!(probes.t.p >= thresholds.half)",
    "probes.t.p <= 0.01",
    "probes.t.mass > 0.9",
    "1.0 - probes.t.p > 0.5",
    "scores.goods < 0.5",
    {"any": ["probes.a.p > 0.9", "probes.t.p < 0.1"]},
    {"all": ["probes.a.p < 0.9", {"not": {"any": ["probes.t.p > 0.5", "probes.b.p > 0.9"]}}]},
)


def outcome(rules: Ruleset, upload: Findings, **context: Any) -> tuple[Outcome, bool]:
    evaluation = judge(rules, upload, caption=upload.caption, **context)
    return evaluation.outcome, evaluation.degraded


class TestAnUploadWithoutText:
    @pytest.mark.parametrize("caption", [None, "", "  \n\t", "\u3000"])
    def test_is_known_not_to_say_anything(self, caption: str | None) -> None:
        """Neither unknown, which would send every picture without a caption to a person, nor true."""
        evaluation = judge(STOP, found(caption=caption), caption=caption)

        assert (evaluation.outcome, evaluation.degraded) == (Outcome.PASS, False)
        assert evaluation.rules[0].result is Truth.FALSE
        assert (evaluation.probes["t"].status, evaluation.probes["t"].reason) == (Status.SKIPPED, "no text")
        assert evaluation.probes["t"].p is None

    def test_does_not_meet_the_exception_of_a_rule(self) -> None:
        """No text says that it is satire."""
        rules = policy(rule("stop", {"all": ["probes.a.p > 0.5", {"not": "probes.t.p > 0.5"}]}))

        assert outcome(rules, found(a=0.9, caption=None)) == (Outcome.REJECT, False)
        assert outcome(rules, found(said(0.9), a=0.9)) == (Outcome.PASS, False)

    @pytest.mark.parametrize("when", EVERY_WAY)
    def test_allows_nothing_by_what_it_does_not_say(self, when: Any) -> None:
        """Whichever way the condition is put; a text that does not say it may."""
        scores = {"goods": {"max": ["probes.t.p"]}}
        rules = policy(rule("stop", "probes.b.p < 0.9"), allow("fine", when, "stop"), scores=scores)
        absent = judge(rules, found(caption=None))

        assert (absent.outcome, absent.degraded) == (Outcome.REJECT, False)
        assert absent.rules[1].result is Truth.FALSE
        assert outcome(rules, found(said(0.0))) == (Outcome.PASS, False)

    def test_is_allowed_what_other_conditions_allow(self) -> None:
        rules = policy(
            rule("stop", "probes.a.p > 0.5"),
            allow("fine", {"any": ["context.surface == 'kitchen'", "probes.t.p < 0.1"]}, "stop"),
        )

        assert outcome(rules, found(a=0.9, caption=None), surface="kitchen") == (Outcome.PASS, False)
        assert outcome(rules, found(a=0.9, caption=None), surface="chat") == (Outcome.REJECT, False)

    @pytest.mark.parametrize(
        "when", [{"any": ["probes.t.p < 0.1", "probes.a.p < 0.2"]}, "probes.t.p < 0.1 || probes.a.p < 0.2"]
    )
    def test_is_allowed_by_what_is_not_known_yet(self, when: Any) -> None:
        """So it is waited for, missed where it does not come, and not guessed where it was never asked."""
        rules = policy(rule("stop", "context.surface == 'kitchen'"), allow("fine", when, "stop"))
        assert outcome(rules, found(a=0.1, caption=None), surface="kitchen") == (Outcome.PASS, False)
        assert outcome(rules, found(a=0.9, caption=None), surface="kitchen") == (Outcome.REJECT, False)

        late, context = found(a=None, caption=None), UploadContext(surface="kitchen")
        evaluation = judge(rules, late, surface="kitchen")
        assert (evaluation.outcome, evaluation.degraded_by) == (Outcome.REJECT, ("probes.a: timeout",))
        assert still_open(rules, late, context, model_digest=None, pending={"probes.a"}) == {"probes.a"}

        unasked = late.model_copy(update={"probes": {}})
        seen = see(rules, unasked, context, model_digest=None)
        replayed = replay(rules, [Row(seen, never_asked(rules, unasked, seen))])
        assert (replayed.outcome(0), list(replayed.missing)) == (None, ["probes.a.p"])
        assert replay(rules, [Row(see(rules, late, context, model_digest=None))]).outcome(0) is Outcome.REJECT

    def test_shows_what_the_allow_rule_wanted_for(self) -> None:
        rules = policy(rule("stop", "probes.t.p < 0.1"), allow("fine", "probes.t.p < 0.1", "stop"))
        stop, fine = judge(rules, found(caption=None)).rules

        assert (stop.result, stop.trace[0].result, stop.trace[0].values) == (
            *(Truth.TRUE, Truth.TRUE),
            {"probes.t.p": 0.0},
        )
        assert (fine.result, fine.trace[0].result, fine.trace[0].values) == (
            *(Truth.FALSE, Truth.UNKNOWN),
            {"probes.t.p": None},
        )

    @pytest.mark.parametrize(
        ("form", "value"),
        [
            ({"max": ["probes.a.p", "probes.t.p"]}, 0.8),
            ({"noisy_or": ["probes.a.p", "probes.t.p"]}, 0.8),
            ({"weighted": {"probes.a.p": 1, "probes.t.p": 3}}, 0.8),
            ({"max": ["probes.t.p"]}, 0.0),
        ],
    )
    def test_is_left_out_of_scores(self, form: Any, value: float) -> None:
        """A weighted mean is that of what there is: a picture is not milder for want of a caption."""
        rules = policy(rule("stop", "scores.goods >= thresholds.half"), scores={"goods": form})
        evaluation = judge(rules, found(a=0.8, caption=None))

        assert evaluation.scores["goods"] == pytest.approx(value)
        assert not evaluation.degraded

    def test_of_a_probe_of_both_the_picture_is_judged(self) -> None:
        rules = policy(rule("stop", "probes.both.p >= thresholds.half"))

        assert outcome(rules, found(reading(0.9), caption=None, name="both")) == (Outcome.REJECT, False)
        assert outcome(rules, found(reading(0.1), caption=None, name="both")) == (Outcome.PASS, False)
        assert outcome(rules, found(reading(None), caption=None, name="both")) == (Outcome.REVIEW, True)

    def test_cannot_be_explained_by_another_text(self) -> None:
        told = explain(STOP, found(caption=None), UploadContext(), model_digest=None)

        assert "            probes.t.p = 0 (no text)" in told.lines
        assert told.value_change is None


class TestAText:
    def test_is_judged(self) -> None:
        assert outcome(STOP, found(said(0.9))) == (Outcome.REJECT, False)
        assert outcome(STOP, found(said(0.1))) == (Outcome.PASS, False)

    @pytest.mark.parametrize("readings", [(), (said(None),), (reading(0.1),)])
    def test_without_an_answer_is_unknown(self, readings: tuple[ProbeReading, ...]) -> None:
        """A reading of the picture is none of the text."""
        assert outcome(STOP, found(*readings)) == (Outcome.REVIEW, True)

    def test_in_parts_counts_by_the_gravest(self) -> None:
        assert outcome(STOP, found(said(0.1), said(0.9, 1), said(0.2, 2))) == (Outcome.REJECT, False)

    def test_that_was_not_read_to_its_end_is_no_sure_no(self) -> None:
        cut = reading(None, part=1, status=Status.FAILED).model_copy(update={"reason": "truncated"})

        assert outcome(STOP, found(said(0.9), cut)) == (Outcome.REJECT, False)
        assert outcome(STOP, found(said(0.1), cut)) == (Outcome.REVIEW, True)
        assert judge(STOP, found(said(0.1), cut)).degraded_by == (
            "probes.t: incomplete (1 of 2 readings missing: truncated)",
        )

    def test_of_a_probe_of_both_counts_beside_the_picture(self) -> None:
        rules = policy(rule("stop", "probes.both.p >= thresholds.half"))

        assert outcome(rules, found(reading(0.1), said(0.9), name="both")) == (Outcome.REJECT, False)
        assert outcome(rules, found(reading(0.9), said(0.1), name="both")) == (Outcome.REJECT, False)
        assert outcome(rules, found(reading(0.1), name="both")) == (Outcome.REVIEW, True)

    def test_does_not_touch_probes_of_the_picture(self) -> None:
        rules = policy(rule("stop", "probes.a.p >= thresholds.half"))

        assert outcome(rules, found(said(None), a=0.1)) == (Outcome.PASS, False)


@given(st.lists(st.sampled_from(EVERY_WAY), min_size=1, max_size=4), st.sampled_from([None, "for sale"]))
def test_columns_say_what_one_upload_says(whens: list[Any], caption: str | None) -> None:
    rules = policy(
        rule("stop", "probes.b.p < 0.9"),
        *(allow(f"fine{at}", deepcopy(when), "stop", mode="live") for at, when in enumerate(whens)),
        scores={"goods": {"max": ["probes.t.p"]}},
    )
    upload = found(said(0.05), caption=caption) if caption else found(caption=None)
    seen = see(rules, upload, UploadContext(caption=caption), model_digest=None)

    assert replay(rules, [Row(seen)] * 2).outcome(1) is judge(rules, upload, caption=caption).outcome


def test_only_what_a_rule_uses_is_asked_and_of_what_it_applies_to() -> None:
    text = ProbeQuestion("t", "en", "t?", Subject.TEXT)
    picture, both = ProbeQuestion("both", "en", "both?"), ProbeQuestion("both", "en", "both?", Subject.TEXT)

    assert STOP.needs.probes == (text,)
    assert policy(rule("r", "probes.a.p > 0.5")).needs.probes == (ProbeQuestion("a", "en", "a?"),)
    assert policy(rule("r", "probes.both.p > 0.5")).needs.probes == (picture, both)


def test_a_stored_decision_without_text_can_be_decided_again_and_one_with_cannot() -> None:
    """Of the first there was nothing to ask, of the second the new probe was never asked."""
    for caption, replayable in ((None, True), ("for sale", False)):
        upload = found(caption=caption)
        seen = see(STOP, upload, UploadContext(caption=caption), model_digest=None)
        replayed = replay(STOP, [Row(seen, never_asked(STOP, upload, seen))])

        assert bool(replayed.replayable[0]) is replayable
        assert list(replayed.missing) == ([] if replayable else ["probes.t.p"])


def test_readings_of_texts_are_stored_and_read_again() -> None:
    upload = found(said(0.4), said(None, 1))

    read = read_findings(upload.model_dump_json())

    assert [one.text_part for one in read.probes["t"].readings] == [0, 1]
    assert judge(STOP, read).probes == judge(STOP, upload).probes


class TestAShadowPolicy:
    def test_asks_about_texts_where_there_are_some(self) -> None:
        live = policy(rule("r", "probes.a.p > 0.5")).needs
        more = wanting(live, STOP.needs, text=True)

        assert more is not None
        assert more.probes == STOP.needs.probes
        assert wanting(live, STOP.needs, text=False) is None

    def test_takes_no_answer_about_the_picture_for_one_about_the_text(self) -> None:
        """The same probe in the same words, which was asked of pictures alone so far."""
        before = {**TEXT_PROBES, "both": TEXT_PROBES["a"] | {"questions": TEXT_PROBES["both"]["questions"]}}
        asked = ruleset(rule("r", "probes.both.p > 0.5"), probes=before).needs
        wanted = policy(rule("r", "probes.both.p > 0.5")).needs
        upload = found(reading(0.1), name="both")

        seen = as_asked(_decided(upload, asked), wanted)

        assert [one.text_part for one in seen.probes["both"].readings] == [None]
        more = wanting(asked, wanted, text=True)
        assert more is not None
        assert {one.subject for one in more.probes} == {Subject.TEXT}


def _decided(upload: Findings, asked: Any) -> Decided:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Decided("dec_1", at, Outcome.PASS, upload, UploadContext(caption=upload.caption), None, asked, {})


class TestPolicyTests:
    RULES = policy(
        rule("stop", "probes.t.p > 0.5"), rule("other", "probes.b.p < 0.1"), allow("fine", "probes.t.p < 0.1", "other")
    )

    def check(self, given_: str, expect: str) -> list[str]:
        text = f"cases:\n  - name: x\n    given: {given_}\n    expect: {expect}\n"
        return [one.message for one in check_cases(self.RULES, text.encode(), "p.test.yaml").failures]

    def test_a_case_may_be_without_text(self) -> None:
        assert self.check("{probes.t.p: 0.9}", "reject") == []
        assert self.check("{}", "pass") == []
        assert self.check("{probes.t.p: absent}", "reject") == []
        assert self.check("{probes.t.p: unknown, probes.b.p: 0.5}", "review") == []

    @pytest.mark.parametrize("name", ["probes.a.p", "probes.both.p"])
    def test_a_picture_is_never_absent(self, name: str) -> None:
        said_ = f"`{name}` is never absent: only a probe with `applies_to: text` is"
        assert self.check(f"{{{name}: absent}}", "pass") == [said_]

    def test_other_names_have_no_absence(self) -> None:
        assert self.check("{keywords.banned.count: absent}", "pass") == ["`keywords.banned.count` is a whole number"]
