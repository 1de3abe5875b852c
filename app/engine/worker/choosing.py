"""The probabilities of given words, by reading each of them after the question. Pure."""

from collections.abc import Sequence

from app.engine.worker.words import Logits, log_probability, log_total


class Choosing:
    """First the question alone says how likely each word's first token is; then the words of several tokens are read,
    one after another, in the same place. `log_choices` is complete when `next_word` is None after a word was heard."""

    def __init__(self, choices: Sequence[tuple[int, ...]]) -> None:
        self.log_choices: list[float] = []
        self._choices = choices
        self._longer = [number for number, tokens in enumerate(choices) if len(tokens) > 1][::-1]
        self._reading: int | None = None
        self._heard = 0

    @property
    def reads_words(self) -> bool:
        """Whether the logits after every token are wanted: it is past the question."""
        return self._reading is not None

    def hear(self, logits: Logits) -> bool | None:
        """What the model says after a token. True when the question, or the word it was reading, is complete; None for
        numbers that are none."""
        total = log_total(logits)
        if total is None:
            return None
        if self._reading is None:
            self.log_choices = [log_probability(logits[tokens[0]], total) for tokens in self._choices]
            return True
        tokens = self._choices[self._reading]
        self._heard += 1
        self.log_choices[self._reading] += log_probability(logits[tokens[self._heard]], total)
        return self._heard == len(tokens) - 1

    def next_word(self) -> tuple[int, ...] | None:
        """The tokens to read next, all but the last of a word; None when every word is complete."""
        self._heard = 0
        self._reading = self._longer.pop() if self._longer else None
        return None if self._reading is None else self._choices[self._reading][:-1]
