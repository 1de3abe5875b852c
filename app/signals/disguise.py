"""Where the terms of a list stand in one view of a text, in disguise or not."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from app.domain import VIEWS
from app.signals.explain import Explanation, Token, explain
from app.signals.index import PLAIN, ListIndex, term_tokens
from app.signals.pinyin import LONGEST_SYLLABLE, is_pinyin, spell
from app.signals.scan import Scan, joins_word, touches_word
from app.signals.skeleton import Skeleton, separates

#: A disguised term needs this many letters, or two where they are Chinese.
_MIN_LETTERS = 3
_MIN_HAN = 2

#: Backwards, shorter words are too often other words: live and evil.
_MIN_BACKWARDS_LETTERS = 5
_MIN_BACKWARDS_HAN = 3

#: Letters with signs between them may be part of a longer word so spread, unless they are at least this many.
_SURE_SPREAD = 5

#: Words run together are not in the middle of another word if they are at least this long in all.
_SURE_JOINED = 10

#: What a match by a doubtful reading is worth beside a plain one.
_DOUBTFUL = 0.45

#: Ways to cut a stretched letter at an edge of a match that are tried.
_MAX_CUTS = 12

#: Letters beside a match by sound that are looked at.
_NEAR = 24

_ORDER = {view: at for at, view in enumerate(VIEWS)}


@dataclass(frozen=True, slots=True)
class Found:
    """`[start, end)` of a view, the entry, and how it was read. `views` is empty for the fold view alone."""

    start: int
    end: int
    number: int
    views: tuple[str, ...] = ()
    score: float = 1.0


def find(index: ListIndex, scan: Scan) -> Iterator[Found]:
    if index.as_written:
        yield from _as_written(index, scan)
    if index.skeletons:
        yield from _disguised(index, scan, scan.skeleton)
        if scan.with_signs is not None and "leet" in index.weights:
            yield from _disguised(index, scan, scan.with_signs, signs=True)
        if "reversed" in index.weights and not scan.columns:
            yield from _backwards(index, scan)
    if index.sounds and not scan.columns and (scan.has_letters or "homophones" in index.weights):
        yield from _by_sound(index, scan)


def _as_written(index: ListIndex, scan: Scan) -> Iterator[Found]:
    places = scan.narrow_to_index
    for first, last, numbers in index.as_written.find(scan.narrow):
        for number in numbers:
            place = _Place(index, scan, places[first], places[last - 1] + 1, number)
            if place.stands():
                yield place.found(scan.order)


def _disguised(index: ListIndex, scan: Scan, form: Skeleton, *, signs: bool = False) -> Iterator[Found]:
    for first, last, numbers in index.skeletons.find(form.key):
        cuts = _cuts(scan.text, form, form.unit_of[first], form.unit_of[last - 1], signs=signs)
        for number in numbers:
            for start, end in cuts:
                found = _Place(index, scan, start, end, number).read(signs=signs)
                if found is not None:
                    yield found
                    break


def _cuts(text: str, form: Skeleton, first: int, last: int, *, signs: bool = False) -> list[tuple[int, int]]:
    """The places that the units from `first` to `last` may stand for, the shortest first: more than one where a
    letter at an edge follows upon itself."""
    starts = _members(text, form, first, signs=signs)[::-1]
    ends = _members(text, form, last, signs=signs)
    if len(starts) == len(ends) == 1:
        return [(starts[0], ends[0] + 1)]
    every = [(start, end + 1) for start in starts for end in ends if start <= end]
    shortest = sorted(every, key=lambda cut: cut[1] - cut[0])
    return shortest if len(shortest) <= _MAX_CUTS else [*shortest[: _MAX_CUTS - 1], shortest[-1]]


def _members(text: str, form: Skeleton, unit: int, *, signs: bool) -> list[int]:
    first, last = form.first[unit], form.last[unit]
    if first == last:
        return [first]
    every = [at for at in range(first, last + 1) if not separates(text[at], signs=signs)]
    return every if len(every) <= _MAX_CUTS else [*every[: _MAX_CUTS // 2], *every[-_MAX_CUTS // 2 :]]


def _backwards(index: ListIndex, scan: Scan) -> Iterator[Found]:
    form, text, size = scan.backwards, scan.text[::-1], len(scan.text)
    for first, last, numbers in index.skeletons.find(form.key):
        cuts = _cuts(text, form, form.unit_of[first], form.unit_of[last - 1])
        for number in numbers:
            for start, end in cuts:
                found = _Place(index, scan, size - end, size - start, number).read_backwards()
                if found is not None:
                    yield found
                    break


def _by_sound(index: ListIndex, scan: Scan) -> Iterator[Found]:
    form = scan.sounds
    for first, last, numbers in index.sounds.find(form.key):
        start = form.first[first]
        text = scan.tokens(start, form.last[last - 1] + 1)
        for number in numbers:
            spelling = spell(text, term_tokens(index.folded[number], False))
            if spelling is None or spelling.view not in index.weights:
                continue
            taken = text[: spelling.taken]
            end = start + sum(len(token.signs) + 1 for token in taken)
            place = _Place(index, scan, start, end, number)
            if _within_pinyin(scan.text, start, end) and place.stands(edges=False):
                yield place.found((spelling.view,), spelling.doubt)


@dataclass(frozen=True, slots=True)
class _Place:
    """`[start, end)` of the scan's text, where an entry may stand."""

    index: ListIndex
    scan: Scan
    start: int
    end: int
    number: int

    @property
    def form(self) -> str:
        return self.index.folded[self.number]

    def found(self, views: Iterable[str], doubt: float = 1.0) -> Found:
        named = tuple(sorted(views, key=lambda view: _ORDER[view]))
        weight = math.prod(self.index.weights.get(view, 0.0) for view in named)
        return Found(self.start, self.end, self.number, named, weight * doubt)

    def read(self, *, signs: bool) -> Found | None:
        if self.scan.text[self.start : self.end] == self.form:
            return self.found(self.scan.order) if self.stands() else None
        text = self.scan.tokens(self.start, self.end, signs=signs)
        return self._explained(explain(text, term_tokens(self.form, signs)), self.scan.order)

    def read_backwards(self) -> Found | None:
        term = term_tokens(self.form, False)
        if len(term) < (_MIN_BACKWARDS_LETTERS if _latin(term) else _MIN_BACKWARDS_HAN):
            return None
        text = term_tokens(self.scan.text[self.start : self.end][::-1], False)
        return self._explained(explain(text, term), ("reversed",))

    def stands(self, read: Explanation | None = None, *, edges: bool = True) -> bool:
        """Whether the place begins and ends with whole characters and, as the term asks, whole words."""
        view = self.scan.view
        if not view.aligned(self.start, self.end):
            return False
        said = self.index.options.get(self.number, PLAIN)
        if said.word and touches_word(view, self.start, self.end):
            return False
        if said.inside or not edges:
            return True
        letters = 0 if read is None else len(term_tokens(self.form, False))
        if read is not None and read.joined and letters >= _SURE_JOINED:
            return True
        if joins_word(view, self.start, self.end):
            return False
        return read is None or not read.spread or letters >= _SURE_SPREAD or not self._spreads_on(read.spread)

    def _explained(self, read: Explanation | None, order: tuple[str, ...]) -> Found | None:
        if read is None or not self.stands(read):
            return None
        views = {*read.views, *order}
        if separates(self.form[0]) or separates(self.form[-1]):
            views.add("separators")
        term = term_tokens(self.form, False)
        if not views <= self.index.weights.keys() or len(term) < (_MIN_LETTERS if _latin(term) else _MIN_HAN):
            return None
        chance = read.pair and touches_word(self.scan.view, self.start, self.end)
        return self.found(views, _DOUBTFUL if chance else read.doubt)

    def _spreads_on(self, sign: str) -> bool:
        """Whether the letters before or after are spread in the same way: `c l a s s` is no *ass*."""
        text, start, end = self.scan.text, self.start, self.end
        before = start > 1 and text[start - 1] == sign and _lone(text, start - 2)
        return before or (end + 1 < len(text) and text[end] == sign and _lone(text, end + 1))


def _within_pinyin(text: str, start: int, end: int) -> bool:
    """Whether letters that adjoin the match are syllables too: in plain words they would not be. Only the nearest are
    looked at; where there are more, the farthest of these may be in the middle of a syllable."""
    left, right = start, end
    while left > 0 and start - left < _NEAR and _letter(text[left - 1]) and _letter(text[start]):
        left -= 1
    while right < len(text) and right - end < _NEAR and _letter(text[right]) and _letter(text[end - 1]):
        right += 1
    before, after = text[left:start], text[end:right]
    torn = range(LONGEST_SYLLABLE)
    return any(is_pinyin(before[cut:]) for cut in (torn if len(before) == _NEAR else (0,))) and any(
        is_pinyin(after[: len(after) - cut]) for cut in (torn if len(after) == _NEAR else (0,))
    )


def _letter(character: str) -> bool:
    return "a" <= character <= "z"


def _lone(text: str, at: int) -> bool:
    if not (text[at].isascii() and text[at].isalnum()):
        return False
    left = at > 0 and text[at - 1].isalnum()
    return not left and not (at + 1 < len(text) and text[at + 1].isalnum())


def _latin(term: Sequence[Token]) -> bool:
    return all(token.character.isascii() for token in term)
