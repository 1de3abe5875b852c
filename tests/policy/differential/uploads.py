"""Uploads as the signals may leave them, and by the book what a policy can know of each."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from app.domain import (
    Code,
    CodesFinding,
    Findings,
    ImageFacts,
    KeywordFinding,
    KeywordMatch,
    ProbeFinding,
    ProbeReading,
    SceneFinding,
    Severity,
    Status,
    TextFinding,
    TextLine,
    TextSource,
    UploadContext,
)
from tests.policy.build import READ, keyword_list
from tests.policy.differential.reference import Facts

MODEL = "sha256:" + "1" * 64
#: Of the last, only what is written beside the picture counts.
LISTS = (
    keyword_list("banned"),
    keyword_list("sworn", binding=True, category="arms", severity=Severity.MEDIUM),
    keyword_list("posted", category="arms", sources=frozenset({TextSource.CAPTION})),
)
SOURCES = (TextSource.OCR, TextSource.MODEL_TEXT, TextSource.QR, TextSource.CAPTION)
STRENGTH = {Severity.LOW: 0.25, Severity.MEDIUM: 0.5, Severity.HIGH: 0.75, Severity.CRITICAL: 0.95}

ENDS = st.sampled_from([*[Status.OK] * 5, Status.FAILED, Status.TIMEOUT, Status.SKIPPED])
#: Log-probabilities of yes and no; the last two are no answer at all.
ANSWERS = [
    *((math.log(p), math.log(1 - p)) for p in (0.1, 0.25, 0.3, 0.5, 0.5, 0.75, 0.9, 0.95)),
    *((0.0, -800.0), (-800.0, 0.0), (math.log(0.45), math.log(0.3))),
    *((math.log(0.1), math.log(0.2)), (3.0, 0.0)),
]


@dataclass(frozen=True)
class Upload:
    findings: Findings
    context: UploadContext


@st.composite
def _readings(draw: st.DrawFn, frames: int) -> tuple[ProbeReading, ...]:
    made = []
    for frame in range(frames):
        for language in ("en", "zh"):
            end = draw(st.sampled_from([*["answered"] * 7, "failed", "timeout", "skipped", "absent", "hollow"]))
            place = {"frame": frame, "language": language}
            if end == "answered":
                yes, no = draw(st.sampled_from(ANSWERS))
                made.append(ProbeReading(**place, status=Status.OK, log_yes=yes, log_no=no))
            elif end == "hollow":
                made.append(ProbeReading(**place, status=Status.OK))
            elif end != "absent":
                made.append(ProbeReading(**place, status=Status(end), reason=draw(st.sampled_from([None, "broken"]))))
    return tuple(made)


MATCHES = st.builds(
    lambda name, term, source, score, severity: KeywordMatch(
        **{"list": name, "category": "goods", "term": term, "matched": term, "source": source, "score": score},
        **{"severity": severity, "span": (0, 1), "line": 0, "view": "fold"},
    ),
    st.sampled_from([one.name for one in LISTS]),
    st.sampled_from(["x", "y"]),
    st.sampled_from([*SOURCES, TextSource.SCENE]),
    st.sampled_from([1.0, 1.0, 0.5, 0.4]),
    st.sampled_from([None, None, Severity.LOW, Severity.CRITICAL]),
)


@st.composite
def _matched(draw: st.DrawFn) -> tuple[KeywordMatch, ...]:
    """Two readers of one picture often see the same."""
    made = draw(st.lists(MATCHES, max_size=4))
    again = [one.model_copy(update={"source": TextSource.MODEL_TEXT}) for one in made if one.source is TextSource.OCR]
    return (*made, *(again if draw(st.booleans()) else ()))


@st.composite
def uploads(draw: st.DrawFn) -> Upload:
    sampled = draw(st.sampled_from([1, 1, 2]))
    lines = st.lists(st.sampled_from(["ab", "头像", "x"]), max_size=2).map(
        lambda texts: tuple(TextLine(text=text) for text in texts)
    )
    said = st.sampled_from([None, "a caption"])
    clean = draw(st.booleans())  # uploads of which everything is known are the most common, and decided another way
    ends = st.just(Status.OK) if clean else ENDS
    captions = draw(said), draw(said)
    parts = draw(st.sampled_from([1, 1, 2])) if any(captions) else 0
    made = {name: draw(_readings(sampled)) for name in draw(st.sets(st.sampled_from("ab")))}
    if "b" in made:
        made["b"] += tuple(_of_text(one) for one in draw(_readings(parts)))
    if clean:
        sure = st.sampled_from(ANSWERS[:9])
        places = [(frame, language) for frame in range(sampled) for language in ("en", "zh")]
        made = {name: tuple(_answer(draw(sure), *place) for place in places) for name in "ab"}
        written = [(part, language) for part in range(parts) for language in ("en", "zh")]
        made["b"] += tuple(_of_text(_answer(draw(sure), *place)) for place in written)
    probes = {name: ProbeFinding(readings=readings) for name, readings in made.items()}
    context = UploadContext(
        caption=captions[0], surface=draw(st.sampled_from([None, "", "chat", "avatar", "Shop.v2", "shop.v2", "\ud83d"]))
    )
    sources = {source: draw(ends) for source in (*SOURCES, TextSource.SCENE) if clean or draw(st.integers(0, 9))}
    findings = Findings(
        image=ImageFacts(
            **{"sha256": "0" * 64, "width": draw(st.integers(1, 5)), "height": 8, "size_bytes": 9, "frames": 2},
            **{"format": draw(st.sampled_from(["png", "jpeg"])), "frames_sampled": sampled},
            transparent=draw(st.booleans()),
        ),
        probes=probes,
        ocr=TextFinding(status=draw(ends), lines=draw(lines)),
        model_text=TextFinding(status=draw(ends), lines=draw(lines)),
        codes=CodesFinding(status=draw(ends), codes=(Code(kind="qr_code", payload="x"),) * draw(st.integers(0, 2))),
        caption=captions[1],
        scene=SceneFinding(status=draw(ends)),
        keywords=KeywordFinding(
            sources=sources,
            matches=draw(_matched()),
            cut=() if clean else tuple(draw(st.sets(st.sampled_from(["banned", "posted"]), max_size=1))),
        ),
    )
    return Upload(findings, context)


def _answer(logs: tuple[float, float], frame: int, language: str) -> ProbeReading:
    return ProbeReading(frame=frame, language=language, status=Status.OK, log_yes=logs[0], log_no=logs[1])


def _of_text(one: ProbeReading) -> ProbeReading:
    return one.model_copy(update={"frame": 0, "text_part": one.frame})


def facts_of(upload: Upload, policy: Mapping[str, Any]) -> Facts:
    """`policy` is the document that the policy's text says."""
    facts = Facts()
    image, context = upload.findings.image, upload.context
    facts.known |= {"image.width": image.width, "image.frames": image.frames, "image.format": image.format}
    facts.known |= {"image.transparent": image.transparent, "context.has_caption": bool(context.caption)}
    if context.surface != "\ud83d":  # half a character is no text
        facts.known["context.surface"] = context.surface or ""
    _add_probes(facts, upload, policy)
    signals = policy["defaults"]["signals"]
    unread = _unread(upload)
    for one in LISTS:
        _add_list(facts, one.name, upload, _read_over(one.name, signals), unread)
    _add_category(facts, "goods", {"banned": Severity.HIGH}, upload, signals)
    _add_category(facts, "arms", {"sworn": Severity.MEDIUM, "posted": Severity.HIGH}, upload, signals)
    _add_scores(facts, policy)
    readers = [upload.findings.ocr, *([upload.findings.model_text] if signals["model_text"] else [])]
    chars = max(sum(len(line.text) for line in reader.lines) for reader in readers)
    _add(facts, "text.chars", chars, whole=all(reader.status is Status.OK for reader in readers))
    codes = upload.findings.codes
    _add(facts, "codes.count", len(codes.codes), whole=codes.status is Status.OK)
    return facts


def _add(facts: Facts, name: str, value: float, *, whole: bool) -> None:
    (facts.known if whole else facts.at_least)[name] = value


def _place(one: ProbeReading) -> tuple[str, int]:
    return ("picture", one.frame) if one.text_part is None else ("text", one.text_part)


def _add_probes(facts: Facts, upload: Upload, policy: Mapping[str, Any]) -> None:
    languages, min_mass = policy["defaults"]["ask"], policy["defaults"]["min_mass"]
    findings = upload.findings
    looked_at = {("picture", frame) for frame in range(findings.image.frames_sampled)}
    looked_at |= {_place(one) for finding in findings.probes.values() for one in finding.readings}
    looked_at |= {("text", 0)} if findings.caption or upload.context.caption else set()
    for name, probe in policy["probes"].items():
        said = probe.get("applies_to", "picture")
        places = {place for place in looked_at if place[0] in ([said] if isinstance(said, str) else said)}
        if not places:
            facts.known |= {f"probes.{name}.p": 0.0, f"probes.{name}.mass": 1.0}
            facts.absent |= {f"probes.{name}.p", f"probes.{name}.mass"}
            continue
        readings = findings.probes[name].readings if name in findings.probes else ()
        readings = tuple(one for one in readings if _place(one) in places)
        asked = {(_place(one), one.language) for one in readings}
        gaps = len({(place, language) for place in places for language in languages} - asked)
        answers: list[tuple[float, float]] = []
        for one in readings:
            if one.status is Status.OK and one.log_yes is not None and one.log_no is not None:
                mass = math.exp(one.log_yes) + math.exp(one.log_no)
                if min_mass <= mass < 1.01:
                    answers.append((_probability(one.log_yes - one.log_no, probe.get("calibration")), mass))
        if not answers:
            continue
        whole = len(answers) == len(readings) and not gaps
        _add(facts, f"probes.{name}.p", max(p for p, _ in answers), whole=whole)
        if whole:
            facts.known[f"probes.{name}.mass"] = min(*(mass for _, mass in answers), 1.0)


def _probability(log_odds: float, calibration: Mapping[str, Any] | None) -> float:
    if calibration and calibration["model"] == MODEL:
        log_odds = calibration["slope"] * log_odds + calibration["intercept"]
    return 1 / (1 + math.exp(min(-log_odds, 700)))


def _add_scores(facts: Facts, policy: Mapping[str, Any]) -> None:
    """A part that is not known counts as nothing, which is the least that it could be; one that there is nothing to ask
    of is none."""
    for name, score in policy["scores"].items():
        ((form, every),) = score.items()
        parts = [part for part in every if part not in facts.absent]
        if not parts:
            facts.known[f"scores.{name}"] = 0.0
            facts.absent.add(f"scores.{name}")
            continue
        values = {part: facts.known.get(part, facts.at_least.get(part)) for part in parts}
        if all(value is None for value in values.values()):
            continue
        least = {part: float(value or 0) for part, value in values.items()}
        if form == "max":
            value = max(least.values())
        elif form == "noisy_or":
            value = 1 - math.prod(1 - one for one in least.values())
        else:
            value = sum(every[part] * one for part, one in least.items()) / sum(every[part] for part in parts)
        _add(facts, f"scores.{name}", value, whole=all(part in facts.known for part in parts))


def _read_over(name: str, signals: Mapping[str, bool]) -> set[TextSource]:
    if name == "posted":
        return {TextSource.CAPTION}
    return {source for source in READ if source is not TextSource.MODEL_TEXT or signals["model_text"]}


def _unread(upload: Upload) -> set[TextSource]:
    """Text sources of which some may not have been looked through."""
    found = upload.findings
    read = {TextSource.OCR: found.ocr.status, TextSource.MODEL_TEXT: found.model_text.status}
    read |= {TextSource.QR: found.codes.status, TextSource.CAPTION: Status.OK}
    unread = {source for source in SOURCES if {read[source], found.keywords.sources.get(source)} != {Status.OK}}
    return unread if found.caption or upload.context.caption else unread - {TextSource.CAPTION}


def _matches(upload: Upload, name: str, over: set[TextSource]) -> list[KeywordMatch]:
    return [one for one in upload.findings.keywords.matches if one.list == name and one.source in over]


def _add_category(
    facts: Facts, category: str, lists: Mapping[str, Severity], upload: Upload, signals: Mapping[str, bool]
) -> None:
    """`lists` are those of the category, with their severities."""
    worth: dict[tuple[str, str], float] = {}
    whole = True
    for name, severity in lists.items():
        over = _read_over(name, signals)
        whole = whole and name not in upload.findings.keywords.cut and not over & _unread(upload)
        for match in _matches(upload, name, over):
            weight = match.score * STRENGTH[match.severity or severity]
            worth[name, match.term] = max(worth.get((name, match.term), 0), weight)
    _add(facts, f"text.score.{category}", 1.0 - math.prod((1 - one for one in worth.values()), start=1.0), whole=whole)


def _add_list(facts: Facts, name: str, upload: Upload, over: set[TextSource], unread: set[TextSource]) -> None:
    whole = name not in upload.findings.keywords.cut and not over & unread
    matches = _matches(upload, name, over)
    sure = [one for one in matches if one.score >= 0.5]
    by_place = Counter((one.term, one.source) for one in sure)
    count = 0
    for term in {one.term for one in sure}:
        seen = {source: by_place[term, source] for source in SOURCES}
        count += max(seen[TextSource.OCR], seen[TextSource.MODEL_TEXT]) + seen[TextSource.QR] + seen[TextSource.CAPTION]
    own = next(one.severity for one in LISTS if one.name == name)
    severity = max((int(one.severity or own) for one in sure), default=0)
    _add(facts, f"keywords.{name}.count", count, whole=whole)
    _add(facts, f"keywords.{name}.terms", len({one.term for one in sure}), whole=whole)
    _add(facts, f"keywords.{name}.severity", severity, whole=whole)
    _add(facts, f"keywords.{name}.score", max((one.score for one in matches), default=0.0), whole=whole)
