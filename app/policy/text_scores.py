"""What matches of keyword lists are worth: for one list, and for a category over all its lists."""

import math
from collections.abc import Iterable, Sequence

from app.domain import COUNTED_SCORE, KeywordList, KeywordMatch, Severity

#: What a plain match of one term makes of a category's score; further terms add to it as independent evidence would.
_STRENGTH = {Severity.LOW: 0.25, Severity.MEDIUM: 0.5, Severity.HIGH: 0.75, Severity.CRITICAL: 0.95}


def counts(match: KeywordMatch) -> bool:
    """Whether a match is sure enough to be counted; one that is not still has its score."""
    return match.score >= COUNTED_SCORE


def of_list(keywords: KeywordList, matches: Iterable[KeywordMatch]) -> list[KeywordMatch]:
    return [match for match in matches if match.list == keywords.name and match.source in keywords.sources]


def best_score(matches: Iterable[KeywordMatch]) -> float:
    return max((match.score for match in matches), default=0.0)


def highest_severity(keywords: KeywordList, matches: Iterable[KeywordMatch]) -> int:
    """1 (low) to 4 (critical) of the matches that count; 0 where none does."""
    return max((int(match.severity or keywords.severity) for match in matches if counts(match)), default=0)


def category_score(lists: Sequence[KeywordList], matches: Sequence[KeywordMatch]) -> float:
    """1 - (1-a)(1-b)… over the terms found, each by its best match: its score times the strength of its severity. Of
    none it is 0.0: a whole number would be no value of a name that is declared decimal."""
    worth: dict[tuple[str, str], float] = {}
    for keywords in lists:
        for match in of_list(keywords, matches):
            key = (keywords.name, match.term)
            strength = _STRENGTH[match.severity or keywords.severity]
            worth[key] = max(worth.get(key, 0.0), match.score * strength)
    return 1.0 - math.prod((1 - one for _, one in sorted(worth.items())), start=1.0)
