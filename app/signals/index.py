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
from app.signals.skeleton import narrow, separates, skeleton_key, skeleton_keys

#: Completing an automaton holds the interpreter's lock: several smaller ones let uploads run in between.
_SHARD_KEYS = 16_384

_LOOSE = frozenset({"simplified", "vertical", "separators", "leet", "repeats", "split", "columns", "reversed"})
_SOUNDS = frozenset({"pinyin", "fuzzy_pinyin", "homophones"})

#: Letters and digits, single spaces between words: nothing in such a term needs a second look.
_WORDS = re.compile(r"[^\W_]+(?: [^\W_]+)*")

PLAIN = TermOptions()

_log = structlog.get_logger(__name__)


class Dictionary:
    """Finds every occurrence of its keys; each stands for the numbers of some entries. Texts and keys are `narrow`."""

    def __init__(self, keys: Mapping[str, Sequence[int]]) -> None:
        items = iter(keys.items())
        self._shards = []
        while shard := list(islice(items, _SHARD_KEYS)):
            automaton = ahocorasick.Automaton()
            for key, numbers in shard:
                automaton.add_word(key, (len(key), tuple(numbers)))
            automaton.make_automaton()
            self._shards.append(automaton)

    def __bool__(self) -> bool:
        return bool(self._shards)

    def find(self, text: str) -> Iterator[tuple[int, int, tuple[int, ...]]]:
        """`[start, end)` in the text, and the entries."""
        for automaton in self._shards:
            for last, (length, numbers) in automaton.iter(text):
                yield last + 1 - length, last + 1, numbers


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
    as_written: dict[str, list[int]] = {}
    skeletons: dict[str, list[int]] = {}
    sounds: dict[str, list[int]] = {}
    loose, by_sound = not _LOOSE.isdisjoint(weights), not _SOUNDS.isdisjoint(weights)
    for number, form in enumerate(folded):
        said = options.get(number, PLAIN)
        if said.kind is not TermKind.PLAIN or not form:
            continue
        disguisable = loose and not said.exact and _can_be_disguised(form)
        if disguisable:
            for key in skeleton_keys(form):
                skeletons.setdefault(key, []).append(number)
        if not disguisable or separates(form[0]) or separates(form[-1]):
            as_written.setdefault(narrow(form), []).append(number)
        if by_sound and not said.exact and number < len(keywords.terms):
            for key in sound_keys(form):
                sounds.setdefault(key, []).append(number)
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


def _can_be_disguised(form: str) -> bool:
    """Whether enough of the term is left in its skeleton to tell it from other text. An emoji is content in a term and
    a separator in a text."""
    if not _WORDS.fullmatch(form) and any(unicodedata.category(character) == "So" for character in form):
        return False
    return len(form) > 1 and _units(skeleton_key(form)) > 1


def _units(narrowed: str) -> int:
    """Characters of a `narrow` text."""
    return len(narrowed.encode("latin-1").decode("utf-8", "surrogatepass"))
