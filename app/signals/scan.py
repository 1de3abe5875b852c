"""The forms of one view of a text, each made once however many lists are matched over it."""

from collections.abc import Sequence
from functools import cached_property

from app.signals.explain import Token, tokens
from app.signals.normalise import View
from app.signals.pinyin import Sounds, sounds
from app.signals.skeleton import LEET_SIGNS, Skeleton, narrow, skeleton


class Scan:
    """`columns` says that the view reads the lines of a text as columns: its order is not that of the text."""

    def __init__(self, view: View, *, columns: bool = False) -> None:
        self.view = view
        self.columns = columns
        self.order: tuple[str, ...] = ("columns",) if columns else ()
        self.text = view.text

    @cached_property
    def narrow(self) -> str:
        return narrow(self.text)

    @cached_property
    def narrow_to_index(self) -> Sequence[int]:
        """The index of each byte's character."""
        if len(self.narrow) == len(self.text):
            return range(len(self.text))
        return [at for at, character in enumerate(self.text) for _ in narrow(character)]

    @cached_property
    def skeleton(self) -> Skeleton:
        return skeleton(self.text)

    @cached_property
    def with_signs(self) -> Skeleton | None:
        """The skeleton with `$` and its like as letters, if there are any."""
        return None if LEET_SIGNS.isdisjoint(self.text) else skeleton(self.text, signs=True)

    @cached_property
    def backwards(self) -> Skeleton:
        """Positions count from the end."""
        return skeleton(self.text[::-1])

    @cached_property
    def sounds(self) -> Sounds:
        return sounds(self.text)

    @cached_property
    def has_letters(self) -> bool:
        return any("a" <= character <= "z" for character in self.text)

    def tokens(self, start: int, end: int, *, signs: bool = False) -> list[Token]:
        """Of `[start, end)`, which begins with a letter."""
        return tokens(self.text[start:end], signs=signs)


def joins_word(view: View, start: int, end: int) -> bool:
    """Whether an edge of `[start, end)` is in the middle of an ASCII word. A symbol such as ① or ™ beside a word is no
    part of it."""
    before = start > 0 and _one_word(view, start - 1, start)
    return before or (end < len(view.text) and _one_word(view, end - 1, end))


def touches_word(view: View, start: int, end: int) -> bool:
    """Whether a letter or digit of any script is beside `[start, end)`."""
    before = start > 0 and view.text[start - 1].isalnum()
    return before or (end < len(view.text) and view.text[end].isalnum())


def _one_word(view: View, left: int, right: int) -> bool:
    if not (_ascii_alphanumeric(view.text[left]) and _ascii_alphanumeric(view.text[right])):
        return False
    return (left in view.enclosed) == (right in view.enclosed)


def _ascii_alphanumeric(character: str) -> bool:
    return character.isascii() and character.isalnum()
