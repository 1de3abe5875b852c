"""The enumerations of the vocabulary."""

from enum import IntEnum, StrEnum


class Outcome(StrEnum):
    """What happens to an upload. Ordered by `severity`: reject beats review beats pass."""

    PASS = "pass"  # noqa: S105 - an outcome, not a password
    REVIEW = "review"
    REJECT = "reject"

    @property
    def severity(self) -> int:
        return _OUTCOME_SEVERITY[self]


_OUTCOME_SEVERITY = {Outcome.PASS: 0, Outcome.REVIEW: 1, Outcome.REJECT: 2}


class Status(StrEnum):
    """How one asked thing ended. Everything but `ok` is an unknown to the policy."""

    OK = "ok"
    FAILED = "failed"
    TIMEOUT = "timeout"
    SKIPPED = "skipped"


class Truth(StrEnum):
    """Kleene's three values."""

    TRUE = "true"
    FALSE = "false"
    UNKNOWN = "unknown"


class Subject(StrEnum):
    """What a probe is asked of: the picture's frames, or what the uploader wrote."""

    PICTURE = "picture"
    TEXT = "text"


class Mode(StrEnum):
    """`live` rules decide, `shadow` rules are evaluated and recorded, `draft` rules are only checked."""

    LIVE = "live"
    SHADOW = "shadow"
    DRAFT = "draft"


class Ground(StrEnum):
    """What a decision against an upload rests on: a law, or the platform's own terms."""

    LEGAL = "legal"
    TERMS = "terms"


class Severity(IntEnum):
    """How grave a category or a list is; orders the review queue."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


class TextSource(StrEnum):
    """Where a piece of text was found."""

    OCR = "ocr"
    MODEL_TEXT = "model_text"
    QR = "qr"
    CAPTION = "caption"
    SCENE = "scene"


class TermKind(StrEnum):
    """How a line of a list is matched: as words, as a RE2 pattern, or by a matcher that is built in."""

    PLAIN = "plain"
    REGEX = "regex"
    BUILTIN = "builtin"
