"""One job: the picture once, then its questions forked from it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from app.domain import QuestionKind, Status
from app.engine.base import Reason
from app.engine.worker import decode, picture, plan
from app.engine.worker.protocol import Answered, Ask, AskedQuestion
from app.engine.worker.resident import Resident
from app.engine.worker.words import Logits, log_probabilities

#: Says whether the job must end now (its deadline came, or it was cancelled).
Stopped = Callable[[], bool]
Emit = Callable[[Answered], None]


class Stop(Exception):
    """The job ends here; what is unanswered stays so."""


@dataclass(slots=True)
class Generation:
    """An answer that grows."""

    number: int
    sequence: int
    position: int
    max_tokens: int
    tokens: list[int] = field(default_factory=list)


class Job:
    """Answers every question at most once through `emit`; the caller ends those that are left in `open`."""

    def __init__(self, resident: Resident, ask: Ask, emit: Emit) -> None:
        self.open = {question.number: question for question in ask.questions}
        self.picture_tokens = 0
        self.tainted = False
        self._model, self._form = resident.model, resident.form
        self._tokenizer, self._words = resident.tokenizer, resident.words
        self._ask, self._emit = ask, emit

    def run(self, rgb: bytes, stopped: Stopped) -> None:
        """Raises Stop when `stopped` says so between two steps, and picture.Fault when llama.cpp fails."""
        _stop_if(stopped)
        self._refuse_empty_answers()
        if not self.open:
            return
        with picture.tokenized(self._model, self._form, self._ask, rgb) as prefix:
            self.picture_tokens = prefix.picture_tokens
            prepared = list(self._prepare(self._model.sequence_tokens - prefix.cells, stopped))
            if not prepared:
                return
            start = self._evaluate(prefix, stopped)
        cells = self._model.context_tokens - prefix.cells
        for group in plan.groups(prepared, cells=cells, sequences=self._model.parallel_questions):
            self._ask_group(group, start, stopped)

    def _evaluate(self, prefix: picture.Prefix, stopped: Stopped) -> int:
        """The position after the prefix."""
        position = 0
        for position in picture.evaluate(self._model, prefix):  # noqa: B007 - the last one is what is wanted
            _stop_if(stopped)
        return position

    def _refuse_empty_answers(self) -> None:
        for question in list(self.open.values()):
            if question.kind is QuestionKind.GENERATE and question.max_tokens < 1:
                self._end(question.number, Reason.NO_TOKENS_ALLOWED)

    def _prepare(self, room: int, stopped: Stopped) -> Iterator[plan.Prepared]:
        """The questions as tokens; those that cannot fit even alone are ended before the model runs."""
        if room < 1:
            for number in list(self.open):
                self._end(number, Reason.PICTURE_TOO_LARGE)
            return
        for question in list(self.open.values()):
            _stop_if(stopped)
            prepared = self._tokenized(question, room)
            if prepared is None or prepared.cells > room:
                self._end(question.number, Reason.QUESTION_TOO_LONG)
            else:
                yield prepared

    def _tokenized(self, question: AskedQuestion, room: int) -> plan.Prepared | None:
        if self._tokenizer.too_long(question.prompt, room):
            return None
        tokens = self._tokenizer.plain(question.prompt) + self._tokenizer.form(self._form.after_question)
        return plan.prepare(question, tokens)

    def _ask_group(self, group: list[plan.Prepared], start: int, stopped: Stopped) -> None:
        _stop_if(stopped)
        by_sequence = dict(enumerate(group, start=1))
        entries = []
        for sequence, question in by_sequence.items():
            decode.fork(self._model, sequence)
            last = len(question.tokens) - 1
            entries += [
                decode.Entry(token, start + offset, sequence, offset == last)
                for offset, token in enumerate(question.tokens)
            ]
        growing = []
        for sequence, logits in decode.decode(self._model, entries):
            question = by_sequence[sequence]
            if question.kind is QuestionKind.YES_NO:
                self._answer_yes_no(question.number, logits)
            else:
                position = start + len(question.tokens)
                generation = Generation(question.number, sequence, position, question.max_tokens)
                growing += self._grow(generation, logits)
        while growing:
            _stop_if(stopped)
            growing = self._step(growing)
        for sequence in by_sequence:
            decode.drop(self._model, sequence)

    def _step(self, growing: list[Generation]) -> list[Generation]:
        """One more token for every growing answer, in one batch; those that still grow."""
        by_sequence = {generation.sequence: generation for generation in growing}
        entries = [
            decode.Entry(generation.tokens[-1], generation.position + len(generation.tokens) - 1, sequence, True)
            for sequence, generation in by_sequence.items()
        ]
        still = []
        for sequence, logits in decode.decode(self._model, entries):
            still += self._grow(by_sequence[sequence], logits)
        return still

    def _grow(self, generation: Generation, logits: Logits) -> list[Generation]:
        """Append the likeliest token. Empty when that ended the answer."""
        token = int(np.argmax(logits))
        if not np.isfinite(logits[token]):
            self.tainted = True
            self._end(generation.number, Reason.NON_FINITE)
            return []
        ended = self._tokenizer.ends_generation(token)
        if not ended:
            generation.tokens.append(token)
            if len(generation.tokens) < generation.max_tokens:
                return [generation]
        self._answer_text(generation, truncated=not ended)
        return []

    def _answer_text(self, generation: Generation, *, truncated: bool) -> None:
        raw = b"".join(self._tokenizer.piece(token) for token in generation.tokens)
        # A character that the end cut through is left out; other broken bytes show as what they are.
        text = raw.decode("utf-8", "replace").rstrip("\ufffd") if truncated else raw.decode("utf-8", "replace")
        self._answer(
            Answered(
                job=self._ask.job, number=generation.number, status=Status.OK, text=text.strip(), truncated=truncated
            )
        )

    def _answer_yes_no(self, number: int, logits: Logits) -> None:
        logs = log_probabilities(logits, self._words)
        if logs is None:
            self.tainted = True
            self._end(number, Reason.NON_FINITE)
            return
        log_yes, log_no = logs
        self._answer(Answered(job=self._ask.job, number=number, status=Status.OK, log_yes=log_yes, log_no=log_no))

    def _end(self, number: int, reason: Reason) -> None:
        self._answer(Answered(job=self._ask.job, number=number, status=Status.FAILED, reason=reason))

    def _answer(self, answered: Answered) -> None:
        if self.open.pop(answered.number, None) is not None:
            self._emit(answered)


def _stop_if(stopped: Stopped) -> None:
    if stopped():
        raise Stop
