"""Replaying over columns says what `evaluate` says, and says nothing where it would have to guess."""

from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.domain import (
    Findings,
    KeywordFinding,
    Mode,
    Outcome,
    ProbeFinding,
    ProbeReading,
    Status,
    TextSource,
    UploadContext,
)
from app.errors import PolicyInvalid
from app.policy.asked import never_asked
from app.policy.evaluate import evaluate, see
from app.policy.replay import Row, replay
from app.policy.ruleset import Ruleset
from tests.policy.build import TEXT_PROBES, allow, findings, match, reading, rule, ruleset

LEAVES = st.sampled_from(
    [
        "probes.a.p >= thresholds.high",
        "probes.b.p < 0.5",
        "scores.goods > thresholds.half",
        "probes.a.mass > 0.9",
        "keywords.banned.count > 0",
        "keywords.sworn.count >= thresholds.three",
        "keywords.banned.count == 0 && probes.a.p > 0.2",
        "context.surface == 'chat'",
        "context.surface.startsWith('ch') || probes.b.p > 0.7",
        "keywords.banned.count + keywords.sworn.count > 1",
        "image.transparent",
        "probes.a.p + probes.b.p > 1.0",
        "!(probes.a.p > 0.5 || keywords.sworn.count > 0)",
        "probes.t.p >= thresholds.half",
        "probes.t.p < 0.3 && probes.t.mass > 0.5",
        "probes.a.p > 0.5 || probes.t.p < 0.2",
        "probes.both.p > 0.4",
        "scores.words < 0.2",
        "scores.words > 0.4 || text.score.goods > 0.9",
        "probes.t.p + probes.a.p < 0.7",
    ]
)
CATEGORIES = {name: {"title": {"en": name}, "severity": "high"} for name in ("goods", "words")}
GOODS = st.sampled_from(
    [
        {"max": ["probes.a.p", "probes.b.p"]},
        {"max": ["text.score.goods", "probes.b.p"]},
        {"noisy_or": ["probes.a.p", "keywords.banned.score"]},
    ]
)
WORDS = st.sampled_from(
    [
        {"weighted": {"probes.t.p": 2}},
        {"weighted": {"probes.t.p": 2, "keywords.sworn.score": 1}},
        {"max": ["probes.t.p", "text.score.goods"]},
    ]
)
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"any": parts})
        | st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"all": parts})
        | inner.map(lambda part: {"not": part})
    ),
    max_leaves=4,
)
THEN = st.sampled_from(["reject", "review"])
MODES = st.sampled_from(["live", "live", "live", "shadow", "draft"])


@st.composite
def policies(draw: st.DrawFn) -> Ruleset:
    rules = [
        rule(f"r{at}", draw(TREES), draw(THEN), mode=draw(MODES), on_unknown=draw(THEN))
        for at in range(draw(st.integers(1, 4)))
    ]
    named = draw(st.lists(st.sampled_from([one["id"] for one in rules]), unique=True, max_size=2))
    if named:
        rules.append(allow("allowed", draw(TREES), *named, mode=draw(MODES)))
    overrides = st.dictionaries(
        st.sampled_from([one["id"] for one in rules if isinstance(one["then"], str)]),
        st.fixed_dictionaries({"mode": st.sampled_from(["live", "shadow"])}, optional={"then": THEN})
        | st.just({"mode": "off"}),
        max_size=2,
    )
    lowered = st.dictionaries(st.sampled_from(["high", "half"]), st.sampled_from([0.2, 0.55, 1]), min_size=1)
    surface = st.fixed_dictionaries({"thresholds": lowered, "rules": overrides})
    surfaces = draw(st.dictionaries(st.sampled_from(["chat", "avatar"]), surface))
    try:
        return ruleset(
            *rules,
            defaults={"ask": ["en"]},
            surfaces=surfaces,
            probes=TEXT_PROBES,
            categories=CATEGORIES,
            scores={"goods": draw(GOODS), "words": draw(WORDS)},
        )
    except PolicyInvalid:
        assume(False)
        raise


P = st.none() | st.sampled_from([0.1, 0.3, 0.5, 0.6, 0.9, 0.95])
ENDS = st.sampled_from([Status.OK, Status.OK, Status.OK, Status.FAILED, Status.TIMEOUT])


@st.composite
def _of_text(draw: st.DrawFn, frames: int, caption: str | None) -> list[ProbeReading]:
    """Readings of so many frames, and of one or two parts of the text, where there is one; some are never asked."""
    parts = draw(st.sampled_from([0, 1, 1, 1, 2])) if caption else 0
    of_frames = [reading(draw(P), frame=frame) for frame in range(frames)]
    return of_frames + [reading(draw(P), part=part) for part in range(parts)]


@st.composite
def uploads(draw: st.DrawFn) -> tuple[Findings, UploadContext]:
    counted = st.lists(
        st.sampled_from([match("banned"), match("sworn"), match("banned", TextSource.CAPTION)]), max_size=4
    )
    found = findings(
        a=draw(P),
        b=draw(P),
        matches=draw(counted),
        ocr=draw(ENDS),
        caption=draw(st.sampled_from([None, "a caption"])),
        transparent=draw(st.booleans()),
        frames=2,
        frames_sampled=draw(st.sampled_from([1, 1, 2])),
    )
    read = {name: draw(_of_text(0 if name == "t" else 1, found.caption)) for name in ("t", "both")}
    asked = {name: ProbeFinding(readings=tuple(readings)) for name, readings in read.items() if readings}
    found = found.model_copy(update={"probes": found.probes | asked})
    return found, UploadContext(surface=draw(st.sampled_from([None, "chat", "avatar"])))


def rows(rules: Ruleset, given_uploads: list[tuple[Findings, UploadContext]], *, asked: bool = True) -> list[Row]:
    made = []
    for found, context in given_uploads:
        seen = see(rules, found, context, model_digest=None)
        made.append(Row(seen, frozenset() if asked else never_asked(rules, found, seen)))
    return made


@settings(max_examples=150, deadline=None)
@given(policies(), st.lists(uploads(), min_size=1, max_size=5))
def test_columns_say_what_evaluate_says(rules: Ruleset, given_uploads: list[tuple[Findings, UploadContext]]) -> None:
    replayed = replay(rules, rows(rules, given_uploads))
    assert replayed.replayable.all()
    for at, (found, context) in enumerate(given_uploads):
        whole = evaluate(rules, found, context, model_digest=None)
        assert replayed.outcome(at) is whole.outcome
        deciding = {
            one.id
            for one in whole.rules
            if one.mode is Mode.LIVE and one.overridden_by is None and one.outcome is whole.outcome is not Outcome.PASS
        }
        assert {name for name, where in replayed.decided_by.items() if where[at]} == deciding


def without(found: Findings, gone: set[str]) -> Findings:
    """As if these had never been asked."""
    probes = {name: finding for name, finding in found.probes.items() if name not in gone}
    update: dict[str, Any] = {"probes": probes}
    if "ocr" in gone:
        sources = {source: end for source, end in found.keywords.sources.items() if source is not TextSource.OCR}
        kept = tuple(one for one in found.keywords.matches if one.source is not TextSource.OCR)
        update["ocr"] = found.ocr.model_copy(update={"status": Status.SKIPPED, "lines": ()})
        update["keywords"] = KeywordFinding(sources=sources, matches=kept)
    return found.model_copy(update=update)


@settings(max_examples=200, deadline=None)
@given(policies(), uploads(), st.sets(st.sampled_from(["a", "b", "ocr"]), min_size=1))
def test_what_is_replayed_without_an_answer_would_be_so_with_any(
    rules: Ruleset, upload: tuple[Findings, UploadContext], gone: set[str]
) -> None:
    found, context = upload
    whole = evaluate(rules, found, context, model_digest=None).outcome
    replayed = replay(rules, rows(rules, [(without(found, gone), context)], asked=False))
    assert replayed.outcome(0) in (None, whole)


def test_a_probe_that_is_newer_than_the_decision_is_not_guessed() -> None:
    rules = ruleset(rule("new", "probes.a.p > thresholds.high"), rule("old", "probes.b.p > thresholds.high"))
    before = findings(b=0.1).model_copy(update={"probes": {"b": ProbeFinding(readings=(reading(0.1),))}})
    sure = findings(b=0.95).model_copy(update={"probes": {"b": ProbeFinding(readings=(reading(0.95),))}})
    late = findings(a=None, b=0.1)
    made = replay(rules, rows(rules, [(one, UploadContext()) for one in (before, sure, late)], asked=False))
    assert [made.outcome(at) for at in range(3)] == [None, Outcome.REJECT, Outcome.REVIEW]
    assert {name: lost.tolist() for name, lost in made.missing.items()} == {"probes.a.p": [True, False, False]}


def test_a_moved_threshold_replays_as_an_edited_one() -> None:
    uploads_ = [(findings(a=p), UploadContext()) for p in (0.1, 0.55, 0.65, 0.95)]
    rules = ruleset(rule("r", "probes.a.p > thresholds.high"))
    edited = ruleset(rule("r", "probes.a.p > thresholds.high"), thresholds={"high": 0.6, "half": 0.5, "three": 3})
    moved = replay(rules, rows(rules, uploads_), thresholds={"thresholds.high": 0.6})
    again = replay(edited, rows(edited, uploads_))
    assert moved.severity.tolist() == again.severity.tolist() == [0, 0, 2, 2]
