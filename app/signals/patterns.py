"""Terms that are patterns: RE2, whose time is linear in the text and whose memory is bounded."""

from collections.abc import Iterator

import re2

#: Of the compiled pattern, in bytes. A pattern that needs more is refused when the list is read.
PATTERN_BYTES = 1 << 20

#: Of one pattern or built-in matcher in one text. Whoever has as many may have more.
MAX_FOUND = 100


class Pattern:
    """Matched over folded text, where letters are small: case does not matter."""

    def __init__(self, text: str) -> None:
        options = re2.Options()
        options.case_sensitive = False
        options.max_mem = PATTERN_BYTES
        options.log_errors = False
        self._compiled = re2.compile(text, options)

    def find(self, folded: str) -> Iterator[tuple[int, int]]:
        """`[start, end)` of every match that is not empty, the first hundred."""
        found = 0
        for match in self._compiled.finditer(folded):
            start, end = match.span()
            if start < end:
                yield start, end
                found += 1
                if found == MAX_FOUND:
                    return


def compile_pattern(text: str) -> Pattern:
    """Raises re2.error for what is no pattern or would need too much memory."""
    return Pattern(text)
