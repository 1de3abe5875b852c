"""Where a generated answer ends because one of the question's own stop texts came up. Pure."""

from collections.abc import Iterable, Sequence
from typing import AnyStr

from app.domain import Question, QuestionKind
from app.engine.base import Reason

#: As many as servers with OpenAI's API take.
MOST_STOPS = 4
MOST_STOP_CHARS = 64


def stop_mistake(question: Question) -> Reason | None:
    """Its stop texts are none that an answer can be cut at: too many, empty, too long or no text at all; or nothing
    that may be cut is generated. An answer held to a schema is whole or not at all."""
    if not question.stop:
        return None
    cuttable = question.kind is QuestionKind.GENERATE and question.json_schema is None
    sound = cuttable and len(question.stop) <= MOST_STOPS and all(map(_is_sound, question.stop))
    return None if sound else Reason.STOP_UNUSABLE


def find_stop(text: AnyStr, stops: Iterable[AnyStr], start: int = 0) -> int | None:
    """Where the text ends: before the stop that is complete first, so that it does not matter in what pieces the text
    came. Of those that are complete together the longest one counts. None while there is none at `start` or after."""
    found = ((at + len(stop), at) for stop in stops if (at := text.find(stop, start)) >= 0)
    return min(found, default=(0, None))[1]


def cut_at_stop(text: str, stops: Iterable[str]) -> tuple[str, bool]:
    """The text before the first stop, and whether there was one."""
    end = find_stop(text, stops)
    return (text, False) if end is None else (text[:end], True)


class Stopping:
    """Watches one answer grow, in UTF-8: a stop may begin in one token and end in another, within a character even."""

    def __init__(self, stops: Sequence[bytes]) -> None:
        self._stops = stops
        self._longest = max(map(len, stops))
        self._written = bytearray()

    def hear(self, piece: bytes) -> bool:
        """Whether the answer ends here; it has nothing more to hear then."""
        start = max(0, len(self._written) - self._longest + 1)
        self._written += piece
        end = find_stop(bytes(self._written[start:]), self._stops)
        if end is not None:
            del self._written[start + end :]
        return end is not None

    @property
    def text(self) -> bytes:
        """What was heard, up to the stop."""
        return bytes(self._written)


def _is_sound(stop: str) -> bool:
    try:
        stop.encode()
    except UnicodeEncodeError:
        return False  # half a character never comes up
    return 0 < len(stop) <= MOST_STOP_CHARS
