"""How a text that somebody wrote is put before a question about it. Pure."""

from app.domain import WrittenText

_HEADING = "Text:"
_QUOTE = "> "


def quoted(written: WrittenText) -> str:
    """Every line of it is marked, whatever it takes for a line's end, and the question comes after an empty line that
    is not: so nothing in the text can look like its end. A lone surrogate, which no tokenizer takes, becomes a
    question mark."""
    text = written.text.encode("utf-8", "replace").decode()
    lines = (f"{_QUOTE}{line}" for line in text.splitlines())
    return "\n".join((_HEADING, *lines, "", ""))
