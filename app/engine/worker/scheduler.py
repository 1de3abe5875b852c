"""Many jobs through one context: continuous batching.

One turn brings one picture one step nearer (cut up, encoded, or decoded into its sequence) and then takes one decode
step in which the questions of all pictures that are in read their text and grow their answers together. llama.cpp's
contexts belong to one thread, so encoding and decoding take turns; no running answer waits for more than one step of a
picture.
"""

import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from app.domain import QuestionKind
from app.engine.base import Reason
from app.engine.worker import decode, logs, picture, subject
from app.engine.worker.choosing import Choosing
from app.engine.worker.encodings import Encodings
from app.engine.worker.grammar import BrokenGrammar, Grammar
from app.engine.worker.job import Asking, Job
from app.engine.worker.ledger import Account, Ledger
from app.engine.worker.protocol import Answered, Ask, Done, Started
from app.engine.worker.resident import Resident
from app.engine.worker.words import Logits, log_probabilities
from app.engine.worker.written import TextTooLong


class NotFinite(Exception):
    """Logits that are no numbers. While others are in the context it cannot be said whose fault they are."""


class Scheduler:
    """Every question of a job is answered unless it is cancelled, and then `Done` is said."""

    def __init__(
        self,
        resident: Resident,
        say: Callable[[Answered | Done | Started], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model, self._form = resident.model, resident.form
        self._tokenizer, self._words = resident.tokenizer, resident.words
        self._say, self._clock = say, clock
        self._encodings = Encodings(resident.form.remembered_bytes)
        self._waiting: list[Job] = []
        self._active: list[Job] = []
        self._arrival: tuple[Job, Iterator[int]] | None = None
        #: What the opening sequence holds. Fixed by the first picture; the same for nearly all.
        self._opening: tuple[int, ...] | None = None
        self._opening_is_in = False
        self._ledger = Ledger(0, 0)
        self._longest_turn_s = 0.0
        self._free: list[int] = []

    @property
    def busy(self) -> bool:
        return bool(self._waiting or self._active)

    def submit(self, ask: Ask, rgb: bytes, *, began: float | None = None) -> None:
        """`began` is when the job was read, on the scheduler's clock: its deadline counts from there."""
        job = Job(ask, rgb, began=self._clock() if began is None else began, say=self._say)
        self._waiting.append(job)

    def cancel(self, number: int, questions: Iterable[int] | None = None) -> None:
        """The whole job, or these questions of it."""
        for job in [*self._waiting, *self._active]:
            if job.ask.job != number:
                continue
            if questions is None:
                self._end(job)
            else:
                self._cancel_questions(job, frozenset(questions))

    def _cancel_questions(self, job: Job, numbers: frozenset[int]) -> None:
        for asking in [asking for asking in job.asking.values() if asking.question.number in numbers]:
            self._asked(job, asking)
        job.give_up(numbers)
        if job.account is not None:
            job.account.promised = job.promised
        if not job.open:
            self._end(job)

    def turn(self) -> None:
        """One step. Raises nothing for a job's fault: that ends as `failed`."""
        began = self._clock()
        self._end_late()
        try:
            self._bring_in()
            self._step()
        except decode.Fault as fault:
            logs.log("E", f"a step failed: {fault}")
            self._ask_again_alone(Reason.ENGINE_FAULT)
        except NotFinite:
            logs.log("E", "a step gave numbers that are none")
            self._ask_again_alone(Reason.NON_FINITE)
        except Exception as error:  # one job's mistake must not end the process that others wait for
            logs.log("E", f"a step failed: {type(error).__name__}")
            self._ask_again_alone(Reason.ENGINE_FAULT)
        self._longest_turn_s = max(self._longest_turn_s, self._clock() - began)
        for job in [job for job in self._active if not job.open]:
            self._end(job)

    def _end_late(self) -> None:
        now = self._clock()
        for job in [*self._waiting, *self._active]:
            if now >= job.deadline:
                job.time_out()
                self._end(job)

    # A picture's way in

    def _bring_in(self) -> None:
        if self._arrival is None:
            self._arrival = self._next_arrival()
        if self._arrival is None:
            return
        job, steps = self._arrival
        try:
            job.start = next(steps)
        except StopIteration:
            self._arrival = None
        except picture.UnusableEncoding:
            self._arrival = None
            job.fail_all(Reason.NON_FINITE)

    def _next_arrival(self) -> tuple[Job, Iterator[int]] | None:
        """The most urgent job, once there is room for it. None is let past it, or a large one would wait for ever."""
        while self._waiting:
            job = min(self._waiting, key=lambda job: job.urgency)
            if not self._may_enter(job):
                return None
            if not self._try_to_look_at(job):
                return None
            if job.open:
                return self._enter(job)
            self._end(job)
        return None

    def _may_enter(self, job: Job) -> bool:
        if job.alone or any(active.alone for active in self._active):
            return not self._active
        return len(self._active) < self._form.parallel_pictures

    def _try_to_look_at(self, job: Job) -> bool:
        try:
            return self._look_at(job)
        except TextTooLong:
            job.fail_all(Reason.TEXT_TOO_LONG)
        except decode.Fault as fault:
            logs.log("E", f"a picture was refused: {fault}")
            job.fail_all(Reason.ENGINE_FAULT)
        except Exception as error:  # it would be looked at again and again
            logs.log("E", f"a job was refused: {type(error).__name__}")
            job.fail_all(Reason.ENGINE_FAULT)
        return True

    def _look_at(self, job: Job) -> bool:
        """Everything that can be told without running the model. Whether that was all of it."""
        if job.prefix is None:
            self._say(Started(job=job.ask.job))
            job.refuse_empty_answers()
            if not job.open:
                return True
            job.prefix = subject.tokenize(self._model, self._tokenizer, self._form, job.ask, job.rgb)
            job.rgb = b""
            if self._opening is None:
                self._open_ledger(job.prefix.opening)
        if job.prepared:
            return True
        room = self._room_beside(job.prefix)
        return job.prepare(self._tokenizer, self._form.after_question, room, self._model.window_tokens)

    def _room_beside(self, prefix: subject.Prefix) -> int:
        """The most tokens that a question and its answer may have, by cells and by positions."""
        # The opening is there once for all; cells of it that this picture does not share are lost to it.
        unshared = len(self._opening or ()) - self._shared(prefix)
        return min(self._model.sequence_tokens - prefix.positions, self._model.context_tokens - unshared - prefix.cells)

    def _open_ledger(self, opening: tuple[int, ...]) -> None:
        self._opening, self._opening_is_in = opening, False
        self._ledger = Ledger(self._model.context_tokens - len(opening), self._model.sequences - 1)
        self._free = list(range(self._model.sequences - 1, decode.OPENING_SEQUENCE, -1))

    def _enter(self, job: Job) -> tuple[Job, Iterator[int]] | None:
        assert job.prefix is not None  # noqa: S101 - for the type checker: it was looked at
        shared = self._shared(job.prefix)
        account = self._ledger.open(job.prefix.cells - shared, job.promised)
        if account is None:
            return None
        self._waiting.remove(job)
        self._active.append(job)
        self._active.sort(key=lambda active: active.urgency)
        job.account, job.sequence = account, self._free.pop()
        self._read_opening()
        if shared:
            decode.fork(self._model, decode.OPENING_SEQUENCE, job.sequence, shared)
        return job, subject.evaluate(self._model, self._encodings, job.prefix, job.sequence, shared)

    def _read_opening(self) -> None:
        if not self._opening_is_in and self._opening:
            decode.feed(self._model, self._opening, 0, decode.OPENING_SEQUENCE)
        self._opening_is_in = True

    def _shared(self, prefix: subject.Prefix) -> int:
        """How many tokens of the opening are those that are kept."""
        kept = self._opening or ()
        pairs = zip(kept, prefix.opening, strict=False)
        return next((n for n, (one, other) in enumerate(pairs) if one != other), min(len(kept), len(prefix.opening)))

    # Questions

    def _step(self) -> None:
        """All that is asked reads on, in one batch; the earlier a job came, the surer its place in it."""
        arriving = self._arrival[0] if self._arrival is not None else None
        for job in self._active:
            if job is not arriving:
                self._ask_what_fits(job)
        asked = [(job, asking) for job in self._active for asking in job.asking.values()]
        # Answers that grow first: one token each, and somebody is waiting for the next.
        asked.sort(key=lambda pair: len(pair[1].pending) > 1)
        entries: list[decode.Entry] = []
        by_sequence: dict[int, tuple[Job, Asking]] = {}
        for job, asking in asked:
            entries += _reading(asking, self._model.step_tokens - len(entries))
            by_sequence[asking.sequence] = (job, asking)
        for sequence, logits in decode.decode(self._model, entries):
            self._heed(*by_sequence[sequence], logits)

    def _ask_what_fits(self, job: Job) -> None:
        account = _held(job)
        assert job.sequence is not None  # noqa: S101 - for the type checker: it entered
        while job.waits and self._ledger.take(account, job.next_question.cells, job.promised_then):
            sequence = self._free.pop()
            decode.fork(self._model, job.sequence, sequence)
            self._hold(job, job.begin_next(sequence))

    def _hold(self, job: Job, asking: Asking) -> None:
        """By its grammar, if it has one."""
        rules = asking.question.grammar
        if rules is None:
            return
        try:
            asking.grammar = Grammar(self._tokenizer, rules)
        except BrokenGrammar:
            job.fail(asking.question.number, Reason.SCHEMA_UNSUPPORTED)
            self._asked(job, asking)

    def _heed(self, job: Job, asking: Asking, logits: Logits) -> None:
        """What the model says after the last token that it read."""
        question = asking.question
        if question.kind is QuestionKind.YES_NO:
            logs_found = log_probabilities(logits, self._words)
            if logs_found is None:
                self._not_finite(job, question.number)
            else:
                job.answer_yes_no(question.number, *logs_found)
            self._asked(job, asking)
            return
        if asking.choosing is not None:
            self._choose(job, asking, asking.choosing, logits)
            return
        likeliest = int(np.argmax(logits))
        if not np.isfinite(logits[likeliest]):
            self._not_finite(job, question.number)
            self._asked(job, asking)
            return
        token = likeliest if asking.grammar is None else asking.grammar.choose(logits)
        ended = token is not None and self._tokenizer.ends_generation(token)
        if token is not None and not ended:
            asking.grow(token)
        if token is None or ended or len(asking.grown) >= question.max_tokens:
            pieces = [self._tokenizer.piece(grown) for grown in asking.grown]
            if asking.grammar is None:
                job.answer_text(question.number, pieces, truncated=not ended)
            else:
                job.answer_json(question.number, pieces, whole=ended or asking.grammar.may_end())
            self._asked(job, asking)

    def _choose(self, job: Job, asking: Asking, choosing: Choosing, logits: Logits) -> None:
        number = asking.question.number
        complete = choosing.hear(logits)
        if complete is None or not np.isfinite(choosing.log_choices).all():
            self._not_finite(job, number)
            self._asked(job, asking)
        elif complete and (word := choosing.next_word()) is not None:
            # The next word is read where the last one was.
            end = job.start + len(asking.question.tokens)
            decode.drop(self._model, asking.sequence, end)
            asking.position, asking.pending = end, word
        elif complete:
            job.answer_choice(number, choosing.log_choices)
            self._asked(job, asking)

    def _not_finite(self, job: Job, number: int) -> None:
        """Alone it is this question's fault. Nothing else may enter until the cells are wiped."""
        if len(self._active) > 1:
            raise NotFinite
        job.tainted = job.alone = True
        job.fail(number, Reason.NON_FINITE)

    def _asked(self, job: Job, asking: Asking) -> None:
        if asking.grammar is not None:
            asking.grammar.close()
        decode.drop(self._model, asking.sequence)
        self._free.append(asking.sequence)
        self._ledger.give(_held(job), asking.question.cells)
        del job.asking[asking.sequence]

    # Ends

    def _end(self, job: Job) -> None:
        """Whatever it held is free again."""
        if job in self._waiting:
            self._waiting.remove(job)
        if job in self._active:
            self._leave(job)
        if job.prefix is not None:
            job.prefix.close()
        job.done(self._clock(), longest_turn_s=self._longest_turn_s)

    def _leave(self, job: Job) -> None:
        if self._arrival is not None and self._arrival[0] is job:
            self._arrival = None
        for asking in list(job.asking.values()):
            self._asked(job, asking)
        if job.sequence is not None:
            decode.drop(self._model, job.sequence)
            self._free.append(job.sequence)
        self._ledger.close(_held(job))
        self._active.remove(job)
        if job.tainted:
            self._wipe()

    def _ask_again_alone(self, reason: Reason) -> None:
        """A step that several shared has failed: which of them did it shows when each is asked by itself. A job that
        was by itself has failed."""
        involved = list(self._active)
        for job in involved:
            if len(involved) == 1:
                job.fail_all(reason)
                self._end(job)
                continue
            self._leave(job)
            job.rewind()
            job.alone = True
            self._waiting.append(job)
        self._wipe()

    def _wipe(self) -> None:
        decode.forget(self._model, wipe=True)
        self._opening_is_in = False


def _reading(asking: Asking, room: int) -> list[decode.Entry]:
    """Its next tokens, as many as there is room for. The logits after the last of all are wanted, or after each of a
    word that is chosen or not."""
    tokens = asking.pending[: max(0, room)]
    last = len(asking.pending) - 1
    every = asking.choosing is not None and asking.choosing.reads_words
    entries = [
        decode.Entry(token, asking.position + offset, asking.sequence, every or offset == last)
        for offset, token in enumerate(tokens)
    ]
    asking.read(len(tokens))
    return entries


def _held(job: Job) -> Account:
    assert job.account is not None  # noqa: S101 - for the type checker: it entered
    return job.account
