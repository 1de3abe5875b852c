"""The promise everything rests on: whatever fails, nothing that would not have passed passes."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import (
    Code,
    CodesFinding,
    Findings,
    KeywordFinding,
    Outcome,
    ProbeFinding,
    ProbeReading,
    SceneFinding,
    Status,
    TextFinding,
    TextLine,
    TextSource,
)
from app.policy.ruleset import Ruleset
from tests.policy.build import allow, findings, judge, keyword_list, match, reading, rule, ruleset

LISTS = (
    keyword_list("banned"),
    keyword_list("sworn", binding=True),
    keyword_list("seen", sources=frozenset(TextSource)),
)
LEAVES = st.sampled_from(
    [
        "probes.a.p >= thresholds.high",
        "probes.a.p < thresholds.half",
        "probes.a.mass > 0.8",
        "1 - probes.b.p > probes.a.p",
        "scores.goods > 0.5",
        "scores.goods < thresholds.high",
        "text.score.goods > 0.8 && keywords.banned.score < 0.9",
        "scores.goods + probes.a.p < 1",
        "keywords.banned.count > 0",
        "keywords.banned.count == 0",
        "!(keywords.sworn.count == 0)",
        "keywords.sworn.count >= 2",
        "keywords.seen.count in [0, 1]",
        "keywords.banned.count + keywords.seen.count > 1",
        "keywords.banned.count < keywords.seen.count",
        "text.chars > 2",
        "text.chars == 0",
        "codes.count > 0",
        "codes.count == 0",
        "text.chars > 2 ? probes.a.p > 0.5 : keywords.banned.count > 0",
        "probes.b.p > 0.5 || keywords.sworn.count > 0",
        "context.has_caption",
        "image.frames > 1 && probes.a.p != probes.b.p",
        "image.width > 0",
        "image.width > 100",
    ]
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"any": parts}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"all": parts}),
        inner.map(lambda part: {"not": part}),
    ),
    max_leaves=4,
)
PARTS = st.lists(
    st.sampled_from(
        ["probes.a.p", "probes.b.p", "text.score.goods", *(f"keywords.{one.name}.score" for one in LISTS)],
    ),
    min_size=1,
    max_size=3,
    unique=True,
)
MODES = st.sampled_from(["live", "live", "live", "shadow", "draft"])


@st.composite
def rulesets(draw: st.DrawFn) -> Ruleset:
    names = [f"r{number}" for number in range(draw(st.integers(1, 3)))]
    rules: list[dict[str, Any]] = [
        rule(
            name,
            draw(TREES),
            draw(st.sampled_from(["review", "reject"])),
            on_unknown=draw(st.sampled_from(["review", "reject"])),
            mode=draw(st.sampled_from(["live", "live", "shadow"])),
        )
        for name in names
    ]
    for number in range(draw(st.integers(0, 2))):
        named = draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
        rules.append(allow(f"a{number}", draw(TREES), *named, mode=draw(MODES)))
    form = draw(st.sampled_from(["max", "noisy_or", "weighted"]))
    parts = draw(PARTS)
    goods = {form: dict.fromkeys(parts, 1.5) if form == "weighted" else parts}
    signals = {"ocr": draw(st.booleans()), "model_text": True}
    defaults = {"signals": signals, "ask": ["en", "zh"]}
    return ruleset(*rules, lists=LISTS, kept=True, scores={"goods": goods}, defaults=defaults)


P = st.sampled_from([0.0, 0.1, 0.45, 0.5, 0.6, 0.9, 0.95, 1.0])


@st.composite
def complete_findings(draw: st.DrawFn) -> Findings:
    """Everything that was asked was answered."""
    frames = draw(st.integers(1, 2))
    caption = draw(st.sampled_from([None, "words"]))
    sources = [TextSource.OCR, TextSource.MODEL_TEXT, TextSource.QR, TextSource.SCENE] + [TextSource.CAPTION] * (
        caption is not None
    )
    matches = draw(
        st.lists(
            st.builds(
                lambda name, source, score: match(name, source).model_copy(update={"score": score}),
                st.sampled_from([one.name for one in LISTS]),
                st.sampled_from(sources),
                st.sampled_from([1.0, 0.7, 0.4]),
            ),
            max_size=4,
        )
    )
    lines = st.lists(st.sampled_from(["a", "abc"]), max_size=2).map(
        lambda texts: tuple(TextLine(text=t) for t in texts)
    )
    codes = st.lists(st.just(Code(kind="qr_code", payload="x")), max_size=2).map(tuple)
    probes = {
        name: ProbeFinding(
            readings=tuple(
                reading(draw(P), frame=frame, language=language, mass=draw(st.sampled_from([0.6, 0.99])))
                for frame in range(frames)
                for language in ("en", "zh")
            )
        )
        for name in ("a", "b")
    }
    return findings(caption=caption, frames=frames, frames_sampled=frames).model_copy(
        update={
            "probes": probes,
            "ocr": TextFinding(status=Status.OK, lines=draw(lines)),
            "model_text": TextFinding(status=Status.OK, lines=draw(lines)),
            "codes": CodesFinding(status=Status.OK, reason=None, codes=draw(codes)),
            "keywords": KeywordFinding(sources=dict.fromkeys(TextSource, Status.OK), matches=tuple(matches)),
        }
    )


BROKEN = st.sampled_from([Status.FAILED, Status.TIMEOUT, Status.SKIPPED])


@st.composite
def failures(draw: st.DrawFn, whole: Findings) -> Findings:
    """The same upload with any set of failures: readings unanswered, unclear or lost, texts read in part or not at
    all, sources not matched, and only such matches as could still be found."""
    return whole.model_copy(
        update={
            "probes": {
                name: ProbeFinding(readings=tuple(kept for one in probe.readings for kept in draw(_reading(one))))
                for name, probe in whole.probes.items()
                if draw(st.integers(0, 9))
            },
            **draw(_texts(whole)),
        }
    )


def _reading(one: ProbeReading) -> st.SearchStrategy[tuple[ProbeReading, ...]]:
    unclear = {"log_yes": -9.0, "log_no": -9.0}
    lost = {"log_yes": None, "log_no": None}
    return st.one_of(
        st.just((one,)),
        st.just((one,)),
        st.just(()),
        st.just((one.model_copy(update=unclear),)),
        BROKEN.map(lambda status: (one.model_copy(update={"status": status} | lost),)),
    )


@st.composite
def _texts(draw: st.DrawFn, whole: Findings) -> dict[str, Any]:
    broken: set[TextSource] = set()
    update: dict[str, Any] = {}
    for source, text in ((TextSource.OCR, whole.ocr), (TextSource.MODEL_TEXT, whole.model_text)):
        if draw(st.booleans()):
            broken.add(source)
            kept = text.lines[: draw(st.integers(0, len(text.lines)))]
            update[source.value] = TextFinding(status=draw(BROKEN), reason="broken", lines=kept)
    if draw(st.booleans()):
        broken.add(TextSource.QR)
        kept = whole.codes.codes[: draw(st.integers(0, len(whole.codes.codes)))]
        update["codes"] = CodesFinding(status=draw(BROKEN), reason="broken", codes=kept)
    if draw(st.booleans()):
        broken.add(TextSource.SCENE)
        update["scene"] = SceneFinding(status=draw(BROKEN))
    sources = dict(whole.keywords.sources)
    for source in sorted(broken | draw(st.sets(st.sampled_from(TextSource)))):
        broken.add(source)
        if draw(st.booleans()):
            sources[source] = draw(BROKEN)
        elif {TextSource.QR: "codes"}.get(source, source.value) in update:
            pass  # the source itself says that it failed
        else:
            del sources[source]
    found = tuple(one for one in whole.keywords.matches if one.source not in broken or draw(st.booleans()))
    return update | {"keywords": KeywordFinding(sources=sources, matches=found)}


@given(rulesets(), complete_findings(), st.data())
@settings(max_examples=400)
def test_no_failure_turns_a_non_pass_into_a_pass(rules: Ruleset, whole: Findings, data: st.DataObject) -> None:
    complete = judge(rules, whole, caption=whole.caption)
    failed = judge(rules, data.draw(failures(whole)), caption=whole.caption)
    if complete.outcome is not Outcome.PASS:
        assert failed.outcome is not Outcome.PASS


@given(rulesets(), complete_findings(), st.data())
@settings(max_examples=150)
def test_what_is_still_decided_is_decided_the_same(rules: Ruleset, whole: Findings, data: st.DataObject) -> None:
    """A rule that is true or false in spite of failures is so without them as well."""
    complete = {one.id: one.result for one in judge(rules, whole, caption=whole.caption).rules}
    for one in judge(rules, data.draw(failures(whole)), caption=whole.caption).rules:
        if one.result.value != "unknown":
            assert one.result is complete[one.id]


@given(rulesets(), complete_findings())
@settings(max_examples=50)
def test_nothing_is_degraded_when_nothing_failed(rules: Ruleset, whole: Findings) -> None:
    evaluation = judge(rules, whole, caption=whole.caption)
    assert not evaluation.degraded
    assert judge(rules, Findings.model_validate_json(whole.model_dump_json()), caption=whole.caption) == evaluation
