"""The text of a list file: its lines, and what is wrong with them."""

import re
from dataclasses import dataclass, field

from app.errors import PolicyInvalid, PolicyProblem

#: More would bury the first; the rest are counted.
MAX_PROBLEMS = 200

SHOWN_CHARACTERS = 160
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(slots=True)
class Problems:
    """What is wrong so far."""

    file: str
    found: list[PolicyProblem] = field(default_factory=list)
    unlisted: int = 0

    def add(
        self, line: int, column: int, message: str, *, hint: str | None = None, source_line: str | None = None
    ) -> None:
        if len(self.found) >= MAX_PROBLEMS:
            self.unlisted += 1
            return
        shown = source_line if source_line is None or column <= SHOWN_CHARACTERS else None
        self.found.append(
            PolicyProblem(self.file, line, column, message, hint, None if shown is None else shown[:SHOWN_CHARACTERS])
        )

    def raise_if_any(self) -> None:
        if not self.found:
            return
        found = sorted(self.found, key=lambda problem: (problem.line, problem.column))
        if self.unlisted:
            found.append(PolicyProblem(self.file, found[-1].line, 1, f"{self.unlisted} more problems are not shown"))
        raise PolicyInvalid(tuple(found))


@dataclass(frozen=True, slots=True)
class Line:
    number: int
    text: str


def decode(data: bytes, problems: Problems) -> list[Line]:
    """The lines that are UTF-8; a byte order mark is ignored."""
    if data.startswith(_UTF16_MARKS):
        problems.add(1, 1, "the file is UTF-16", hint="save it as UTF-8")
        problems.raise_if_any()
    lines: list[Line] = []
    for number, raw in enumerate(re.split(b"\r\n|\n|\r", data.removeprefix(b"\xef\xbb\xbf")), start=1):
        try:
            lines.append(Line(number, raw.decode("utf-8")))
        except UnicodeDecodeError as error:
            column = len(raw[: error.start].decode("utf-8", "replace")) + 1
            problems.add(
                number,
                column,
                f"byte 0x{raw[error.start]:02x} is not UTF-8",
                hint="save the file as UTF-8; it may be in GBK, Big5 or Latin-1",
                source_line=raw.decode("utf-8", "replace"),
            )
    return lines
