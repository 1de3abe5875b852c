"""Listed terms in text: one Aho-Corasick automaton a list, over the `fold` view of the lines.

pyahocorasick's `iter_long` drops matches, so `iter` finds every occurrence and the rules of what counts are here.
"""

import threading
from array import array
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import ahocorasick
import structlog

from app.domain import KeywordFinding, KeywordList, KeywordMatch, TextFinding, TextSource
from app.signals.normalise import NORMALISER, View, fold_term
from app.signals.passages import Passage, passages

FOLD = "fold"
#: The fold view again, for a match that goes on over a line break.
WRAPPED = "wrapped"

#: A term with fewer characters (spaces aside) is not looked for across line breaks: two characters that happen to end
#: one line and begin the next (水枪|支持) are a word far too often.
MIN_WRAPPED_CHARACTERS = 3

#: Lists whose automata are kept besides those of the ruleset in use, so that a rollback does not build them again.
_SPARE_AUTOMATA = 16

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Index:
    """A list ready to match. The automaton's values are indexes into `terms`; `lengths` are of the folded terms."""

    terms: tuple[str, ...]
    lengths: Sequence[int]
    automaton: ahocorasick.Automaton | None


@dataclass(frozen=True, slots=True)
class _Hit:
    """`[start, end)` in the passage's text, and the index of the term."""

    start: int
    end: int
    term: int


class AhoCorasickMatcher:
    """Finds every listed term; safe to use from several threads.

    - Where a term's edge is an ASCII letter or digit (after folding), the neighbouring character must not be one:
      `ass` is not in *class*, `vx` is in 加vx. A symbol such as ① or ™ beside a word is no part of it.
    - A term counts only where it begins and ends with whole characters of the original.
    - Of one list, a match inside a longer match is dropped; matches that overlap otherwise both count.
    - Terms that fold alike are one term, named as the first of them.
    """

    def __init__(self) -> None:
        self._indexes: OrderedDict[str, _Index] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def normaliser(self) -> str:
        return NORMALISER

    def prepare(self, lists: Sequence[KeywordList]) -> None:
        for keywords in lists:
            self._index(keywords, room_for=len(lists))

    def match(self, lists: Sequence[KeywordList], texts: Mapping[TextSource, TextFinding]) -> KeywordFinding:
        """Matches in reading order, by source. Every source in `texts` should have been read, and its status is
        carried; what a failed source did yield is matched all the same."""
        wanted = {source for keywords in lists for source in keywords.sources}
        read = {source: tuple(passages(finding)) for source, finding in texts.items() if source in wanted}
        matches = [
            match
            for keywords in lists
            for source, of_source in read.items()
            if source in keywords.sources
            for match in self._matches(keywords, source, texts[source], of_source, room_for=len(lists))
        ]
        return KeywordFinding(
            sources={source: finding.status for source, finding in texts.items()},
            matches=tuple(sorted(matches, key=_reading_order)),
        )

    def _matches(
        self,
        keywords: KeywordList,
        source: TextSource,
        finding: TextFinding,
        of_source: tuple[Passage, ...],
        *,
        room_for: int,
    ) -> Iterator[KeywordMatch]:
        index = self._index(keywords, room_for=room_for)
        for passage in of_source:
            hits = {hit for view in passage.views for hit in _hits(index, passage, view)}
            for hit in _outermost(hits):
                place = passage.locate(hit.start, hit.end)
                line = finding.lines[place.line]
                yield KeywordMatch(
                    list=keywords.name,
                    category=keywords.category,
                    term=index.terms[hit.term],
                    matched=line.text[place.start : place.end],
                    source=source,
                    span=(place.start, place.end),
                    line=place.line,
                    view=WRAPPED if place.wrapped else FOLD,
                    frame=line.frame,
                    box=line.box,
                )

    def _index(self, keywords: KeywordList, *, room_for: int) -> _Index:
        """The list's index, built at most once while it is among the recently used. Compares the terms too: a digest
        that was reused for other terms must never answer for them."""
        with self._lock:
            kept = self._indexes.get(keywords.digest)
            if kept is not None and (kept.terms is keywords.terms or kept.terms == keywords.terms):
                self._indexes.move_to_end(keywords.digest)
                return kept
        built = _build(keywords)
        with self._lock:
            self._indexes[keywords.digest] = built
            self._indexes.move_to_end(keywords.digest)
            while len(self._indexes) > room_for + _SPARE_AUTOMATA:
                self._indexes.popitem(last=False)
        return built


def _build(keywords: KeywordList) -> _Index:
    automaton = ahocorasick.Automaton()
    lengths = array("I")
    for number, term in enumerate(keywords.terms):
        folded = fold_term(term)
        lengths.append(len(folded))
        if folded and not automaton.exists(folded):
            automaton.add_word(folded, number)
    automaton.make_automaton()
    _log.debug("keyword list indexed", action="keywords_indexed", list=keywords.name, terms=len(automaton))
    return _Index(keywords.terms, lengths, automaton if len(automaton) else None)


def _hits(index: _Index, passage: Passage, view: View) -> Iterator[_Hit]:
    if index.automaton is None:
        return
    for last, term in index.automaton.iter(view.text):
        start, end = last + 1 - index.lengths[term], last + 1
        if not (view.aligned(start, end) and _bounded(view, start, end)):
            continue
        hit = _Hit(*view.span(start, end), term)
        characters = end - start - view.text.count(" ", start, end)
        if characters < MIN_WRAPPED_CHARACTERS and passage.crosses_break(hit.start, hit.end):
            continue
        yield hit


def _bounded(view: View, start: int, end: int) -> bool:
    """Whether neither edge is in the middle of an ASCII word."""
    before = start > 0 and _one_word(view, start - 1, start)
    after = end < len(view.text) and _one_word(view, end - 1, end)
    return not (before or after)


def _one_word(view: View, left: int, right: int) -> bool:
    if not (_ascii_alphanumeric(view.text[left]) and _ascii_alphanumeric(view.text[right])):
        return False
    return (left in view.enclosed) == (right in view.enclosed)


def _ascii_alphanumeric(character: str) -> bool:
    return character.isascii() and character.isalnum()


def _outermost(hits: set[_Hit]) -> Iterator[_Hit]:
    """The hits that lie in no other, in order; of several over the same text, the first listed term."""
    reached = -1
    for hit in sorted(hits, key=lambda hit: (hit.start, -hit.end, hit.term)):
        if hit.end > reached:
            reached = hit.end
            yield hit


_SOURCE_ORDER = {source: number for number, source in enumerate(TextSource)}


def _reading_order(match: KeywordMatch) -> tuple[int, int, int, int, str, str]:
    start, end = match.span
    return _SOURCE_ORDER[match.source], match.line, start, -end, match.list, match.term
