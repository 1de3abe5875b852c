"""A text's way into the context: tokens where a picture would be, decoded into a sequence that its questions are forked
from."""

from collections.abc import Iterator
from dataclasses import dataclass

from app.engine.base import MOST_TEXT_TOKENS
from app.engine.worker import decode
from app.engine.worker.model import Model
from app.engine.worker.prompt import Tokenizer
from app.engine.worker.protocol import Load


class TextTooLong(Exception):
    """It has more tokens than one text may."""


@dataclass(frozen=True, slots=True)
class TextPrefix:
    """The prompt up to the question, as `picture.Prefix` is that of a picture: `opening` are the tokens before the
    text, the first of `tokens`."""

    tokens: tuple[int, ...]
    opening: tuple[int, ...]

    @property
    def cells(self) -> int:
        return len(self.tokens)

    @property
    def positions(self) -> int:
        return len(self.tokens)

    @property
    def picture_tokens(self) -> int:
        return 0

    def close(self) -> None:
        """It holds nothing of llama.cpp's."""


def tokenize(tokenizer: Tokenizer, form: Load, text: str) -> TextPrefix:
    """Raises TextTooLong."""
    opening = tokenizer.form(form.before_picture)
    written = tokenizer.plain_once(text)
    if len(written) > MOST_TEXT_TOKENS:
        raise TextTooLong
    return TextPrefix(opening + written + tokenizer.form(form.after_picture), opening)


def evaluate(model: Model, prefix: TextPrefix, sequence: int, shared: int) -> Iterator[int]:
    """As `picture.evaluate`: a step at each `next`, and the position after it. Raises Fault."""
    for position in range(shared, len(prefix.tokens), model.step_tokens):
        tokens = prefix.tokens[position : position + model.step_tokens]
        decode.feed(model, tokens, position, sequence)
        yield position + len(tokens)
