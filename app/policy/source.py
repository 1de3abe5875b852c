"""The text of a policy file, and where in it each value stands."""

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from app.errors import PolicyProblem

#: The steps from the top of the document to a value: keys and list indices.
Path = tuple[str | int, ...]

#: What PyYAML counts as the end of a line.
_BREAK = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")
_HEX_ESCAPES = {"x": 2, "u": 4, "U": 8}
#: Escapes in double quotes that stand for a blank, or for nothing at the end of a line.
_BLANK_ESCAPES = frozenset("ntrvfNLP_ \t\n\r")


@dataclass(frozen=True, slots=True)
class Span:
    """Characters [start, end) of the text; `style` is YAML's sign of how a scalar is written."""

    start: int
    end: int
    style: str | None = None

    @classmethod
    def of(cls, first: Any, last: Any) -> "Span":
        """From the beginning of one of PyYAML's nodes or events to the end of another."""
        return cls(first.start_mark.index, last.end_mark.index, getattr(first, "style", None) or None)


@dataclass(frozen=True, slots=True)
class Places:
    """The span of each value, and of the key that names it."""

    values: dict[Path, Span] = field(default_factory=dict)
    keys: dict[Path, Span] = field(default_factory=dict)


#: Those that are small in a large policy. Where all is to be known of anything else, all is worked out once.
_SMALL_SECTIONS = frozenset({"categories", "thresholds", "probes", "scores", "surfaces"})


def nowhere(_: str | None) -> Places:
    return Places()


@dataclass(frozen=True, slots=True)
class Source:
    """`places_in` gives the places of what is in a section (the first step of their paths) and of the sections
    themselves, or without one of everything. It is asked where something is to be told, and not before: of a sound
    policy that is hardly ever."""

    file: str
    text: str
    places_in: Callable[[str | None], Places] = nowhere

    def has(self, path: Path) -> bool:
        return path in self._places(path).values

    def _places(self, path: Path) -> Places:
        section = next(iter(path), None)
        return self.places_in(section if isinstance(section, str) and section in _SMALL_SECTIONS else None)

    def problem(self, path: Path, message: str, *, hint: str | None = None, after: str | None = None) -> PolicyProblem:
        """A problem at a value, or within it: `after` is the part of the scalar, as it was read, before the place."""
        span = self._nearest(path)
        start = span.start if after is None else self._within(span, after)
        return self.problem_at(start, message, hint=hint)

    def key_problem(self, path: Path, message: str, *, hint: str | None = None) -> PolicyProblem:
        """A problem at the key of a value."""
        span = self._places(path).keys.get(path) or self._nearest(path)
        return self.problem_at(span.start, message, hint=hint)

    def where(self, path: Path) -> str:
        """`policies.yaml:12`: where a key stands, or an item of a list."""
        found = self.key_problem(path, "")
        return f"{found.file}:{found.line}"

    def problem_at(self, offset: int, message: str, *, hint: str | None = None) -> PolicyProblem:
        offset = min(offset, len(self.text))
        starts, lines = _lines(self.text)
        line = bisect_right(starts, offset)
        return PolicyProblem(
            file=self.file,
            line=line,
            column=offset - starts[line - 1] + 1,
            message=message,
            hint=hint,
            source_line=lines[line - 1],
        )

    def _nearest(self, path: Path) -> Span:
        spans = self._places(path).values
        for length in range(len(path), -1, -1):
            if path[:length] in spans:
                return spans[path[:length]]
        return Span(0, 0)

    def _within(self, span: Span, after: str) -> int:
        """Quotes, folding and indentation move a scalar's characters, but keep the order of those not blank."""
        marks = _non_blank(self.text, span)
        seen = sum(not char.isspace() for char in after)
        if seen < len(marks):
            return marks[seen]
        return marks[-1] + 1 if marks else span.start


@lru_cache(maxsize=4)
def _lines(text: str) -> tuple[list[int], list[str]]:
    """Where each line starts, and the lines. A file of nothing but mistakes asks for this once a mistake."""
    return [0, *(found.end() for found in _BREAK.finditer(text))], _BREAK.split(text)


def _non_blank(text: str, span: Span) -> list[int]:
    """Where each non-blank character of a scalar's value stands in the text."""
    if span.style in ("|", ">"):
        header = _BREAK.search(text, span.start, span.end)
        return [at for at in range(header.end() if header else span.end, span.end) if not text[at].isspace()]
    if span.style is None:
        return [at for at in range(span.start, span.end) if not text[at].isspace()]
    return _inside_quotes(text, span)


def _inside_quotes(text: str, span: Span) -> list[int]:
    marks, at = [], span.start + 1
    while at < span.end - 1:
        pair = text[at : at + 2]
        if span.style == "'" and pair == "''":
            marks.append(at)
            at += 2
        elif span.style == '"' and pair[0] == "\\":
            if pair[1] not in _BLANK_ESCAPES:
                marks.append(at)
            at += 2 + _HEX_ESCAPES.get(pair[1], 0)
        else:
            if not pair[0].isspace():
                marks.append(at)
            at += 1
    return marks
