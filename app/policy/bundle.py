"""A policy and the files it includes as one text: what is kept, named by a digest, read and put over the API.

    version: 1
    include: [rules/goods.yaml]
    …
    --- # file: rules/goods.yaml
    rules:
    …

No file of a policy can hold such a line itself: YAML would take it for the beginning of another document.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_MARK = re.compile(r"^--- # file: (\S+)[ \t]*\r?(?:\n|\Z)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Bundle:
    """`parts` are the included files by name; `marks` say where in the text each begins."""

    main: str
    parts: Mapping[str, str]
    marks: tuple[tuple[int, str], ...] = ()


def split_bundle(text: str) -> Bundle:
    """A name that is given twice has its first text; `marks` has both."""
    marks = [*_MARK.finditer(text)]
    if not marks:
        return Bundle(text, {})
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    parts: dict[str, str] = {}
    for mark, end in zip(marks, ends, strict=True):
        parts.setdefault(mark[1], text[mark.end() : end])
    return Bundle(text[: marks[0].start()], parts, tuple((mark.start(), mark[1]) for mark in marks))


def join_bundle(main: str, parts: Mapping[str, str]) -> str:
    """`split_bundle` gives the same back, but for a missing line end before a mark."""
    pieces = [main]
    for name, part in parts.items():
        if pieces[-1] and not pieces[-1].endswith("\n"):
            pieces.append("\n")
        pieces += [f"--- # file: {name}\n", part]
    return "".join(pieces)


def has_mark(text: str) -> int | None:
    """Where a text that is to be a part of a bundle would be taken for several."""
    found = _MARK.search(text)
    return found.start() if found else None
