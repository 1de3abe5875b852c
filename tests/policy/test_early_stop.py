"""What is not waited for would have changed nothing."""

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.domain import (
    CodesFinding,
    Evaluation,
    Findings,
    KeywordFinding,
    Outcome,
    ProbeFinding,
    SceneFinding,
    Status,
    TextFinding,
    TextSource,
    UploadContext,
)
from app.errors import PolicyInvalid
from app.policy.asked import never_asked
from app.policy.early_stop import still_open
from app.policy.evaluate import see
from app.policy.replay import Replayed, Row, replay
from app.policy.ruleset import Ruleset
from tests.policy.build import allow, findings, judge, keyword_list, match, reading, rule, ruleset
from tests.policy.test_never_pass import complete_findings, failures, rulesets

HIGH = "probes.a.p >= thresholds.high"
LOOKED_FOR = frozenset({TextSource.OCR, TextSource.MODEL_TEXT, TextSource.QR, TextSource.SCENE})
EVERYTHING = frozenset({"probes.a", "probes.b", *(source.value for source in LOOKED_FOR)})


@st.composite
def policies(draw: st.DrawFn) -> Ruleset:
    """Those that can be loaded."""
    try:
        return draw(rulesets())
    except PolicyInvalid:
        assume(False)
        raise


def hidden(whole: Findings, pending: frozenset[str], *, arrived: frozenset[tuple[str, int]] = frozenset()) -> Findings:
    """The findings while these are still to come; of a probe, readings that have arrived are in."""
    late = {source for source in LOOKED_FOR if source.value in pending}
    keywords = whole.keywords
    update: dict[str, Any] = {
        "probes": {
            name: ProbeFinding(
                readings=tuple(
                    one
                    if f"probes.{name}" not in pending or (f"probes.{name}", at) in arrived
                    else one.model_copy(
                        update={"status": Status.SKIPPED, "reason": "decided", "log_yes": None, "log_no": None}
                    )
                    for at, one in enumerate(probe.readings)
                )
            )
            for name, probe in whole.probes.items()
        },
        "keywords": KeywordFinding(
            sources=keywords.sources | dict.fromkeys(late, Status.SKIPPED),
            matches=tuple(one for one in keywords.matches if one.source not in late),
            cut=keywords.cut,
        ),
    }
    for source in (TextSource.OCR, TextSource.MODEL_TEXT):
        if source in late:
            update[source.value] = TextFinding(status=Status.SKIPPED, reason="decided")
    if TextSource.QR in late:
        update["codes"] = CodesFinding(status=Status.SKIPPED, reason="decided")
    if TextSource.SCENE in late:
        update["scene"] = SceneFinding(status=Status.SKIPPED, reason="decided")
    return whole.model_copy(update=update)


def open_of(rules: Ruleset, found: Findings, pending: frozenset[str]) -> frozenset[str]:
    context = UploadContext(caption=found.caption)
    return still_open(rules, found, context, model_digest=None, pending=pending)


def verdicts(evaluation: Evaluation) -> dict[str, Any]:
    """Everything of an evaluation but the numbers that conditions saw."""
    return {
        "outcome": evaluation.outcome,
        "degraded": evaluation.degraded,
        "degraded_by": evaluation.degraded_by,
        "priority": evaluation.priority,
        "violations": [(one.rule, one.outcome) for one in evaluation.violations],
        "rules": [(one.id, one.result, one.outcome, one.overridden_by) for one in evaluation.rules],
    }


@given(policies(), complete_findings(), st.data())
@settings(max_examples=70)
def test_what_is_skipped_would_have_changed_nothing(rules: Ruleset, whole: Findings, data: st.DataObject) -> None:
    """Findings come in, in any order and some of them broken; after each, what cannot matter is skipped for good."""
    end = data.draw(st.one_of(st.just(whole), failures(whole)))
    coming = {f"probes.{name}": len(probe.readings) for name, probe in end.probes.items()}
    coming |= {source.value: 1 for source in LOOKED_FOR}
    skipped: set[str] = set()
    arrived: set[tuple[str, int]] = set()
    for item in data.draw(st.permutations([(name, at) for name, count in coming.items() for at in range(count)])):
        if item[0] in skipped:
            continue
        arrived.add(item)
        pending = {name for name, count in coming.items() if any((name, at) not in arrived for at in range(count))}
        pending -= skipped
        found = hidden(end, frozenset(skipped | pending), arrived=frozenset(arrived))
        skipped |= pending - open_of(rules, found, frozenset(pending))
    stopped = hidden(end, frozenset(skipped), arrived=frozenset(arrived))
    assert verdicts(judge(rules, stopped, caption=end.caption)) == verdicts(judge(rules, end, caption=end.caption))


@given(policies(), complete_findings(), complete_findings(), st.data())
@settings(max_examples=40)
def test_it_is_so_whatever_would_have_come(
    rules: Ruleset, whole: Findings, other: Findings, data: st.DataObject
) -> None:
    """What is decided over one upload's findings holds with the rest of another one's."""
    pending = data.draw(st.sets(st.sampled_from(sorted(EVERYTHING))).map(frozenset))
    so_far = hidden(whole, pending)
    skipped = pending - open_of(rules, so_far, pending)
    if pending - skipped:
        return
    probes = {
        name: (other.probes if f"probes.{name}" in pending and _alike(whole, other) else whole.probes)[name]
        for name in whole.probes
    }
    late = {source for source in LOOKED_FOR if source.value in pending}
    mixed = whole.model_copy(
        update={
            "probes": probes,
            "ocr": other.ocr if TextSource.OCR in late else whole.ocr,
            "model_text": other.model_text if TextSource.MODEL_TEXT in late else whole.model_text,
            "codes": other.codes if TextSource.QR in late else whole.codes,
            "keywords": whole.keywords.model_copy(
                update={
                    "matches": tuple(one for one in whole.keywords.matches if one.source not in late)
                    + tuple(one for one in other.keywords.matches if one.source in late)
                }
            ),
        }
    )
    assert verdicts(judge(rules, mixed, caption=whole.caption)) == verdicts(judge(rules, so_far, caption=whole.caption))


def _alike(whole: Findings, other: Findings) -> bool:
    return whole.image.frames_sampled == other.image.frames_sampled


def pending_of(*names: str) -> frozenset[str]:
    return frozenset(names)


SCENE_LIST = keyword_list("seen", sources=frozenset({TextSource.SCENE, TextSource.OCR}))
ALL_IN = findings()


def read_twice(found: Findings) -> Findings:
    """The model read no text either."""
    sources = found.keywords.sources | {TextSource.MODEL_TEXT: Status.OK}
    keywords = found.keywords.model_copy(update={"sources": sources})
    return found.model_copy(update={"model_text": TextFinding(status=Status.OK), "keywords": keywords})


READ_TWICE = read_twice(ALL_IN)


@pytest.mark.parametrize(
    ("rules", "pending", "waited_for"),
    [
        ([rule("r", HIGH)], {"probes.b", "scene"}, set()),
        ([rule("r", HIGH)], {"probes.a", "scene"}, {"probes.a"}),
        ([rule("r", HIGH, mode="shadow")], {"probes.a", "scene"}, {"probes.a"}),
        ([rule("r", HIGH, mode="draft"), rule("s", "true")], {"probes.a"}, set()),
        ([rule("r", "scores.goods > 0.5")], {"probes.a", "probes.b"}, {"probes.a", "probes.b"}),
        ([rule("r", {"all": [HIGH, "keywords.banned.count > 0"]})], {"probes.a"}, set()),
        ([rule("r", {"any": [HIGH, "keywords.banned.count > 0"]})], {"probes.a"}, {"probes.a"}),
        ([rule("r", {"not": HIGH})], {"probes.a"}, {"probes.a"}),
        ([rule("r", "keywords.banned.count > 0")], {"model_text", "scene", "probes.a"}, {"model_text"}),
        ([rule("r", "keywords.seen.count > 0")], {"scene", "qr"}, {"scene"}),
        ([rule("r", "text.score.goods > 0.1")], {"scene", "qr"}, {"scene", "qr"}),
        ([rule("r", "text.chars > 4")], {"ocr", "model_text", "scene"}, {"ocr", "model_text"}),
        ([rule("r", "codes.count > 0")], {"qr", "ocr"}, {"qr"}),
        ([rule("r", "probes.a.mass > 0.5")], {"probes.a"}, {"probes.a"}),
        ([rule("r", "image.width > 4")], EVERYTHING, set()),
    ],
)
def test_only_what_an_open_condition_speaks_of_is_waited_for(
    rules: list[dict[str, Any]], pending: set[str], waited_for: set[str]
) -> None:
    lists = (keyword_list("banned"), keyword_list("sworn", binding=True), SCENE_LIST)
    made = ruleset(*rules, lists=lists, defaults={"signals": {"model_text": True}})
    assert open_of(made, hidden(READ_TWICE, frozenset(pending)), frozenset(pending)) == waited_for


def test_a_rule_that_is_true_already_is_not_waited_for() -> None:
    made = ruleset(rule("r", "scores.goods > 0.5"))
    found = hidden(findings(a=0.95), pending_of("probes.b"))
    assert open_of(made, found, pending_of("probes.b")) == frozenset()
    assert judge(made, found).outcome is Outcome.REJECT


def test_one_frame_can_be_enough_and_a_low_one_is_not() -> None:
    made = ruleset(rule("r", HIGH))
    for first, waited_for in ((0.95, frozenset[str]()), (0.2, pending_of("probes.a"))):
        whole = findings(frames=2, frames_sampled=2).model_copy(
            update={"probes": {"a": ProbeFinding(readings=(reading(first), reading(0.1, frame=1)))}}
        )
        found = hidden(whole, pending_of("probes.a"), arrived=frozenset({("probes.a", 0)}))
        assert open_of(made, found, pending_of("probes.a")) == waited_for


def test_the_outcome_alone_is_no_reason_to_stop() -> None:
    """A rejected upload is still asked what a milder rule wants to know: reports and backtests count every rule."""
    made = ruleset(rule("sure", "true"), rule("milder", "probes.b.p > 0.5", "review"))
    assert open_of(made, hidden(ALL_IN, pending_of("probes.b")), pending_of("probes.b")) == {"probes.b"}


def test_a_fault_that_stays_is_not_waited_for_again() -> None:
    made = ruleset(rule("r", "keywords.banned.count > 0"))
    found = hidden(findings(ocr=Status.FAILED), pending_of("scene", "probes.a"))
    assert open_of(made, found, pending_of("scene", "probes.a")) == frozenset()


def test_a_binding_list_is_waited_for_while_its_rule_may_be_set_aside() -> None:
    lists = (keyword_list("sworn", binding=True),)
    made = ruleset(
        rule("r", "probes.a.p > 0.5 || keywords.sworn.count > 0"),
        allow("fine", "image.width > 0", "r"),
        lists=lists,
        defaults={"signals": {"model_text": True}},
    )
    whole = read_twice(findings(a=0.9))
    pending = pending_of("model_text", "scene")
    so_far = hidden(whole, pending)
    assert open_of(made, so_far, pending) == {"model_text"}
    assert (judge(made, so_far).outcome, judge(made, whole).outcome) == (Outcome.REJECT, Outcome.PASS)


def test_with_more_matches_than_are_recorded_nothing_is_skipped() -> None:
    made = ruleset(rule("r", "keywords.banned.count > 0"))
    whole = findings(matches=[match("banned")])
    cut = whole.model_copy(update={"keywords": whole.keywords.model_copy(update={"cut": ("banned",)})})
    pending = pending_of("scene", "probes.a")
    assert open_of(made, hidden(whole, pending), pending) == frozenset()
    assert open_of(made, hidden(cut, pending), pending) == pending


def test_the_surface_says_which_rules_there_are_to_wait_for() -> None:
    surfaces = {"chat": {"rules": {"b": {"mode": "off"}, "sworn": {"mode": "live"}}}}
    made = ruleset(
        rule("b", "probes.b.p > 0.5"),
        rule("sworn", "probes.a.p > 0.5 || keywords.sworn.count > 0", mode="draft"),
        allow("fine", "true", "sworn"),
        surfaces=surfaces,
        defaults={"signals": {"model_text": True}},
    )
    pending = pending_of("probes.b", "model_text")
    found = hidden(read_twice(findings(a=0.9)), pending)
    waited_for = {
        surface: still_open(made, found, UploadContext(surface=surface), model_digest=None, pending=pending)
        for surface in (None, "chat")
    }
    assert waited_for == {None: {"probes.b"}, "chat": {"model_text"}}


def replayed(made: Ruleset, found: Findings) -> Replayed:
    seen = see(made, found, UploadContext(caption=found.caption), model_digest=None)
    return replay(made, [Row(seen, never_asked(made, found, seen))])


@given(policies(), complete_findings(), st.sets(st.sampled_from(sorted(EVERYTHING))).map(frozenset))
@settings(max_examples=25)
def test_what_was_stopped_early_can_be_decided_again(rules: Ruleset, whole: Findings, pending: frozenset[str]) -> None:
    found = hidden(whole, pending)
    stopped = hidden(whole, pending - open_of(rules, found, pending))
    assert replayed(rules, stopped).outcome(0) is judge(rules, whole, caption=whole.caption).outcome


def test_a_rule_that_wants_what_was_skipped_is_not_guessed() -> None:
    found = hidden(findings(a=0.1, b=0.1), pending_of("probes.b", "scene"))
    made = replayed(ruleset(rule("old", HIGH), rule("new", "probes.b.p > 0.5")), found)
    assert made.outcome(0) is None
    assert [name for name, rows in made.missing.items() if rows[0]] == ["probes.b.p"]
    lists = (keyword_list("seen", sources=frozenset({TextSource.SCENE})),)
    made = replayed(ruleset(rule("words", "keywords.seen.count > 0"), lists=lists), found)
    assert made.outcome(0) is None
