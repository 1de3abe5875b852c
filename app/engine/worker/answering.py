"""What the model says after the last token that it read, made into answers."""

import numpy as np

from app.domain import QuestionKind
from app.engine.base import Reason
from app.engine.worker import decode
from app.engine.worker.choosing import Choosing
from app.engine.worker.drafting import Drafting
from app.engine.worker.grammar import BrokenGrammar, Grammar
from app.engine.worker.job import Asking, Job
from app.engine.worker.resident import Resident
from app.engine.worker.words import Logits, log_probabilities


class NotFinite(Exception):
    """Logits that are no numbers. While others are in the context it cannot be said whose fault they are."""


class Answering:
    def __init__(self, resident: Resident, drafting: Drafting) -> None:
        self._drafting = drafting
        self._model, self._tokenizer, self._words = resident.model, resident.tokenizer, resident.words

    def hold(self, job: Job, asking: Asking) -> bool:
        """By its grammar, if it has one. False where that is none, which is its answer."""
        rules = asking.question.grammar
        if rules is None:
            return True
        try:
            asking.grammar = Grammar(self._tokenizer, rules)
        except BrokenGrammar:
            job.fail(asking.question.number, Reason.SCHEMA_UNSUPPORTED)
            return False
        return True

    def heed(self, job: Job, asking: Asking, logits: Logits) -> bool:
        """Whether that was all that is asked. Raises NotFinite."""
        if asking.question.kind is QuestionKind.YES_NO:
            logs_found = log_probabilities(logits, self._words)
            if logs_found is None:
                raise NotFinite
            job.answer_yes_no(asking.question.number, *logs_found)
            return True
        if asking.choosing is not None:
            return self._choose(job, asking, asking.choosing, logits)
        return self._grow(job, asking, logits)

    def _grow(self, job: Job, asking: Asking, logits: Logits) -> bool:
        question = asking.question
        likeliest = int(np.argmax(logits))
        if not np.isfinite(logits[likeliest]):
            raise NotFinite
        token = likeliest if asking.grammar is None else asking.grammar.choose(logits)
        ended = token is not None and self._tokenizer.ends_generation(token)
        if token is not None and not ended:
            self._drafting.grow(asking, token)
            if asking.stopping is not None and asking.stopping.hear(self._tokenizer.piece(token)):
                self._drafting.learn(asking, whole=False)
                job.answer_text(question.number, [asking.stopping.text], truncated=False)
                return True
        if token is not None and not ended and len(asking.grown) < question.max_tokens:
            if asking.strayed:
                decode.drop(self._model, asking.sequence, asking.position)
            return False
        self._drafting.learn(asking, whole=ended)
        pieces = [self._tokenizer.piece(grown) for grown in asking.grown]
        if asking.grammar is None:
            job.answer_text(question.number, pieces, truncated=not ended)
        else:
            job.answer_json(question.number, pieces, whole=ended or asking.grammar.may_end())
        return True

    def _choose(self, job: Job, asking: Asking, choosing: Choosing, logits: Logits) -> bool:
        complete = choosing.hear(logits)
        if complete is None or not np.isfinite(choosing.log_choices).all():
            raise NotFinite
        if not complete:
            return False
        if (word := choosing.next_word()) is None:
            job.answer_choice(asking.question.number, choosing.log_choices)
            return True
        # The next word is read where the last one was.
        end = job.start + len(asking.question.tokens)
        decode.drop(self._model, asking.sequence, end)
        asking.position, asking.pending = end, word
        return False
