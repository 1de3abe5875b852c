"""The skeleton of a text: what is left of it when everything that the looser views forgive is taken away.

Separators are gone, leet digits and look-alike letters are one class, traditional characters are simplified, split
characters are their parts, and what follows upon itself stands once. A disguised term has the skeleton of the term, so
that one automaton finds the candidates of all these views; `app.signals.explain` then says which views, if any, it
really takes to read the term there.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from app.signals.han import simplified
from app.signals.splits import parts_of

#: The letters that a digit or sign stands for.
LEET: Mapping[str, str] = {
    **{"0": "o", "1": "il", "2": "z", "3": "e", "4": "a", "5": "s", "6": "g", "7": "t", "8": "b", "9": "g"},
    **{"@": "a", "$": "s", "!": "il", "|": "il", "+": "t", "€": "e", "¢": "c", "¥": "y"},
}

#: Those that separate where they do not stand for a letter: a text with them has two skeletons.
LEET_SIGNS = frozenset(sign for sign in LEET if not sign.isdigit())

_FOLLOWS = re.compile(r"(.)\1+", re.DOTALL)

_CLASSES = {**{sign: letters[0] for sign, letters in LEET.items()}, "l": "i"}

#: What becomes of each ASCII character; a term of nothing else needs no more than this table.
_ASCII = {
    point: "" if chr(point) in LEET_SIGNS or not chr(point).isalnum() else _CLASSES.get(chr(point), chr(point))
    for point in range(128)
}

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
    previous: tuple[str, ...] = ()
    for at, character in enumerate(characters):
        own = _units(character, signs)
        if not own:
            continue
        if own == previous:
            last[-len(own) :] = [at] * len(own)
            continue
        for unit in own:
            if previous and unit == previous[-1]:
                last[-1] = at
            else:
                unit_of += [len(units)] * len(unit)
                units.append(unit)
                first.append(at)
                last.append(at)
            previous = (unit,)
        previous = own
    return Skeleton("".join(units), unit_of, first, last)


def skeleton_keys(folded: str) -> set[str]:
    """The keys under which a folded term is looked up."""
    if folded.isascii():
        keys = {_FOLLOWS.sub(r"\1", folded.translate(_ASCII))}
        if not LEET_SIGNS.isdisjoint(folded):
            keys.add(skeleton_key(folded, signs=True))
        return keys
    keys = {skeleton_key(folded)}
    if not LEET_SIGNS.isdisjoint(folded):
        keys.add(skeleton_key(folded, signs=True))
    if any(one == other and len(_units(one, False)) > 1 for one, other in pairwise(folded)):
        keys.add(skeleton_key(folded, doubled=True))
    return keys


def skeleton_key(folded: str, *, signs: bool = False, doubled: bool = False) -> str:
    """`skeleton(folded).key`, without its positions. `doubled`: a character that follows upon itself stands twice, as
    it does where its parts are written out (时时: 日寸日寸)."""
    units: list[str] = []
    previous: tuple[str, ...] = ()
    for character in folded:
        own = _units(character, signs)
        if not own or (own == previous and not doubled):
            continue
        for unit in own:
            if not units or unit != units[-1]:
                units.append(unit)
        previous = own
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
    listed = [narrow(part) for part in parts if unicodedata.category(part)[0] in "LN" or _is_radical(part)]
    return tuple(part for at, part in enumerate(listed) if at == 0 or part != listed[at - 1])


def _is_radical(character: str) -> bool:
    """Radicals such as ⺅ are symbols by category."""
    return "\u2e80" <= character <= "\u2fdf"
