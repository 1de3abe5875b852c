"""Everything that stays loaded between jobs."""

from dataclasses import dataclass

from app.engine.worker import form
from app.engine.worker.model import Model, load
from app.engine.worker.prompt import Tokenizer
from app.engine.worker.protocol import Load
from app.engine.worker.words import WordTokens, word_tokens


@dataclass(frozen=True, slots=True)
class Resident:
    """`form` holds the constant text of the prompt."""

    model: Model
    form: Load
    tokenizer: Tokenizer
    words: WordTokens


def load_resident(order: Load) -> Resident:
    """Raises EngineError for files that cannot serve."""
    model = load(order)
    tokenizer = Tokenizer(model.vocab)
    order = form.settled(order, model.model, tokenizer)
    words = word_tokens(order.yes_words, order.no_words, tokenizer.plain, tokenizer.piece)
    return Resident(model=model, form=order, tokenizer=tokenizer, words=words)
