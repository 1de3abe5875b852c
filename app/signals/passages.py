"""The lines of one text source as running text, so that a term wrapped over lines is found.

Positions in a passage count in its lines joined by newlines; `Passage.locate` turns them back into a line and a span.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from app.domain import TextFinding
from app.signals.normalise import View, fold

#: Within a line too: a caption brings its own line breaks.
_BREAK = re.compile("\r\n|[\n\r\x0b\x0c\u2028\u2029]")

_ENDS_HYPHENATED = re.compile(r"[^\W_]-$")
_BEGINS_WORD = re.compile(r"[^\W_]")

#: Scripts written without spaces: a line break between their characters separates nothing. Thai to Khmer, CJK
#: punctuation, kana, Han. (Hangul puts spaces between words.)
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]")

#: Lines are read as columns where so many follow one another, none longer than this.
_FEWEST_ROWS = 3
_LONGEST_ROW = 12

#: How far beside a match is looked for what else its line holds.
_MARGIN = 16


@dataclass(frozen=True, slots=True)
class Place:
    """Where a match begins: `[start, end)` in code points of line `line` of the source. `wrapped` when it goes on
    over a line break; then the span holds only what lies on the line."""

    line: int
    start: int
    end: int
    wrapped: bool


@dataclass(frozen=True, slots=True)
class Passage:
    """The lines of one frame. `views` are the ways to read it: more than one only where a line ends in a hyphen, which
    may belong to the word ("follow-up") or only to the line ("pass-port"). `columns` read short lines from top to
    bottom, from the left and from the right."""

    text: str
    line_numbers: tuple[int, ...]
    line_starts: tuple[int, ...]
    views: tuple[View, ...]
    columns: tuple[View, ...] = ()

    def crosses_break(self, start: int, end: int) -> bool:
        return _BREAK.search(self.text, start, end) is not None

    def is_vertical(self, start: int, end: int, *, characters: int) -> bool:
        """Whether `[start, end)` holds so many characters one below the other, each alone on its line."""
        breaks = list(_BREAK.finditer(self.text, start, end))
        if len(breaks) < characters - 1 or len(self.text[start:end].split()) != characters:
            return False
        before = _BREAK.split(self.text[max(0, start - _MARGIN) : start])[-1]
        after = _BREAK.split(self.text[end : end + _MARGIN])[0]
        return not before.strip() and not after.strip()

    def locate(self, start: int, end: int) -> Place:
        at = bisect_right(self.line_starts, start) - 1
        line_start = self.line_starts[at]
        line_end = self.line_starts[at + 1] - 1 if at + 1 < len(self.line_starts) else len(self.text)
        wrapped = self.crosses_break(start, end)
        on_line = self.text[start : min(end, line_end)]
        return Place(
            line=self.line_numbers[at],
            start=start - line_start,
            end=start - line_start + len(on_line.rstrip()),
            wrapped=wrapped,
        )


def passages(finding: TextFinding) -> Iterator[Passage]:
    """One passage a frame: the end of one frame's text and the beginning of the next were never beside each other."""
    by_frame: dict[int, list[int]] = {}
    for number, line in enumerate(finding.lines):
        by_frame.setdefault(line.frame, []).append(number)
    for numbers in by_frame.values():
        yield _passage(tuple(finding.lines[number].text for number in numbers), tuple(numbers))


def _passage(lines: tuple[str, ...], numbers: tuple[int, ...]) -> Passage:
    starts: list[int] = []
    position = 0
    for line in lines:
        starts.append(position)
        position += len(line) + 1
    text = "\n".join(lines)
    pieces = list(_pieces(text))
    views = [_join(pieces, keep_hyphens=True)]
    if any(_hyphenated(view, following) for (view, _), (following, _) in pairwise(pieces)):
        views.append(_join(pieces, keep_hyphens=False))
    return Passage(text, numbers, tuple(starts), tuple(views), tuple(_columns(text)))


def _columns(text: str) -> Iterator[View]:
    """Each run of short lines, read column by column, both ways. An ideographic space is an empty cell."""
    rows: list[list[tuple[str, int]]] = []
    for start, end in (*_lines(text), (0, 0)):
        line = text[start:end]
        row = [] if len(line) > _MARGIN + _LONGEST_ROW else list(_cells(line, start))
        if 1 <= len(row) <= _LONGEST_ROW:
            rows.append(row)
            continue
        if line.strip() or start == end == 0:
            if len(rows) >= _FEWEST_ROWS and max(map(len, rows)) > 1:
                yield _by_columns(rows, backwards=False)
                yield _by_columns(rows, backwards=True)
            rows = []


def _by_columns(rows: list[list[tuple[str, int]]], *, backwards: bool) -> View:
    order = sorted(range(max(map(len, rows))), reverse=backwards)
    cells = [row[column] for column in order for row in rows if column < len(row)]
    found = [(character, at) for characters, at in cells for character in characters if character != " "]
    return View(
        "".join(character for character, _ in found),
        tuple(at for _, at in found),
        tuple(at + 1 for _, at in found),
    )


def _cells(line: str, offset: int) -> Iterator[tuple[str, int]]:
    for at, character in enumerate(line):
        folded = fold(character).text
        if folded and (folded != " " or character == "\u3000"):
            yield folded, offset + at


def _lines(text: str) -> Iterator[tuple[int, int]]:
    """`[start, end)` of each line."""
    start = 0
    for line_break in (*_BREAK.finditer(text), None):
        yield start, line_break.start() if line_break else len(text)
        start = line_break.end() if line_break else len(text)


def _pieces(text: str) -> Iterator[tuple[View, int]]:
    """Each line that holds anything, folded, with its offset in the text."""
    for start, end in _lines(text):
        view = fold(text[start:end])
        if view.text.strip(" "):
            yield view, start


def _hyphenated(view: View, following: View) -> bool:
    return bool(_ENDS_HYPHENATED.search(view.text.rstrip(" ")) and _BEGINS_WORD.match(following.text.lstrip(" ")))


def _join(pieces: list[tuple[View, int]], *, keep_hyphens: bool) -> View:
    """The folded lines as one view: joined by a space, or by nothing where a script without spaces or a hyphen meets
    the break."""
    text: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    enclosed: set[int] = set()
    for number, (view, offset) in enumerate(pieces):
        first, last = _trimmed(view.text)
        following = pieces[number + 1][0] if number + 1 < len(pieces) else None
        hyphenated = following is not None and _hyphenated(view, following)
        if hyphenated and not keep_hyphens:
            last -= 1
        enclosed.update(len(text) + i - first for i in view.enclosed if first <= i < last)
        text += view.text[first:last]
        starts += (offset + start for start in view.starts[first:last])
        ends += (offset + end for end in view.ends[first:last])
        if following is not None and not hyphenated and not _unspaced(view, following):
            text.append(" ")
            starts.append(offset + view.ends[-1])
            ends.append(offset + view.ends[-1] + 1)
    return View("".join(text), tuple(starts), tuple(ends), frozenset(enclosed))


def _trimmed(text: str) -> tuple[int, int]:
    return len(text) - len(text.lstrip(" ")), len(text.rstrip(" "))


def _unspaced(view: View, following: View) -> bool:
    edges = view.text.rstrip(" ")[-1] + following.text.lstrip(" ")[0]
    return _UNSPACED.search(edges) is not None
