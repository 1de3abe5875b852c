"""What the pages show of a decision, computed without the web: highlighted text, boxes on the picture, bars, order."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import dist
from unicodedata import east_asian_width

from app.domain import (
    Code,
    Decision,
    DecisionRecord,
    KeywordMatch,
    ProbeScore,
    RuleResult,
    Status,
    TextFinding,
    TextLine,
    TextSource,
    Truth,
)
from app.domain.findings import Box

#: True rules decided, unknown ones may have; false ones explain why nothing happened.
_TRUTH_ORDER = {Truth.TRUE: 0, Truth.UNKNOWN: 1, Truth.FALSE: 2}


#: What a source of text is called among the findings; a caption is nothing that was found.
_FINDING_OF = {
    TextSource.OCR: "ocr",
    TextSource.QR: "codes",
    TextSource.MODEL_TEXT: "model_text",
    TextSource.SCENE: "scene",
}

#: Widths of characters in print, as parts of a small letter's.
_WIDE = 2.0
_NARROW = frozenset(" ijltfrI1.,:;'|!()[]-")


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of text under the same matches."""

    text: str
    matches: tuple[KeywordMatch, ...]


@dataclass(frozen=True, slots=True)
class LineView:
    number: int
    segments: tuple[Segment, ...]
    confidence: float | None
    frame: int
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class TextView:
    """`recalled`, here and of a bar: known from an earlier upload of the picture, and not asked for this one."""

    title: str
    status: Status
    reason: str | None
    lines: tuple[LineView, ...]
    recalled: bool = False


@dataclass(frozen=True, slots=True)
class BoxView:
    """A polygon in pixels of the upright upload, as SVG writes its points, with what to say of it. `kind` is `read`
    (a line of text), `code` or `hit` (what a listed term matched)."""

    points: str
    kind: str
    said: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A share of 0..1; None draws no bar."""

    name: str
    share: float | None
    probe: ProbeScore | None = None
    recalled: bool = False


@dataclass(frozen=True, slots=True)
class DecisionView:
    """`surface` is where the platform said that the upload appears; whether it has thresholds and rules of its own, the
    decision says."""

    decision: Decision
    texts: tuple[TextView, ...]
    boxes: tuple[BoxView, ...]
    scores: tuple[Bar, ...]
    probes: tuple[Bar, ...]
    rules: tuple[RuleResult, ...]
    surface: str | None
    external_id: str | None


def decision_view(record: DecisionRecord) -> DecisionView:
    decision = record.decision
    recalled = decision.findings.recalled
    return DecisionView(
        decision=decision,
        texts=_texts(record),
        boxes=_boxes(decision),
        scores=_bars(decision.scores),
        probes=tuple(
            Bar(name, probe.p if probe.status is Status.OK else None, probe, recalled=f"probes.{name}" in recalled)
            for name, probe in sorted(decision.findings.probes.items(), key=lambda item: -(item[1].p or 0.0))
        ),
        rules=tuple(sorted(decision.rules, key=lambda rule: (rule.mode.value, _TRUTH_ORDER[rule.result], rule.id))),
        surface=record.context.surface,
        external_id=record.context.external_id,
    )


def highlight(text: str, matches: Iterable[KeywordMatch]) -> tuple[Segment, ...]:
    """Cut a line where matches begin and end, so that overlapping ones are all told. Spans outside it are ignored."""
    inside = [match for match in matches if 0 <= match.span[0] < match.span[1] <= len(text)]
    cuts = sorted({0, len(text), *(end for match in inside for end in match.span)})
    return tuple(
        Segment(text[start:end], tuple(match for match in inside if match.span[0] <= start and end <= match.span[1]))
        for start, end in pairwise(cuts)
    )


def _texts(record: DecisionRecord) -> tuple[TextView, ...]:
    found = record.decision.findings
    scene = TextFinding(status=found.scene.status, reason=found.scene.reason, lines=_lines(found.scene.description))
    ocr = TextFinding(status=found.ocr.status, reason=found.ocr.reason, lines=found.ocr.lines)
    read = found.model_text
    model_text = TextFinding(status=read.status, reason=read.reason, lines=read.lines)
    caption = TextFinding(status=Status.OK, lines=_lines(record.context.caption))
    matches = found.keywords.matches
    codes = found.codes.as_text
    kinds = [code.kind for code in found.codes.codes]
    others = (
        ("Text read by the model", TextSource.MODEL_TEXT, model_text),
        ("Caption", TextSource.CAPTION, caption),
        ("Scene", TextSource.SCENE, scene),
    )
    return (
        _text("Text in the picture", TextSource.OCR, ocr, matches, recalled=found.recalled),
        *(
            [_text("QR and bar codes", TextSource.QR, codes, matches, kinds, recalled=found.recalled)]
            if _is_worth_showing(codes)
            else []
        ),
        *(
            _text(title, source, text, matches, recalled=found.recalled)
            for title, source, text in others
            if _is_worth_showing(text)
        ),
    )


def _is_worth_showing(text: TextFinding) -> bool:
    return bool(text.lines) or text.status in (Status.FAILED, Status.TIMEOUT)


def _lines(text: str | None) -> tuple[TextLine, ...]:
    return tuple(TextLine(text=line) for line in (text or "").splitlines())


def _text(
    title: str,
    source: TextSource,
    text: TextFinding,
    matches: Sequence[KeywordMatch],
    kinds: Sequence[str] = (),
    *,
    recalled: Collection[str] = (),
) -> TextView:
    lines = tuple(
        LineView(
            number,
            highlight(line.text, (match for match in matches if match.source is source and match.line == number)),
            line.confidence,
            line.frame,
            kinds[number].replace("_", " ") if kinds else None,
        )
        for number, line in enumerate(text.lines)
    )
    return TextView(title, text.status, text.reason, lines, recalled=_FINDING_OF.get(source) in recalled)


def _boxes(decision: Decision) -> tuple[BoxView, ...]:
    """The first frame's boxes only, when there are several: that is the one the page shows at rest. Matches come last,
    so that they are drawn on top."""
    found = decision.findings
    read = {TextSource.OCR: found.ocr.lines, TextSource.QR: found.codes.as_text.lines}
    boxes = [_box(line.box, "read", line.text) for line in read[TextSource.OCR] if _is_shown(line, decision)]
    boxes += [
        _box(code.box, "code", f"{code.kind.replace('_', ' ')}: {code.payload}")
        for code in found.codes.codes
        if _is_shown(code, decision)
    ]
    for match in found.keywords.matches:
        lines = read.get(match.source, ())
        line = lines[match.line] if match.line < len(lines) else None
        if line is None or line.box is None or not _is_shown(line, decision):
            continue
        box = span_box(line.text, line.box, match.span) if match.source is TextSource.OCR else line.box
        boxes.append(_box(box, "hit", f"{match.term} · {match.list} · {match.view}"))
    return tuple(box for box in boxes if box is not None)


def _is_shown(found: TextLine | Code, decision: Decision) -> bool:
    return decision.image.frames == 1 or found.frame == 0


def _box(box: Box | None, kind: str, said: str) -> BoxView | None:
    if box is None:
        return None
    return BoxView(" ".join(f"{x:.1f},{y:.1f}" for x, y in box), kind, said)


def span_box(text: str, box: Box, span: tuple[int, int]) -> Box:
    """About where a part of a line stands, by the widths that its characters have in print. A line that stands upright
    runs down if it is Chinese; turned Latin may run either way, so all of it is given."""
    widths = [_width(character) for character in text]
    start, end = sum(widths[: span[0]]) / sum(widths or [1]), sum(widths[: span[1]]) / sum(widths or [1])
    top_left, top_right, bottom_right, bottom_left = box
    if dist(top_left, top_right) >= dist(top_left, bottom_left):
        return (
            _between(top_left, top_right, start),
            _between(top_left, top_right, end),
            _between(bottom_left, bottom_right, end),
            _between(bottom_left, bottom_right, start),
        )
    if any(character.isalpha() and _width(character) < _WIDE for character in text):
        return box
    return (
        _between(top_left, bottom_left, start),
        _between(top_right, bottom_right, start),
        _between(top_right, bottom_right, end),
        _between(top_left, bottom_left, end),
    )


def _width(character: str) -> float:
    if east_asian_width(character) in "WF":
        return _WIDE
    if character in _NARROW:
        return 0.55
    return 1.45 if character in "mwMW@%" else 1.2 if character.isupper() else 1.0


def _between(one: tuple[float, float], other: tuple[float, float], share: float) -> tuple[float, float]:
    return one[0] + (other[0] - one[0]) * share, one[1] + (other[1] - one[1]) * share


def _bars(scores: dict[str, float | None]) -> tuple[Bar, ...]:
    return tuple(Bar(name, score) for name, score in sorted(scores.items(), key=lambda item: -(item[1] or 0.0)))
