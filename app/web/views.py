"""What the pages show of a decision, computed without the web: highlighted text, boxes on the picture, bars, order."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from app.domain import (
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

#: True rules decided, unknown ones may have; false ones explain why nothing happened.
_TRUTH_ORDER = {Truth.TRUE: 0, Truth.UNKNOWN: 1, Truth.FALSE: 2}


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


@dataclass(frozen=True, slots=True)
class TextView:
    title: str
    status: Status
    reason: str | None
    lines: tuple[LineView, ...]


@dataclass(frozen=True, slots=True)
class BoxView:
    """A polygon in pixels of the upright upload, as SVG writes its points."""

    points: str
    line: int
    hit: bool


@dataclass(frozen=True, slots=True)
class Bar:
    """A share of 0..1; None draws no bar."""

    name: str
    share: float | None
    probe: ProbeScore | None = None


@dataclass(frozen=True, slots=True)
class DecisionView:
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
    return DecisionView(
        decision=decision,
        texts=_texts(record),
        boxes=_boxes(decision),
        scores=_bars(decision.scores),
        probes=tuple(
            Bar(name, probe.p if probe.status is Status.OK else None, probe)
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
    others = (
        ("Text read by the model", TextSource.MODEL_TEXT, model_text),
        ("Caption", TextSource.CAPTION, caption),
        ("Scene", TextSource.SCENE, scene),
    )
    return (
        _text("Text in the picture", TextSource.OCR, ocr, matches),
        *(_text(title, source, text, matches) for title, source, text in others if _is_worth_showing(text)),
    )


def _is_worth_showing(text: TextFinding) -> bool:
    return bool(text.lines) or text.status in (Status.FAILED, Status.TIMEOUT)


def _lines(text: str | None) -> tuple[TextLine, ...]:
    return tuple(TextLine(text=line) for line in (text or "").splitlines())


def _text(title: str, source: TextSource, text: TextFinding, matches: Sequence[KeywordMatch]) -> TextView:
    lines = tuple(
        LineView(
            number,
            highlight(line.text, (match for match in matches if match.source is source and match.line == number)),
            line.confidence,
            line.frame,
        )
        for number, line in enumerate(text.lines)
    )
    return TextView(title, text.status, text.reason, lines)


def _boxes(decision: Decision) -> tuple[BoxView, ...]:
    """The first frame's boxes only, when there are several: that is the one the page shows at rest."""
    still = decision.image.frames == 1
    hits = {match.line for match in decision.findings.keywords.matches if match.source is TextSource.OCR}
    return tuple(
        BoxView(" ".join(f"{x:.1f},{y:.1f}" for x, y in line.box), number, number in hits)
        for number, line in enumerate(decision.findings.ocr.lines)
        if line.box is not None and (still or line.frame == 0)
    )


def _bars(scores: dict[str, float | None]) -> tuple[Bar, ...]:
    return tuple(Bar(name, score) for name, score in sorted(scores.items(), key=lambda item: -(item[1] or 0.0)))
