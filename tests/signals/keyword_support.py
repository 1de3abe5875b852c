"""Lists and texts for the keyword tests."""

import hashlib
from collections.abc import Sequence

from app.domain import KeywordFinding, KeywordList, Severity, Status, TextFinding, TextLine, TextSource
from app.signals.keywords import AhoCorasickMatcher

SOURCES = frozenset({TextSource.OCR, TextSource.MODEL_TEXT, TextSource.CAPTION})


def keyword_list(*terms: str, name: str = "contraband", sources: frozenset[TextSource] = SOURCES) -> KeywordList:
    digest = hashlib.sha256("\n".join(terms).encode()).hexdigest()
    return KeywordList(name, "contraband", Severity.HIGH, ("en",), sources, False, terms, f"sha256:{digest}")


def text_of(*lines: str, status: Status = Status.OK) -> TextFinding:
    reason = None if status is Status.OK else "the reader died"
    return TextFinding(status=status, reason=reason, lines=tuple(TextLine(text=line) for line in lines))


def find(terms: Sequence[str], *lines: str) -> KeywordFinding:
    """The terms as one list over the lines as read by OCR."""
    return AhoCorasickMatcher().match([keyword_list(*terms)], {TextSource.OCR: text_of(*lines)})


def found(terms: Sequence[str], *lines: str) -> list[str]:
    return [match.term for match in find(terms, *lines).matches]
