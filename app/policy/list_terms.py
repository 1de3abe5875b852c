"""What may be a term of a keyword list. A term that could never match is refused, not carried along."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

MAX_TERM_CHARACTERS = 200

#: Letters and a symbol by category that draw nothing: Hangul fillers and the blank braille pattern.
_FILLERS = frozenset("\u115f\u1160\u3164\uffa0\u2800")

#: Pasted from a spreadsheet or a table. A comma counts only where no space or digit follows: "buy now, pay later".
_SEVERAL_TERMS = re.compile(r"[\t|、]|,(?=[^\s\d])")
_BULLET = re.compile(r"[-*•·]\s")
_SEPARATOR_EDGE = re.compile(r"^[,;，；、]|[,;，；、]$")
_QUOTES = {'"': '"', "“": "”", "「": "」", "『": "』"}
_LETTER_SYMBOL = re.compile("[\u2460-\u24ff\u2776-\u2793\U0001f100-\U0001f1ff]")


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is wrong with a term, `at` characters into it."""

    at: int
    message: str
    hint: str


def term_complaints(term: str) -> Iterator[Complaint]:
    """What is wrong with a term (stripped, not empty)."""
    if len(term) > MAX_TERM_CHARACTERS:
        yield Complaint(
            MAX_TERM_CHARACTERS,
            f"the term has {len(term)} characters; at most {MAX_TERM_CHARACTERS} are allowed",
            "list the phrase that matters, not the whole text",
        )
        return
    for at, character in enumerate(term):
        if character == "\ufffd" or (character != "\t" and unicodedata.category(character) == "Cc"):
            yield Complaint(
                at, f"character U+{ord(character):04X} in a term", "the file is damaged; type the term again"
            )
            return
    content = _content(term)
    if not content:
        yield Complaint(0, "the term has nothing to match", "a term needs a letter, a digit or an emoji")
    elif len(content) == 1 and not _stands_alone(content):
        yield Complaint(
            0, "the term is a single letter or digit", "it would match in ordinary text; use a longer phrase"
        )
    else:
        yield from _slips(term)


def _slips(term: str) -> Iterator[Complaint]:
    """Ways of writing a list that make another term of it than was meant."""
    hint = "one bare term a line"
    if slip := _BULLET.match(term):
        yield Complaint(slip.start(), "a bullet before the term", hint)
    if term[0] in _QUOTES and term[-1] == _QUOTES[term[0]]:
        yield Complaint(0, "quotation marks around the term", hint)
    if slip := _SEPARATOR_EDGE.search(term):
        yield Complaint(slip.start(), "a separator at the edge of the term", hint)
    elif slip := _SEVERAL_TERMS.search(term):
        yield Complaint(slip.start(), "several terms on one line", hint)


def same_term(term: str) -> str:
    """Equal for two spellings of one term: width, case and white space do not tell terms apart."""
    if term.isascii():
        return " ".join(term.lower().split())
    return " ".join(unicodedata.normalize("NFKC", term).casefold().split())


def _stands_alone(character: str) -> bool:
    """Whether one character can be a term: a Chinese character or an emoji, but no letter of an alphabet with small
    and capital letters, no digit, and no symbol around one (🅰), which reads as the letter."""
    category = unicodedata.category(character)
    return category in {"Lo", "Sc"} or (category == "So" and not _LETTER_SYMBOL.match(character))


def _content(term: str) -> str:
    """The characters that can be matched: letters, digits, emoji and currency signs, after compatibility folding."""
    return "".join(
        character
        for character in unicodedata.normalize("NFKD", term)
        if character not in _FILLERS
        and (unicodedata.category(character)[0] in "LN" or unicodedata.category(character) in {"So", "Sc"})
    )
