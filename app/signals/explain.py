"""Whether a piece of text is a term in disguise, and which views it takes to read it as one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from app.signals.han import is_han, simplified
from app.signals.skeleton import LEET, separates
from app.signals.splits import parts_of

#: Letters of one term stretched by fewer than this in all are ordinary spelling: god and good, 他妈的 and 他妈妈的.
MIN_STRETCH = 2

#: Signs that stand between words in ordinary text. Others (emoji, stars) are put between letters only to hide them.
_ORDINARY_SIGNS = frozenset(" .,;:!?'\"-/()[]<>%&、，。！？；：“”‘’（）《》〈〉【】「」…—")

#: Beside Latin letters alone: between two Chinese characters they separate nothing.
_LATIN_SIGNS = frozenset(".-")

#: A match that joins what ordinary text separates is worth this much of one that does not: 他加 微信 for 加微信.
_DOUBTFUL = 0.45

#: In fewer letters than these, as many digits as letters are chance rather than disguise: A55.
_MIN_LEET_LETTERS = 4


class Token(NamedTuple):
    """A character that is no separator, with the separators before it."""

    character: str
    signs: str


@dataclass(slots=True)
class Explanation:
    """`views` are those that were needed besides the folding. `doubt` (0..1) is what the match is worth beside one
    that shows its disguise plainly. `pair` says that two characters were parted by one ordinary sign, a disguise only
    where nothing adjoins them. `spread` is the first sign between letters of one word; `joined` counts words that
    were run together."""

    views: set[str] = field(default_factory=set)
    doubt: float = 1.0
    pair: bool = False
    spread: str = ""
    joined: int = 0


def tokens(folded: str, *, signs: bool = False) -> list[Token]:
    """`signs`: `$` and its like are letters. Separators at the end belong to no token."""
    found: list[Token] = []
    before = ""
    for character in folded:
        if separates(character, signs=signs):
            before += character
        else:
            found.append(Token(character, before))
            before = ""
    return found


def explain(text: Sequence[Token], term: Sequence[Token]) -> Explanation | None:
    """How the tokens of a text read as those of a term, all of them; None when they do not."""
    walk = _Walk(text)
    for wanted in term:
        if not walk.take(wanted):
            return None
    return walk.result()


@dataclass(slots=True)
class _Word:
    """How the letters of one word of the term stand in the text: `tight` beside one another, or with signs
    inserted, `odd` ones among them."""

    tight: int = 0
    inserted: int = 0
    odd: int = 0


class _Walk:
    """Text and term side by side. A token of the text that stretches the letter before it is passed over."""

    def __init__(self, text: Sequence[Token]) -> None:
        self._text = text
        self._at = 0
        self._signs = ""
        self._previous: str | None = None
        self._counts = {"simplified": 0, "leet": 0, "split": 0}
        self._letters = self._literal = self._digits = self._stretch = self._regapped = 0
        self._words = [_Word()]
        self._found = Explanation()

    def take(self, wanted: Token) -> bool:
        """Finds `wanted` at the place reached."""
        while self._at < len(self._text):
            self._signs += self._text[self._at].signs
            if wanted.signs and not self._signs and self._word_ends_later() and self._stretches():
                continue
            if taken := self._reads(wanted.character):
                if self._previous is not None:
                    han = is_han(self._previous) and is_han(wanted.character)
                    self._gap(self._signs, wanted.signs, han=han)
                self._at += taken
                self._signs = ""
                self._previous = wanted.character
                return True
            if not self._stretches():
                return False
        return False

    def result(self) -> Explanation | None:
        while self._at < len(self._text):
            if not self._stretches():
                return None
        if 0 < self._stretch < MIN_STRETCH or not self._plausible_leet():
            return None
        found = self._found
        found.views |= {view for view, count in self._counts.items() if count}
        if self._stretch:
            found.views.add("repeats")
        if found.joined or self._regapped or any(word.inserted for word in self._words):
            found.views.add("separators")
        for word in self._words:
            if word.tight and word.inserted > word.odd:
                found.doubt = _DOUBTFUL
        alone = self._words[0] if len(self._words) == 1 else _Word()
        found.pair = not alone.tight and alone.inserted == 1 and not alone.odd
        return found

    def _word_ends_later(self) -> bool:
        """Whether the letter before is stretched up to a sign and begins the next word too: ffor rreal."""
        for token in self._text[self._at :]:
            if token.character != self._previous:
                return False
            if token.signs:
                return True
        return False

    def _reads(self, wanted: str) -> int:
        """How many tokens read as the character; 0: none do."""
        character = self._text[self._at].character
        plain = wanted.isascii() and wanted.isalpha()
        self._letters += plain
        if character == wanted:
            self._literal += plain
            return 1
        same = simplified()
        if same.get(character, character) == same.get(wanted, wanted):
            self._counts["simplified"] += 1
            return 1
        if wanted in LEET.get(character, "") or character in LEET.get(wanted, ""):
            self._counts["leet"] += 1
            self._digits += character.isdigit()
            return 1
        taken = self._split(parts_of(same.get(wanted, wanted)))
        if not taken:
            self._letters -= plain
        self._counts["split"] += taken > 0
        return taken

    def _split(self, parts: str) -> int:
        """How many tokens, two or more, are together the parts."""
        if len(parts) == 1:
            return 0
        same, seen = simplified(), ""
        for taken, token in enumerate(self._text[self._at : self._at + len(parts)], start=1):
            seen += parts_of(same.get(token.character, token.character))
            if seen == parts:
                return taken if taken > 1 else 0
            if not parts.startswith(seen):
                return 0
        return 0

    def _stretches(self) -> bool:
        """Passes over a token that repeats the letter before it; a number is never stretched."""
        previous, character = self._previous, self._text[self._at].character
        if previous is None or previous.isdigit():
            return False
        same = simplified()
        alike = same.get(character, character) == same.get(previous, previous)
        if not alike and previous not in LEET.get(character, ""):
            return False
        self._stretch += 1
        self._at += 1
        return True

    def _gap(self, signs: str, wanted: str, *, han: bool) -> None:
        if wanted:
            self._words.append(_Word())
            together = not signs and wanted.isspace()
            self._found.joined += together
            self._regapped += signs != wanted and not together
        elif signs:
            word = self._words[-1]
            word.inserted += 1
            word.odd += not (_ORDINARY_SIGNS - _LATIN_SIGNS if han else _ORDINARY_SIGNS).intersection(signs)
            self._found.spread = self._found.spread or signs[0]
        else:
            self._words[-1].tight += 1

    def _plausible_leet(self) -> bool:
        """Whether enough letters are written as themselves for the digits to be read as letters."""
        if not self._counts["leet"]:
            return True
        return self._literal >= (1 if self._letters >= _MIN_LEET_LETTERS else self._digits + 1)
