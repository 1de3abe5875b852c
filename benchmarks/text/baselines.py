"""The two ways that are usual: is the term in the text, and one regular expression of all terms."""

import re
from collections.abc import Sequence


class ExactSubstring:
    """`term in text`, both in small letters."""

    def __init__(self, terms: Sequence[str]) -> None:
        self._terms = [term.lower() for term in terms]

    def find(self, text: str) -> set[str]:
        lowered = text.lower()
        return {term for term in self._terms if term in lowered}


class Alternation:
    r"""`\b(term|term|…)\b`, case ignored; the boundaries only where a term begins or ends with a letter of ASCII."""

    def __init__(self, terms: Sequence[str]) -> None:
        longest_first = sorted((term.lower() for term in terms), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_bounded, longest_first)), re.IGNORECASE)

    def find(self, text: str) -> set[str]:
        return {match.group().lower() for match in self._pattern.finditer(text)}


def _bounded(term: str) -> str:
    left = r"\b" if term[0].isascii() and term[0].isalnum() else ""
    right = r"\b" if term[-1].isascii() and term[-1].isalnum() else ""
    return f"{left}{re.escape(term)}{right}"
