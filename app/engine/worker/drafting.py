"""Speculative decoding: answers that grow read along what they are likely to say next.

A step reads all weights, for one token as for a few. So a growing answer's step reads, after its last token, a draft of
those that may follow. Of these it keeps what the model would have said itself, in the same order and by the same rule,
and forgets the rest (`Asking.grow`): a draft makes an answer quicker, and never another than any other batch could.
"""

from collections.abc import Collection
from dataclasses import replace

from app.engine.worker.job import NO_DRAFTS, Asking, Drafts
from app.engine.worker.model import Model
from app.engine.worker.ngrams import Guess, Ngrams
from app.engine.worker.pace import Pace, most_for_its_time


def most_tokens(model: Model, wanted: int) -> int:
    """None where the model attends through a window: what a draft pushed out of it would be lost when the draft is
    forgotten."""
    return wanted if model.window_tokens >= model.context_tokens else 0


class Drafting:
    """At most `most` tokens an answer."""

    def __init__(self, model: Model, most: int, pace: Pace) -> None:
        self._most = most_tokens(model, most)
        self._pace = pace
        # All that a sequence reads must be in one batch, and every token of it wants its logits; so may two tokens of
        # bulk work that come along.
        self._room = min(model.step_tokens, model.outputs - 2)
        if model.tile_tokens:
            # With more, attention on a processor takes another way.
            self._room = min(self._room, model.tile_tokens - 1)
        self._ngrams = Ngrams()
        self._untold = NO_DRAFTS

    def draft(self, asked: Collection[Asking]) -> None:
        """Gives drafts to those of them that grow. `asked` are all that read in the step, or nearly: where they are too
        many for one batch, nobody drafts."""
        certain = sum(len(asking.pending) for asking in asked)
        growing = [asking for asking in asked if asking.grown]
        if not self._most or not growing or certain >= self._room:
            return
        likely = [(guess.chance, asking, guess.token) for asking in growing for guess in self._guesses(asking)]
        likely.sort(key=lambda one: -one[0])
        chances = [chance for chance, _, _ in likely[: self._room - certain]]
        apart = len(growing) == len(asked)
        chosen = likely[: most_for_its_time(certain, chances, self._pace, may_be_apart=apart)]
        for _, asking, token in chosen:
            asking.draft = (*asking.draft, token)
        self._untold = replace(self._untold, read=self._untold.read + len(chosen))

    def grow(self, asking: Asking, token: int) -> None:
        if asking.grow(token):
            self._untold = replace(self._untold, foreseen=self._untold.foreseen + 1)

    def learn(self, asking: Asking, *, whole: bool) -> None:
        """What it said in the end."""
        if self._most:
            self._ngrams.learn(asking.question.tokens, asking.grown, whole=whole)

    def tell(self) -> Drafts:
        """What was drafted since this was asked last."""
        told, self._untold = self._untold, NO_DRAFTS
        return told

    def _guesses(self, asking: Asking) -> list[Guess]:
        question = asking.question
        # The last token that it may say is not read any more.
        most = min(self._most, question.max_tokens - len(asking.grown) - 1)
        return self._ngrams.go_on(question.tokens, asking.grown, most)
