"""Lists and texts for the keyword tests."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from app.domain import (
    COUNTED_SCORE,
    DEFAULT_VIEWS,
    KeywordFinding,
    KeywordList,
    KeywordMatch,
    Severity,
    Status,
    TextFinding,
    TextLine,
    TextSource,
)
from app.signals.keywords import AhoCorasickMatcher

Views = tuple[tuple[str, float], ...]

#: Of a list that wants its terms as they are written, width, case, marks and look-alikes aside.
FOLD_ONLY: Views = (("fold", 1.0),)

SOURCES = frozenset({TextSource.OCR, TextSource.MODEL_TEXT, TextSource.CAPTION})


def keyword_list(*terms: str, name: str = "contraband", sources: frozenset[TextSource] = SOURCES) -> KeywordList:
    digest = hashlib.sha256("\n".join(terms).encode()).hexdigest()
    return KeywordList(name, "contraband", Severity.HIGH, ("en",), sources, False, terms, f"sha256:{digest}")


def text_of(*lines: str, status: Status = Status.OK) -> TextFinding:
    reason = None if status is Status.OK else "the reader died"
    return TextFinding(status=status, reason=reason, lines=tuple(TextLine(text=line) for line in lines))


def find(terms: Sequence[str], *lines: str, views: Views = DEFAULT_VIEWS) -> KeywordFinding:
    """The terms as one list over the lines as read by OCR."""
    keywords = replace(keyword_list(*terms), views=views)
    return AhoCorasickMatcher().match([keywords], {TextSource.OCR: text_of(*lines)})


def counted(finding: KeywordFinding) -> list[KeywordMatch]:
    return [match for match in finding.matches if match.score >= COUNTED_SCORE]


def found(terms: Sequence[str], *lines: str, views: Views = DEFAULT_VIEWS) -> list[str]:
    """The terms of the matches that count."""
    return [match.term for match in counted(find(terms, *lines, views=views))]
