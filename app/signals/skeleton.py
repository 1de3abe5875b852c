"""The skeleton of a text: what is left of it when everything that the looser views forgive is taken away.

Separators are gone, leet digits and look-alike letters are one class, traditional characters are simplified, split
characters are their parts, and what follows upon itself stands once. A disguised term has the skeleton of the term, so
that one automaton finds the candidates of all these views; `app.signals.explain` then says which views, if any, it
really takes to read the term there.
"""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from app.signals.han import simplified
from app.signals.splits import parts_of

#: The letters that a digit or sign stands for.
LEET: Mapping[str, str] = {
    **{"0": "o", "1": "il", "2": "z", "3": "e", "4": "a", "5": "s", "6": "g", "7": "t", "8": "b", "9": "g"},
    **{"@": "a", "$": "s", "!": "il", "|": "il", "+": "t", "€": "e", "¢": "c", "¥": "y"},
}

#: Those that separate where they do not stand for a letter: a text with them has two skeletons.
LEET_SIGNS = frozenset(sign for sign in LEET if not sign.isdigit())

_CLASSES = {**{sign: letters[0] for sign, letters in LEET.items()}, "l": "i"}

#: Bounds the memory that hostile text can make the cache take; a page of Chinese uses under 2,000.
_CACHED_CHARACTERS = 16_384


@dataclass(frozen=True, slots=True)
class Skeleton:
    """`key` is in the bytes of UTF-8, one character a byte: the automata stay narrow at every step, which makes them
    many times faster than over Chinese characters.

    Byte `i` of `key` belongs to unit `unit_of[i]`; unit `u` stands for the characters from `first[u]` to `last[u]`
    that are of one class.
    """

    key: str
    unit_of: list[int]
    first: list[int]
    last: list[int]


def skeleton(characters: Iterable[str], *, signs: bool = False) -> Skeleton:
    """Of folded characters. `signs`: `$` and its like stand for letters instead of separating."""
    units: list[str] = []
    unit_of: list[int] = []
    first: list[int] = []
    last: list[int] = []
    previous = ""
    for at, character in enumerate(characters):
        for unit in _units(character, signs):
            if unit == previous:
                last[-1] = at
                continue
            previous = unit
            unit_of += [len(units)] * len(unit)
            units.append(unit)
            first.append(at)
            last.append(at)
    return Skeleton("".join(units), unit_of, first, last)


def skeleton_keys(folded: str) -> set[str]:
    """The keys under which a folded term is looked up."""
    keys = {skeleton_key(folded)}
    if not LEET_SIGNS.isdisjoint(folded):
        keys.add(skeleton_key(folded, signs=True))
    return keys


def skeleton_key(folded: str, *, signs: bool = False) -> str:
    """`skeleton(folded).key`, without its positions."""
    units: list[str] = []
    previous = ""
    for character in folded:
        for unit in _units(character, signs):
            if unit != previous:
                units.append(unit)
                previous = unit
    return "".join(units)


def narrow(text: str) -> str:
    """The bytes of UTF-8, one character a byte."""
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


def separates(character: str, *, signs: bool = False) -> bool:
    """Whether a folded character is no part of a word: neither letter nor digit nor part of a Chinese character."""
    return not _units(character, signs)


@lru_cache(maxsize=_CACHED_CHARACTERS)
def _units(character: str, signs: bool) -> tuple[str, ...]:
    if character in _CLASSES and (signs or character not in LEET_SIGNS):
        return (_CLASSES[character],)
    parts = parts_of(simplified().get(character, character))
    return tuple(narrow(part) for part in parts if unicodedata.category(part)[0] in "LN" or _is_radical(part))


def _is_radical(character: str) -> bool:
    """Radicals such as ⺅ are symbols by category."""
    return "\u2e80" <= character <= "\u2fdf"
