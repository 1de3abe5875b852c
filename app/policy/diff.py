"""What changed between two policies, as text, in bounded time: it is told to who has to wait, while uploads go on."""

import difflib
import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest

_CONTEXT_LINES = 3
#: Lines between the first change and the last one, of one text times of the other. `difflib` may look at each pair
#: several times.
_MOST_PAIRS = 100_000
_MOST_LISTED = 50

_HUNK = re.compile(r"@@ -(\d+)((?:,\d+)?) \+(\d+)((?:,\d+)?) @@")
#: No two parts of it take the same blanks: a line of nothing but blanks would take minutes.
_RULE = re.compile(r"^[ \t]*-[ \t]+(?:\{[ \t]*)?id:[ \t]*['\"]?([a-z][a-z0-9-]*)", re.MULTILINE)


def policy_diff(old: str, new: str, *, before: str, after: str) -> str:
    """A unified diff; empty when they are equal. Where too much changed for one, how long the texts are, where they
    begin to differ, and the rules that did."""
    if old == new:
        return ""
    ours, theirs = old.splitlines(keepends=True), new.splitlines(keepends=True)
    head = _alike(ours, theirs, min(len(ours), len(theirs)))
    tail = _alike(ours[::-1], theirs[::-1], min(len(ours), len(theirs)) - head)
    if (len(ours) - head - tail) * (len(theirs) - head - tail) > _MOST_PAIRS:
        return "".join([f"--- {before}\n", f"+++ {after}\n", *_summary(old, new, len(ours), len(theirs), head)])
    start, kept = max(0, head - _CONTEXT_LINES), max(0, tail - _CONTEXT_LINES)
    shown = ours[start : len(ours) - kept], theirs[start : len(theirs) - kept]
    return "".join(_moved(line, start) for line in difflib.unified_diff(*shown, before, after, n=_CONTEXT_LINES))


def _alike(one: Sequence[str], other: Sequence[str], most: int) -> int:
    """How many lines both begin with."""
    return next((at for at in range(most) if one[at] != other[at]), most)


def _moved(line: str, by: int) -> str:
    """A line of a diff of parts that begin `by` lines further down."""
    if found := _HUNK.match(line):
        line = f"@@ -{int(found[1]) + by}{found[2]} +{int(found[3]) + by}{found[4]} @@\n"
    return line if line.endswith("\n") else f"{line}\n"


def _summary(old: str, new: str, lines: int, new_lines: int, head: int) -> Iterator[str]:
    outline = f"{lines} lines became {new_lines}, and line {head + 1} is the first to differ"
    yield f"# too much changed to be shown: {outline}\n"
    was, now = _rules(old), _rules(new)
    yield from _listed("changed", [name for name in now if name in was and now[name] != was[name]])
    yield from _listed("new", [name for name in now if name not in was])
    yield from _listed("gone", [name for name in was if name not in now])


def _rules(text: str) -> dict[str, str]:
    """The text of each rule by its id, as far as each begins a line."""
    found = [*_RULE.finditer(text)]
    ends = [one.start() for one in found[1:]]
    return {one[1]: text[one.start() : end].rstrip() for one, end in zip_longest(found, ends)}


def _listed(what: str, names: Sequence[str]) -> Iterator[str]:
    if names:
        more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
        yield f"# rules that are {what}: {', '.join(names[:_MOST_LISTED])}{more}\n"
