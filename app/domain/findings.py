"""What the signals found, stored in full, so that a decision can be made again from it.

Findings hold raw log-probabilities and raw positions: calibration, clarity limits and thresholds belong to the policy.
"""

from typing import Literal

from pydantic import Field

from app.domain.images import ImageFacts
from app.domain.value import Value
from app.domain.words import Severity, Status, TextSource

#: Four corners, clockwise from the top left of the text, in pixels of the upright upload.
Box = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]


class ProbeReading(Value):
    """One probe question put to one frame, or to the part `text_part` of what the uploader wrote (then `frame` says
    nothing).

    `log_yes` and `log_no` are natural logarithms of the probability that the first answer token is any of the yes
    (no) words, over the whole vocabulary; both are present exactly when `status` is ok.
    """

    frame: int = 0
    language: str
    status: Status
    reason: str | None = None
    log_yes: float | None = None
    log_no: float | None = None
    text_part: int | None = None


class ProbeFinding(Value):
    """All readings of one probe: every frame, or part of the text, in every asked language."""

    readings: tuple[ProbeReading, ...]


class TextLine(Value):
    """A line of text in reading order. `box` and `confidence` (0..1) are None where the source gives none."""

    text: str
    frame: int = 0
    confidence: float | None = None
    box: Box | None = None


class TextFinding(Value):
    """Text read from one source. When `status` is not ok, `lines` holds what was read all the same: a lower bound."""

    status: Status
    reason: str | None = None
    lines: tuple[TextLine, ...] = ()

    @property
    def text(self) -> str:
        return "\n".join(line.text for line in self.lines)


class Code(Value):
    """A QR or bar code. `kind` is its symbology, such as `qr_code` or `ean_13`; `readable` is the payload as people
    read it, where a web address writes it otherwise (percent signs, punycode)."""

    kind: str
    payload: str
    readable: str | None = None
    frame: int = 0
    box: Box | None = None


class CodesFinding(Value):
    """All codes. When `status` is not ok, `codes` holds what was read all the same: a lower bound."""

    status: Status = Status.SKIPPED
    reason: str | None = "not asked"
    codes: tuple[Code, ...] = ()

    @property
    def as_text(self) -> TextFinding:
        """The text source `qr`: a line for each code, as people read it."""
        lines = tuple(
            TextLine(text=code.readable or code.payload, frame=code.frame, box=code.box) for code in self.codes
        )
        return TextFinding(status=self.status, reason=self.reason, lines=lines)


class SceneFinding(Value):
    """The model's description of the first frame."""

    status: Status
    reason: str | None = None
    description: str | None = None


class KeywordMatch(Value):
    """One listed term found. `span` is [start, end) in code points of the line (`line` counts within the source);
    `matched` is what those code points are, `term` what the list says, `view` the normalisation that found it (several
    joined by `+`), `score` (0..1) what a match by that view is worth.

    Of a built-in matcher (`view` is `builtin`) the term is its name, and `matched` is masked where it is personal.
    """

    list: str
    category: str
    term: str
    matched: str
    source: TextSource
    span: tuple[int, int]
    line: int
    view: str
    frame: int = 0
    box: tuple[tuple[float, float], ...] | None = None
    score: float = Field(default=1.0, ge=0, le=1)
    severity: Severity | None = None


class KeywordFinding(Value):
    """Matches over all text. `sources` says how each text source that should have been read ended: a source that is
    not ok makes every count over it a lower bound. `cut` names the lists that matched more often than is recorded:
    their counts are lower bounds too."""

    sources: dict[TextSource, Status]
    matches: tuple[KeywordMatch, ...] = ()
    cut: tuple[str, ...] = ()


class Findings(Value):
    """Everything one upload was asked. `schema_version` is the version of this shape in stored rows. `recalled` names
    what was not asked for this upload but known of the same picture (`ocr`, `probes.violence`), in whole or in part."""

    schema_version: Literal[1] = 1
    image: ImageFacts
    probes: dict[str, ProbeFinding] = Field(default_factory=dict)
    ocr: TextFinding
    model_text: TextFinding
    codes: CodesFinding = CodesFinding()
    caption: str | None = None
    scene: SceneFinding
    keywords: KeywordFinding
    recalled: tuple[str, ...] = ()
