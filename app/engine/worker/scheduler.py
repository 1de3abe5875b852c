"""Many jobs through one context: continuous batching.

One turn brings one picture one step nearer (cut up, encoded, or decoded into its sequence) and then takes one decode
step in which the questions of all pictures that are in read their text and grow their answers together. llama.cpp's
contexts belong to one thread, so encoding and decoding take turns; no running answer waits for more than one step of a
picture.
"""

import time
from collections.abc import Callable, Iterable, Iterator

from app.engine.base import Reason
from app.engine.worker import decode, logs, picture, subject
from app.engine.worker.admission import Admission
from app.engine.worker.answering import Answering, NotFinite
from app.engine.worker.encodings import Encodings
from app.engine.worker.job import Asking, Job
from app.engine.worker.protocol import Answered, Ask, Done, Started
from app.engine.worker.reading import batches, next_entries
from app.engine.worker.resident import Resident
from app.engine.worker.room import Room
from app.engine.worker.words import Logits


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
        self._say, self._clock = say, clock
        self._room = Room(resident.model)
        self._admission = Admission(resident, self._room, say)
        self._answering = Answering(resident)
        self._encodings = Encodings(resident.form.remembered_bytes)
        self._waiting: list[Job] = []
        self._active: list[Job] = []
        self._arrival: tuple[Job, Iterator[int]] | None = None
        self._longest_turn_s = 0.0

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
            if not self._admission.look_at(job):
                return None
            if job.open:
                return self._enter(job)
            self._end(job)
        return None

    def _may_enter(self, job: Job) -> bool:
        if job.alone or any(active.alone for active in self._active):
            return not self._active
        return len(self._active) < self._form.parallel_pictures

    def _enter(self, job: Job) -> tuple[Job, Iterator[int]] | None:
        assert job.prefix is not None  # noqa: S101 - for the type checker: it was looked at
        shared = self._room.enter(job, job.prefix)
        if shared is None or job.sequence is None:
            return None
        self._waiting.remove(job)
        self._active.append(job)
        self._active.sort(key=lambda active: active.urgency)
        self._room.share_opening(job, shared)
        return job, subject.evaluate(self._model, self._encodings, job.prefix, job.sequence, shared)

    # Questions

    def _step(self) -> None:
        """All that is asked reads on; the earlier a job came, the surer its place in it."""
        arriving = self._arrival[0] if self._arrival is not None else None
        for job in self._active:
            if job is not arriving:
                self._ask_what_fits(job)
        by_sequence = {asking.sequence: (job, asking) for job in self._active for asking in job.asking.values()}
        entries = next_entries((asking for _, asking in by_sequence.values()), self._model.step_tokens)
        grown = {sequence for sequence, (_, asking) in by_sequence.items() if asking.grown}
        for batch in batches(entries, grown, self._model.tile_tokens):
            for sequence, logits in decode.decode(self._model, batch):
                self._heed(*by_sequence[sequence], logits)

    def _ask_what_fits(self, job: Job) -> None:
        while (asking := self._room.begin_next(job)) is not None:
            if not self._answering.hold(job, asking):
                self._asked(job, asking)

    def _heed(self, job: Job, asking: Asking, logits: Logits) -> None:
        try:
            done = self._answering.heed(job, asking, logits)
        except NotFinite:
            # Alone it is this question's fault. Nothing else may enter until the cells are wiped.
            if len(self._active) > 1:
                raise
            job.tainted = job.alone = done = True
            job.fail(asking.question.number, Reason.NON_FINITE)
        if done:
            self._asked(job, asking)

    def _asked(self, job: Job, asking: Asking) -> None:
        if asking.grammar is not None:
            asking.grammar.close()
        self._room.give_back(job, asking)

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
        self._longest_turn_s = 0.0

    def _leave(self, job: Job) -> None:
        if self._arrival is not None and self._arrival[0] is job:
            self._arrival = None
        for asking in list(job.asking.values()):
            self._asked(job, asking)
        self._room.leave(job)
        self._active.remove(job)
        if job.tainted:
            self._room.wipe()

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
        self._room.wipe()
