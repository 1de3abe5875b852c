"""Many jobs through one context: continuous batching.

One turn brings one picture one step nearer (cut up, encoded, or decoded into its sequence) and then takes one decode
step in which the questions of all pictures that are in read their text and grow their answers together. llama.cpp's
contexts belong to one thread, so encoding and decoding take turns; no running answer waits for more than one step of a
picture.

While synchronous jobs are in work, bulk jobs do little (see `Yielding`), and where there is no room for one they leave
theirs.
"""

import time
from collections.abc import Callable, Iterable, Sequence

from app.engine.base import Reason
from app.engine.worker import decode, logs, picture, subject
from app.engine.worker.admission import Admission
from app.engine.worker.answering import Answering, NotFinite
from app.engine.worker.drafting import Drafting
from app.engine.worker.encodings import Encodings
from app.engine.worker.job import Asking, Job
from app.engine.worker.line import Line
from app.engine.worker.pace import FLAT, Pace
from app.engine.worker.protocol import Answered, Ask, Done, Started
from app.engine.worker.reading import batches, next_entries, parts
from app.engine.worker.resident import Resident
from app.engine.worker.room import Room
from app.engine.worker.words import Logits
from app.engine.worker.yielding import Yielding

#: A job that has left its place so often stays: it loses what it was growing each time, and must end some day.
_MOST_GIVEN_WAY = 3
#: Far beyond what the client lets wait here. One more is refused: each holds its picture.
_MOST_WAITING = 256


class Scheduler:
    """Every question of a job is answered unless it is cancelled, and then `Done` is said."""

    def __init__(
        self,
        resident: Resident,
        say: Callable[[Answered | Done | Started], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        pace: Pace = FLAT,
    ) -> None:
        self._model, self._form = resident.model, resident.form
        self._say, self._clock = say, clock
        self._room = Room(resident.model, resident.form)
        self._admission = Admission(resident, self._room, say, clock)
        self._pace = pace
        self._drafting = Drafting(resident.model, resident.form.draft_tokens, pace)
        self._answering = Answering(resident, self._drafting)
        self._encodings = Encodings(resident.form.remembered_bytes)
        self._waiting = Line()
        self._active: list[Job] = []
        self._yielding = Yielding()
        self._longest_turn_s = 0.0

    @property
    def busy(self) -> bool:
        return bool(self._waiting or self._active)

    def submit(self, ask: Ask, rgb: bytes, *, began: float | None = None) -> None:
        """`began` is when the job was read, on the scheduler's clock: its deadline counts from there."""
        job = Job(ask, rgb, began=self._clock() if began is None else began, say=self._say)
        if len(self._waiting) < _MOST_WAITING:
            self._waiting.add(job)
            return
        logs.log("E", f"a job was refused: {_MOST_WAITING} wait")
        job.fail_all(Reason.ENGINE_BUSY)
        self._end(job)

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
            self._look_ahead()
            self._let_in()
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

    def _look_ahead(self) -> None:
        for job in self._waiting.looked_at():
            began = self._clock()
            if job.prepared or self._rests(job, began):
                continue
            self._admission.look_at(job)
            self._worked_on(job, began)
            if not job.open:
                self._end(job)

    def _let_in(self) -> None:
        """The first of those that wait, once there is room for it: none is let past it then, or a large one would wait
        for ever."""
        job = self._waiting.first()
        if job is None or any(other.way_in is not None and other.urgent >= job.urgent for other in self._active):
            return
        if job.urgent and not self._fits(job):
            self._make_room(job)
        if self._fits(job) and not self._rests(job, self._clock()):
            self._enter(job)

    def _fits(self, job: Job, without: Sequence[Job] = ()) -> bool:
        """Whether it may enter once these have left. Bulk jobs leave room for a synchronous one; but where none is in,
        one may take all that is left, or it would wait for ever in a small context, or beside many synchronous ones."""
        beside = [other for other in self._active if other not in without]
        if job.alone or any(other.alone for other in beside):
            return not beside
        keeps = not job.urgent and not all(other.urgent for other in beside)
        places = self._form.parallel_pictures - keeps
        assert job.prefix is not None  # noqa: S101 - for the type checker: it was looked at
        return len(beside) < places and self._room.fits(job, job.prefix, keeps=keeps, without=without)

    def _make_room(self, job: Job) -> None:
        """Bulk jobs leave their places, the last to come first, where that is enough."""
        movable = [
            other
            for other in self._active
            # One that is asked again alone would have emptied the context for nothing.
            if not other.urgent and not other.alone and other.gave_way < _MOST_GIVEN_WAY
        ]
        if not self._fits(job, movable):
            return
        while not self._fits(job):
            other = movable.pop()
            other.gave_way += 1
            self._put_back(other)

    def _enter(self, job: Job) -> None:
        assert job.prefix is not None  # noqa: S101 - for the type checker: it was looked at
        shared = self._room.enter(job, job.prefix)
        assert job.sequence is not None  # noqa: S101 - for the type checker: it entered
        self._waiting.let_in(job)
        self._active.append(job)
        self._active.sort(key=lambda active: active.urgency)
        self._room.share_opening(job, shared)
        job.way_in = subject.evaluate(self._model, self._encodings, job.prefix, job.sequence, shared)

    def _bring_in(self) -> None:
        job = next((job for job in self._active if job.way_in is not None), None)
        began = self._clock()
        if job is None or job.way_in is None or self._rests(job, began):
            return
        try:
            job.start = next(job.way_in)
        except StopIteration:
            job.way_in = None
        except picture.UnusableEncoding:
            # At once: its questions would be read in a sequence that has no picture.
            job.fail_all(Reason.NON_FINITE)
            self._end(job)
        self._worked_on(job, began)

    def _rests(self, job: Job, now: float) -> bool:
        return not job.urgent and self._pressed and self._yielding.rests(now)

    def _worked_on(self, job: Job, began: float) -> None:
        if not job.urgent:
            self._yielding.worked(began, self._clock())

    @property
    def _pressed(self) -> bool:
        """Whether a synchronous job is in work or looked at, so that bulk jobs hold back. Not where one waits for room:
        that may be theirs."""
        looked_at = (job for job in self._waiting.looked_at() if not job.prepared)
        return any(job.urgent for job in (*self._active, *looked_at))

    # Questions

    def _step(self) -> None:
        """All that is asked reads on; the earlier a job came, the surer its place in it."""
        pressed = self._pressed
        for job in self._active:
            if job.way_in is None:
                self._ask_what_fits(job, one=pressed and not job.urgent)
        by_sequence = {asking.sequence: (job, asking) for job in self._active for asking in job.asking.values()}
        urgent = [asking for job, asking in by_sequence.values() if job.urgent]
        bulk = [asking for job, asking in by_sequence.values() if not job.urgent]
        # A job that is alone may be so because of a guess.
        if not any(job.alone for job in self._active):
            self._drafting.draft(urgent if pressed else [*urgent, *bulk])
        entries = next_entries(urgent, self._model.step_tokens)
        room = self._model.step_tokens - len(entries)
        certain = len(entries) - sum(len(asking.draft) for asking in urgent)
        along = next_entries(bulk, min(room, self._yielding.tokens(certain)) if pressed else room)
        if pressed:
            self._yielding.read(len(along))
        entries += along
        grown = {sequence for sequence, (_, asking) in by_sequence.items() if asking.grown}
        together = batches(entries, grown, self._model.tile_tokens)
        for part in [part for batch in together for part in parts(batch, grown, self._pace)]:
            for sequence, logits in decode.decode(self._model, part):
                job, asking = by_sequence[sequence]
                if job.asking.get(sequence) is not asking:
                    # Done: what was read after that, perhaps in a batch of its own, must not be in the way of the next.
                    decode.drop(self._model, sequence)
                # Where its draft went another way than its answer, what was read after that says nothing.
                elif not asking.strayed:
                    self._heed(job, asking, logits)

    def _ask_what_fits(self, job: Job, *, one: bool) -> None:
        """Or only `one` question, so that the job goes on."""
        while not (one and job.asking) and (asking := self._room.begin_next(job)) is not None:
            if not self._answering.hold(job, asking):
                self._asked(job, asking)

    def _heed(self, job: Job, asking: Asking, logits: Logits) -> None:
        try:
            done = self._answering.heed(job, asking, logits)
        except NotFinite:
            # Alone it is this question's fault. Nothing else may enter until the cells are wiped.
            if not job.alone:
                raise
            job.tainted = done = True
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
        job.done(self._clock(), longest_turn_s=self._longest_turn_s, drafts=self._drafting.tell())
        self._longest_turn_s = 0.0

    def _leave(self, job: Job) -> None:
        for asking in list(job.asking.values()):
            self._asked(job, asking)
        self._room.leave(job)
        self._active.remove(job)
        if job.tainted:
            self._room.wipe()

    def _ask_again_alone(self, reason: Reason) -> None:
        """A step has failed: which of those in it did it shows when each is asked by itself, in cells that are wiped. A
        job that was has failed; one that has all its answers is done."""
        for job in list(self._active):
            if job.alone or not job.open:
                job.fail_all(reason)
                self._end(job)
                continue
            job.alone = True
            self._put_back(job)
        self._room.wipe()

    def _put_back(self, job: Job) -> None:
        """From its place to those that wait. Its answers stay; what it was growing begins anew."""
        self._leave(job)
        job.rewind()
        self._waiting.add(job)
