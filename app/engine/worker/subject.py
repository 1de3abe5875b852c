"""What a job is about: a picture, or a text in its place."""

from collections.abc import Iterator

from app.engine.worker import picture, written
from app.engine.worker.encodings import Encodings
from app.engine.worker.model import Model
from app.engine.worker.prompt import Tokenizer
from app.engine.worker.protocol import Ask, Load

Prefix = picture.Prefix | written.TextPrefix


def tokenize(model: Model, tokenizer: Tokenizer, form: Load, ask: Ask, rgb: bytes) -> Prefix:
    """Does not run the model. Raises Fault, TextTooLong."""
    if ask.text is not None:
        return written.tokenize(tokenizer, form, ask.text)
    return picture.tokenize(model, form, ask, rgb)


def evaluate(model: Model, encodings: Encodings, prefix: Prefix, sequence: int, shared: int) -> Iterator[int]:
    """Runs the prefix into the sequence; see `picture.evaluate`."""
    if isinstance(prefix, written.TextPrefix):
        return written.evaluate(model, prefix, sequence, shared)
    return picture.evaluate(model, encodings, prefix, sequence, shared)
