"""Chinese terms by their sound: as pinyin, as pinyin with the confusions that speakers make, as other characters.

Text and terms are compared as letters in which the usual confusions are one (zh and z, n and l, ang and an); which
reading it takes to get the term from a place with the same letters is then told exactly.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import islice, product

from app.signals.explain import Token
from app.signals.han import readings, simplified, spoken

PINYIN, FUZZY, HOMOPHONES = "pinyin", "fuzzy_pinyin", "homophones"

#: A term with more likely readings than this is looked for in these many.
_MAX_READINGS = 8

LONGEST_SYLLABLE = 6

#: The letters of a term's pinyin below which a word of another language is as likely.
_MIN_LETTERS = 5

_DOUBTFUL = 0.45

#: Where letters and other characters of the same sound are mixed, each of the latter makes the match worth this much.
_MIXED = 0.8

_SILENT = re.compile("(?<=[zcs])h|(?<=n)g")
#: Where joining syllables may join letters of two: without it both keys are one.
_ACROSS = re.compile("[zcs]h|ng")
_CONFUSED = str.maketrans("lv", "nu")


@dataclass(frozen=True, slots=True)
class Sounds:
    """`key` is the text as letters, confusions joined; letter `i` of it comes from the characters from `first[i]` to
    `last[i]`. A character of Chinese gives several letters with the same place."""

    key: str
    first: list[int]
    last: list[int]


def sound_keys(folded: str) -> set[str]:
    """The keys under which a folded term is looked up; none for a term with fewer than two Chinese characters."""
    if folded.isascii():
        return set()
    known = spoken()
    heard: list[tuple[str, ...]] = []
    syllables = 0
    for character in folded:
        options = known.get(character)
        if options is not None:
            syllables += 1
            heard.append(options)
        elif _plain(character):
            heard.append((character,))
    if syllables < 2:  # noqa: PLR2004 - one syllable is in every word
        return set()
    keys: set[str] = set()
    for chosen in islice(product(*heard), _MAX_READINGS):
        keys.add("".join(map(_joined, chosen)))
        if _ACROSS.search(written := "".join(chosen)):
            keys.add(_SILENT.sub("", written).translate(_CONFUSED))
    return keys


def sounds(characters: Sequence[str]) -> Sounds:
    """Of folded characters."""
    known = spoken()
    letters: list[str] = []
    first: list[int] = []
    last: list[int] = []
    before = ""
    for at, character in enumerate(characters):
        reading = known.get(character)
        if reading or (at and characters[at - 1] in known):
            before = ""
        for letter in reading[0] if reading else character if _plain(character) else "":
            silent = (letter == "h" and before in "zcs") or (letter == "g" and before == "n")
            if silent and before:
                last[-1] = at
            else:
                letters.append(letter.translate(_CONFUSED))
                first.append(at)
                last.append(at)
            before = letter
    return Sounds("".join(letters), first, last)


@dataclass(frozen=True, slots=True)
class Spelling:
    """How a text spells a term by its sound: the view, what the match is worth beside a plain one, and the tokens of
    the text that it takes."""

    view: str
    doubt: float
    taken: int


def spell(text: Sequence[Token], term: Sequence[Token]) -> Spelling | None:
    """The term by sound at the beginning of the text's tokens, the plainest way that there is. None too where no
    character is written by its sound."""
    best: Spelling | None = None
    for found in islice(_spellings(text, term), 4):
        if best is None or (_RANK[found.view], -found.doubt) < (_RANK[best.view], -best.doubt):
            best = found
    return best


_RANK = {PINYIN: 0, FUZZY: 1, HOMOPHONES: 2}


@dataclass(frozen=True, slots=True)
class _Sofar:
    """What it took to read the term up to some place."""

    literal: int = 0
    letters: int = 0
    fuzzy: bool = False
    homophones: int = 0
    torn: bool = False

    def spelling(self, taken: int) -> Spelling | None:
        if not self.letters and not self.homophones:
            return None
        doubt = 1.0
        if self.torn or (not self.literal and 0 < self.letters < _MIN_LETTERS):
            doubt = _DOUBTFUL
        if not self.letters:
            return Spelling(HOMOPHONES, doubt, taken)
        return Spelling(FUZZY if self.fuzzy else PINYIN, doubt * _MIXED**self.homophones, taken)


def _spellings(
    text: Sequence[Token], term: Sequence[Token], at: int = 0, number: int = 0, sofar: _Sofar | None = None
) -> Iterator[Spelling]:
    sofar = sofar or _Sofar()
    if number == len(term):
        if (found := sofar.spelling(at)) is not None:
            yield found
        return
    if at >= len(text):
        return
    for taken, step in _steps(text, at, term[number].character, sofar):
        yield from _spellings(text, term, at + taken, number + 1, step)


def _steps(text: Sequence[Token], at: int, wanted: str, sofar: _Sofar) -> Iterator[tuple[int, _Sofar]]:
    """The ways to read one character of the term at a place, the plainest first."""
    character, same = text[at].character, simplified()
    if same.get(character, character) == same.get(wanted, wanted):
        yield 1, replace(sofar, literal=sofar.literal + 1)
        return
    exact, fuzzy = _heard(wanted)
    if not exact:
        return
    if not _plain(character):
        if not fuzzy.isdisjoint(_heard(character)[1]):
            yield 1, replace(sofar, homophones=sofar.homophones + 1)
        return
    rough: list[tuple[int, _Sofar]] = []
    syllable, torn = "", sofar.torn
    for taken, token in enumerate(text[at : at + LONGEST_SYLLABLE], start=1):
        if not _plain(token.character):
            break
        syllable += token.character
        torn = torn or (taken > 1 and bool(token.signs))
        step = replace(sofar, letters=sofar.letters + taken, torn=torn)
        if syllable in exact:
            yield taken, step
        elif _joined(syllable) in fuzzy:
            rough.append((taken, replace(step, fuzzy=True)))
    yield from rough


@lru_cache(maxsize=16_384)
def _heard(character: str) -> tuple[frozenset[str], frozenset[str]]:
    """All readings, with ü written u as well, and the same with the confusions joined."""
    listed = readings().get(character, ())
    exact = frozenset(listed) | {reading.replace("v", "u") for reading in listed}
    return exact, frozenset(_joined(reading) for reading in exact)


def _plain(character: str) -> bool:
    return "a" <= character <= "z" or "0" <= character <= "9"


@lru_cache(maxsize=4096)
def _joined(letters: str) -> str:
    return _SILENT.sub("", letters).translate(_CONFUSED)


@cache
def _syllables() -> frozenset[str]:
    return frozenset().union(*(_heard(character)[0] for character in readings()))


@lru_cache(maxsize=4096)
def is_pinyin(letters: str) -> bool:
    """Whether the letters are syllables of Mandarin one after another, or nothing."""
    known, reached = _syllables(), {0}
    for end in range(1, len(letters) + 1):
        sizes = range(1, min(end, LONGEST_SYLLABLE) + 1)
        if any(end - size in reached and letters[end - size : end] in known for size in sizes):
            reached.add(end)
    return len(letters) in reached
