"""Views of a text: the text rewritten so that writings which read alike become equal, each rewritten character
carrying the place it came from.

There is one view, `fold`. A further one (separators dropped, leet, pinyin) is another function that returns a `View`.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from app.signals.homoglyphs import HOMOGLYPHS

#: For the pins. Raise it when any text or term could fold differently.
NORMALISER = "2"

#: Enclosing and combining marks, format characters (zero-width and direction), controls.
_DROPPED = frozenset({"Mn", "Me", "Cf", "Cc"})

#: The controls that separate; the rest draw nothing.
_SPACING_CONTROLS = frozenset("\t\n\x0b\x0c\r")

#: Letters by category that draw nothing.
_FILLERS = frozenset("\u115f\u1160\u3164\uffa0")

#: The blank braille pattern: a symbol by category, a space to the eye.
_BLANKS = frozenset("\u2800")

#: What folding only makes small: printable ASCII, and the common Chinese characters.
_SETTLED = re.compile("[ -~\u4e00-\u9fff]*")

_BRACKETS = {"(": ")", "\u3014": "\u3015"}

#: Bounds the memory that hostile text can make the character cache take; a page of Chinese uses under 2,000.
_CACHED_CHARACTERS = 16_384


@dataclass(frozen=True, slots=True)
class View:
    """A rewritten text.

    Character `i` of `text` was made from `[starts[i], ends[i])` of the original, in code points; characters that one
    original character was expanded into share a start. `enclosed` holds the `i` that come from a symbol such as ⓐ or ①.
    """

    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    enclosed: frozenset[int] = frozenset()

    def aligned(self, start: int, end: int) -> bool:
        """Whether `[start, end)` of this view begins and ends where an original character does."""
        inside = start > 0 and self.starts[start - 1] == self.starts[start]
        cut = end < len(self.text) and self.starts[end] == self.starts[end - 1]
        return not (inside or cut)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """`[start, end)` of this view in the original."""
        return self.starts[start], self.ends[end - 1]


def fold(text: str) -> View:
    """NFKD, marks and invisible characters dropped, casefolded, look-alikes replaced, white space runs as one space.

    A combining mark belongs to the character before it, so that a span never cuts an accent off its letter.
    """
    folded: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    enclosed: set[int] = set()
    for index, character in enumerate(text):
        parts, symbol = _fold_character(character)
        if not parts and starts and unicodedata.category(character) in {"Mn", "Me"}:
            ends[-1] = index + 1
            if symbol:
                enclosed.add(len(folded) - 1)
        for part in parts:
            if part == " " and folded and folded[-1] == " ":
                continue
            if symbol:
                enclosed.add(len(folded))
            folded.append(part)
            starts.append(index)
            ends.append(index + 1)
    return View("".join(folded), tuple(starts), tuple(ends), frozenset(enclosed))


def fold_term(term: str) -> str:
    """What `fold` makes of a term, without white space at the edges."""
    if _SETTLED.fullmatch(term):
        return " ".join(term.lower().split())
    return fold(term).text.strip(" ")


@lru_cache(maxsize=_CACHED_CHARACTERS)
def _fold_character(character: str) -> tuple[str, bool]:
    """The folded form (empty: dropped), and whether the character is a symbol around or in place of its letters."""
    category = unicodedata.category(character)
    if category == "Cc" and character not in _SPACING_CONTROLS:
        return "", False
    if character.isspace() or character in _BLANKS:
        return " ", False
    digit = unicodedata.digit(character, None)
    if digit is not None:
        return str(digit), category == "No"
    decomposed = unicodedata.normalize("NFKD", character)
    if len(decomposed) > 2 and _BRACKETS.get(decomposed[0]) == decomposed[-1]:  # noqa: PLR2004 - ⒜ is "(a)"
        decomposed = decomposed[1:-1]
    folded = "".join(_fold_part(part) for part in decomposed)
    return folded, category in {"So", "No", "Me"}


def _fold_part(part: str) -> str:
    if part.isspace():
        return " "
    if part in _FILLERS or unicodedata.category(part) in _DROPPED:
        return ""
    return "".join(HOMOGLYPHS.get(letter, letter) for letter in part.casefold())
