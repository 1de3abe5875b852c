"""A keyword list made ready to match: automata over the forms of its terms."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from itertools import islice

import ahocorasick
import structlog

from app.domain import KeywordList, TermKind, TermOptions
from app.signals.builtins import BUILTINS, Builtin
from app.signals.explain import Token, tokens
from app.signals.normalise import fold_term
from app.signals.patterns import Pattern, compile_pattern
from app.signals.pinyin import sound_keys
from app.signals.skeleton import narrow, separates, skeleton_keys

#: Completing an automaton holds the interpreter's lock: several smaller ones let uploads run in between.
_SHARD_KEYS = 16_384

#: More entries than a list can have: an entry's number and its key's length are kept in one integer.
_NUMBERS = 1 << 32

_LOOSE = frozenset({"simplified", "vertical", "separators", "leet", "repeats", "split", "columns", "reversed"})
_SOUNDS = frozenset({"pinyin", "fuzzy_pinyin", "homophones"})

#: Letters and digits, single spaces between words: nothing in such a term needs a second look.
_WORDS = re.compile(r"[^\W_]+(?: [^\W_]+)*")

PLAIN = TermOptions()

_log = structlog.get_logger(__name__)


class Keys:
    """Keys with the numbers of the entries that each stands for. Most stand for one: no list is kept for those."""

    def __init__(self) -> None:
        self.single: dict[str, int] = {}
        self.several: dict[str, list[int]] = {}

    def add(self, key: str, number: int) -> None:
        first = self.single.setdefault(key, number)
        if first != number:
            self.several.setdefault(key, [first]).append(number)


class Dictionary:
    """Finds every occurrence of its keys; each stands for the numbers of some entries. Texts and keys are `narrow`."""

    def __init__(self, keys: Keys) -> None:
        self._several = keys.several
        items = iter(keys.single.items())
        self._shards = []
        while shard := list(islice(items, _SHARD_KEYS)):
            automaton = ahocorasick.Automaton()
            for key, number in shard:
                automaton.add_word(key, len(key) * _NUMBERS + number)
            automaton.make_automaton()
            self._shards.append(automaton)

    def __bool__(self) -> bool:
        return bool(self._shards)

    def find(self, text: str) -> Iterator[tuple[int, int, Sequence[int]]]:
        """`[start, end)` in the text, and the entries."""
        for automaton in self._shards:
            for last, value in automaton.iter(text):
                length, number = divmod(value, _NUMBERS)
                start = last + 1 - length
                yield start, last + 1, self._several.get(text[start : last + 1]) or (number,)


@dataclass(frozen=True, slots=True)
class ListIndex:
    """Entries are the list's terms by their index, then its allow phrases.

    `folded` has each entry's folded form. `as_written` finds the forms themselves, for entries that no looser view
    may find; `skeletons` and `sounds` find candidates of the others.
    """

    keywords: KeywordList
    folded: Sequence[str]
    options: Mapping[int, TermOptions]
    expiring: Mapping[int, date]
    weights: Mapping[str, float]
    as_written: Dictionary
    skeletons: Dictionary
    sounds: Dictionary
    patterns: tuple[tuple[int, Pattern], ...] = ()
    builtins: tuple[tuple[int, Builtin], ...] = ()
    allowed_values: frozenset[str] = field(default=frozenset())

    def is_allow(self, number: int) -> bool:
        return number >= len(self.keywords.terms)


def build(keywords: KeywordList) -> ListIndex:
    options = dict(keywords.options)
    entries = [*keywords.terms, *keywords.allow]
    folded = [fold_term(entry) for entry in entries]
    weights = dict(keywords.views)
    as_written, skeletons, sounds = Keys(), Keys(), Keys()
    loose, by_sound = not _LOOSE.isdisjoint(weights), not _SOUNDS.isdisjoint(weights)
    for number, form in enumerate(folded):
        said = options.get(number, PLAIN)
        if said.kind is not TermKind.PLAIN or not form:
            continue
        keys = skeleton_keys(form) if loose and not said.exact and not _is_emoji(form) else set()
        disguisable = len(form) > 1 and all(_units(key) > 1 for key in keys) and bool(keys)
        if disguisable:
            for key in keys:
                skeletons.add(key, number)
        if not disguisable or separates(form[0]) or separates(form[-1]):
            as_written.add(narrow(form), number)
        if by_sound and not said.exact and number < len(keywords.terms):
            for key in sound_keys(form):
                sounds.add(key, number)
    index = ListIndex(
        keywords=keywords,
        folded=folded,
        options=options,
        expiring={number: said.until for number, said in options.items() if said.until is not None},
        weights=weights,
        as_written=Dictionary(as_written),
        skeletons=Dictionary(skeletons),
        sounds=Dictionary(sounds),
        patterns=tuple(
            (number, compile_pattern(keywords.terms[number]))
            for number, said in options.items()
            if said.kind is TermKind.REGEX
        ),
        builtins=tuple(
            (number, BUILTINS[keywords.terms[number]])
            for number, said in options.items()
            if said.kind is TermKind.BUILTIN
        ),
        allowed_values=frozenset(folded[len(keywords.terms) :]),
    )
    _log.debug("keyword list indexed", action="keywords_indexed", list=keywords.name, terms=len(keywords.terms))
    return index


@lru_cache(maxsize=8192)
def term_tokens(form: str, signs: bool) -> tuple[Token, ...]:
    return tuple(tokens(form, signs=signs))


def _is_emoji(form: str) -> bool:
    """Whether there is an emoji in a term: it is content there, and a separator in a text."""
    return not _WORDS.fullmatch(form) and any(unicodedata.category(character) == "So" for character in form)


def _units(narrowed: str) -> int:
    """Characters of a `narrow` text."""
    return len(narrowed) if narrowed.isascii() else len(narrowed.encode("latin-1").decode("utf-8", "surrogatepass"))
