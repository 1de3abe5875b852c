"""Listed terms in text: each list's automata over the views of the lines.

pyahocorasick's `iter_long` drops matches, so `iter` finds every occurrence and the rules of what counts are here.
"""

import secrets
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import cached_property

from app.domain import (
    COUNTED_SCORE,
    KeywordFinding,
    KeywordList,
    KeywordMatch,
    Status,
    TextFinding,
    TextLine,
    TextSource,
)
from app.signals import han
from app.signals.disguise import Found, find
from app.signals.index import PLAIN, ListIndex, build
from app.signals.normalise import NORMALISER
from app.signals.passages import Passage, passages
from app.signals.patterns import MAX_FOUND
from app.signals.scan import Scan

FOLD = "fold"
#: The fold view again, for a match that goes on over a line break.
WRAPPED = "wrapped"
VERTICAL = "vertical"
REGEX = "regex"
BUILTIN = "builtin"

#: A term with fewer characters (spaces aside) is not looked for across line breaks: two characters that happen to end
#: one line and begin the next (水枪|支持) are a word far too often.
MIN_WRAPPED_CHARACTERS = 3

#: Of one source. What is beyond is not matched, and the source counts as failed: what it holds is unknown.
MAX_CHARACTERS = 50_000

#: Of one list in one source. The finding says when there were more.
MAX_MATCHES = 500

#: Through these views an allow phrase is found; looser ones would allow what only resembles it.
_ALLOWING = frozenset({"simplified", "separators", VERTICAL})

#: Lists whose automata are kept besides those of the ruleset in use, so that a rollback does not build them again.
_SPARE_AUTOMATA = 16

#: Rulesets whose lists have a version: those in force, in shadow and just before.
_KNOWN_LISTS = 4


@dataclass(frozen=True, slots=True)
class _Hit:
    """`[start, end)` in the passage's text, and the index of the entry."""

    start: int
    end: int
    number: int
    view: str
    score: float

    @property
    def counts(self) -> bool:
        return self.score >= COUNTED_SCORE


class _Text:
    """One passage with the forms that matching looks at."""

    def __init__(self, passage: Passage) -> None:
        self.passage = passage

    @cached_property
    def scans(self) -> tuple[Scan, ...]:
        return tuple(Scan(view) for view in self.passage.views)

    @cached_property
    def columns(self) -> tuple[Scan, ...]:
        return tuple(Scan(view, columns=True) for view in self.passage.columns)


class AhoCorasickMatcher:
    """Finds every listed term; safe to use from several threads.

    - Where a term's edge is an ASCII letter or digit (after folding), the neighbouring character must not be one:
      `ass` is not in *class*, `vx` is in 加vx. A symbol such as ① or ™ beside a word is no part of it.
    - A term counts only where it begins and ends with whole characters of the original.
    - Of one list, a match inside a longer match is dropped; matches that overlap otherwise both count.
    - Terms that fold alike are one term, named as the first of them.
    - Within an allow phrase no term of its list is found.
    """

    def __init__(self, today: Callable[[], date] = lambda: datetime.now(UTC).date()) -> None:
        self._indexes: OrderedDict[str, ListIndex] = OrderedDict()
        self._lock = threading.Lock()
        self._today = today
        #: The lists asked for last, by who they are: to compare what they hold would take longer than matching.
        self._known: OrderedDict[tuple[int, ...], tuple[tuple[KeywordList, ...], str]] = OrderedDict()

    @property
    def normaliser(self) -> str:
        return f"{NORMALISER} ({han.TABLES})"

    def prepare(self, lists: Sequence[KeywordList]) -> None:
        for keywords in lists:
            self._index(keywords, room_for=len(lists))

    def version(self, lists: Sequence[KeywordList]) -> str:
        """Of matching these lists, today: while it is the same, the same is found in the same text. Lists that were
        read anew have another one, whatever they hold."""
        them = tuple(id(keywords) for keywords in lists)
        with self._lock:
            # That the lists are kept keeps their ids their own.
            _, version = self._known.setdefault(them, (tuple(lists), secrets.token_hex(8)))
            self._known.move_to_end(them)
            if len(self._known) > _KNOWN_LISTS:
                self._known.popitem(last=False)
        return f"{version} {self._today()}"

    def match(self, lists: Sequence[KeywordList], texts: Mapping[TextSource, TextFinding]) -> KeywordFinding:
        """Matches in reading order, by source. Every source in `texts` should have been read, and its status is
        carried; what a failed source did yield is matched all the same."""
        wanted = {source for keywords in lists for source in keywords.sources}
        sources = {source: finding.status for source, finding in texts.items()}
        matches: list[KeywordMatch] = []
        cut: set[str] = set()
        for source, finding in texts.items():
            if source not in wanted:
                continue
            bounded = _bounded(finding)
            if bounded is not finding and finding.status is Status.OK:
                sources[source] = Status.FAILED
            read = [_Text(passage) for passage in passages(bounded)]
            for keywords in lists:
                if source in keywords.sources:
                    index = self._index(keywords, room_for=len(lists))
                    found, complete = _matches(index, source, bounded.lines, read, self._today())
                    matches += found
                    if not complete:
                        cut.add(keywords.name)
        ordered = tuple(sorted(matches, key=_reading_order))
        return KeywordFinding(sources=sources, matches=ordered, cut=tuple(sorted(cut)))

    def _index(self, keywords: KeywordList, *, room_for: int) -> ListIndex:
        """The list's index, built at most once while it is among the recently used. Compares the list too: a digest
        that was reused for other terms must never answer for them, and two files with the same bytes have two names."""
        with self._lock:
            kept = self._indexes.get(keywords.digest)
            if kept is not None and _same(kept.keywords, keywords):
                self._indexes.move_to_end(keywords.digest)
                return replace(kept, keywords=keywords)
        built = build(keywords)
        with self._lock:
            self._indexes[keywords.digest] = built
            self._indexes.move_to_end(keywords.digest)
            while len(self._indexes) > room_for + _SPARE_AUTOMATA:
                self._indexes.popitem(last=False)
        return built


def _same(kept: KeywordList, keywords: KeywordList) -> bool:
    """Whether an index of one serves the other."""
    if kept is keywords:
        return True
    terms = kept.terms is keywords.terms or kept.terms == keywords.terms
    return terms and (kept.options, kept.allow, kept.views) == (keywords.options, keywords.allow, keywords.views)


def _bounded(finding: TextFinding) -> TextFinding:
    """The finding, or as many of its lines as are matched."""
    if sum(len(line.text) for line in finding.lines) <= MAX_CHARACTERS:
        return finding
    room, lines = MAX_CHARACTERS, list[TextLine]()
    for line in finding.lines:
        lines.append(line if len(line.text) <= room else line.model_copy(update={"text": line.text[:room]}))
        room -= len(lines[-1].text)
        if room == 0:
            break
    return finding.model_copy(update={"lines": tuple(lines)})


def _matches(
    index: ListIndex, source: TextSource, lines: Sequence[TextLine], read: Iterable[_Text], today: date
) -> tuple[list[KeywordMatch], bool]:
    """Of one list in one source, the first so many, and whether those are all."""
    matches: list[KeywordMatch] = []
    complete = True
    for text in read:
        expired = {number for number, until in index.expiring.items() if until < today}
        hits = [hit for hit in _hits(index, text) if hit.number not in expired]
        complete = complete and _all_were_found(hits)
        for hit in _counting(index, hits):
            if len(matches) == MAX_MATCHES:
                return matches, False
            matches.append(_match(index, source, lines, text.passage, hit))
    return matches, complete


def _all_were_found(hits: Iterable[_Hit]) -> bool:
    """Whether no pattern and no built-in matcher stopped at its bound."""
    found = Counter(hit.number for hit in hits if hit.view in (REGEX, BUILTIN))
    return all(count < MAX_FOUND for count in found.values())


def _match(
    index: ListIndex, source: TextSource, lines: Sequence[TextLine], passage: Passage, hit: _Hit
) -> KeywordMatch:
    keywords, said = index.keywords, index.options.get(hit.number, PLAIN)
    place = passage.locate(hit.start, hit.end)
    line = lines[place.line]
    term, matched = keywords.terms[hit.number], line.text[place.start : place.end]
    if hit.view == BUILTIN:
        matched = dict(index.builtins)[hit.number].mask(matched)
    return KeywordMatch(
        list=keywords.name,
        category=keywords.category,
        term=term,
        matched=matched,
        source=source,
        span=(place.start, place.end),
        line=place.line,
        view=WRAPPED if place.wrapped and hit.view == FOLD else hit.view,
        frame=line.frame,
        box=line.box,
        score=round(hit.score, 4),
        severity=said.severity or keywords.severity,
    )


def _hits(index: ListIndex, text: _Text) -> Iterator[_Hit]:
    for scan in text.scans:
        for found in find(index, scan):
            if (hit := _hit(index, text.passage, scan, found)) is not None:
                yield hit
    if "columns" in index.weights:
        for scan in text.columns:
            for found in find(index, scan):
                start, end = scan.view.span(found.start, found.start + 1)
                yield _Hit(start, end, found.number, "+".join(found.views), found.score)
    yield from _patterns(index, text)


def _hit(index: ListIndex, passage: Passage, scan: Scan, found: Found) -> _Hit | None:
    """The match in the passage, unless a line break is part of what makes it one and must not be."""
    start, end = scan.view.span(found.start, found.end)
    view, score = "+".join(found.views) or FOLD, found.score
    if not passage.crosses_break(start, end):
        return _Hit(start, end, found.number, view, score)
    characters = len(index.folded[found.number].replace(" ", ""))
    if passage.is_vertical(start, end, characters=characters) and set(found.views) <= {"separators"}:
        weight = index.weights.get(VERTICAL)
        if weight is not None:
            return _Hit(start, end, found.number, VERTICAL, weight)
    if characters < MIN_WRAPPED_CHARACTERS:
        return None
    return _Hit(start, end, found.number, view, score)


def _patterns(index: ListIndex, text: _Text) -> Iterator[_Hit]:
    if not index.patterns and not index.builtins:
        return
    view = text.passage.views[0]
    for number, pattern in index.patterns:
        for start, end in pattern.find(view.text):
            yield _Hit(*view.span(start, end), number, REGEX, 1.0)
    for number, builtin in index.builtins:
        for start, end in builtin.find(view.text, index.allowed_values):
            yield _Hit(*view.span(start, end), number, BUILTIN, 1.0)


def _counting(index: ListIndex, hits: Iterable[_Hit]) -> Iterator[_Hit]:
    """The hits that lie in no other and in no allow phrase, in order; of several over the same text the best, of
    equals the first listed. What does not count hides nothing that does."""
    reached = reached_by_counted = reached_by_allowed = -1
    for hit in sorted(set(hits), key=lambda hit: _precedence(index, hit)):
        if index.is_allow(hit.number):
            if hit.counts and (hit.view == FOLD or _ALLOWING.issuperset(hit.view.split("+"))):
                reached_by_allowed = max(reached_by_allowed, hit.end)
            continue
        if hit.end <= max(reached_by_allowed, reached_by_counted if hit.counts else reached):
            continue
        reached = max(reached, hit.end)
        if hit.counts:
            reached_by_counted = max(reached_by_counted, hit.end)
        yield hit


def _precedence(index: ListIndex, hit: _Hit) -> tuple[int, bool, int, float, int, str]:
    """What begins first; of that, allow phrases; of that, the longest, the best and the first listed."""
    return hit.start, not index.is_allow(hit.number), -hit.end, -hit.score, hit.number, hit.view


_SOURCE_ORDER = {source: number for number, source in enumerate(TextSource)}


def _reading_order(match: KeywordMatch) -> tuple[int, int, int, int, str, str]:
    start, end = match.span
    return _SOURCE_ORDER[match.source], match.line, start, -end, match.list, match.term
