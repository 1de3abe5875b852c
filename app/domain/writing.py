"""What an uploader wrote, as it is put to the model: in parts, the way a picture is in frames."""

from dataclasses import dataclass

#: A part of a text: about 250 tokens of English, 700 of Chinese, so that what it is about stays in sight.
PART_CHARS = 1000
#: So much of a part stands at the beginning of the next one too: a sentence that a cut goes through is whole in one.
OVERLAP_CHARS = 150
#: Enough for the longest caption that the API takes. A longer text is looked at up to here, and what is found in it is
#: a lower bound.
MOST_PARTS = 12


@dataclass(frozen=True, slots=True)
class WrittenText:
    """What the model is to judge in place of a picture. It is data: control tokens in it are never parsed, and nothing
    in it ends it."""

    text: str


@dataclass(frozen=True, slots=True)
class Writing:
    """`cut`: there is more of it than the parts hold."""

    parts: tuple[WrittenText, ...] = ()
    cut: bool = False


def has_text(caption: str | None) -> bool:
    return bool(caption and not caption.isspace())


def in_parts(caption: str | None) -> Writing:
    """Every character is in a part, up to the most that there are. No part where there is nothing to read."""
    if caption is None or not has_text(caption):
        return Writing()
    parts: list[WrittenText] = []
    start = 0
    while len(parts) < MOST_PARTS:
        end = start + PART_CHARS
        parts.append(WrittenText(caption[start:end]))
        if end >= len(caption):
            return Writing(tuple(parts))
        start = end - OVERLAP_CHARS
    return Writing(tuple(parts), cut=True)
