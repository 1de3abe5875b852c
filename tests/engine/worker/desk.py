"""A scheduler in the test's process, and everything it says."""

from collections.abc import Sequence
from dataclasses import replace

import llama_cpp

from app.domain import Picture, Question, WrittenText
from app.engine.quoting import quoted
from app.engine.schema import schema_grammar
from app.engine.worker import decode, scheduler
from app.engine.worker.job import Job
from app.engine.worker.pace import FLAT, Pace
from app.engine.worker.protocol import Answered, Ask, AskedQuestion, Done, Started
from app.engine.worker.resident import Resident
from app.engine.worker.scheduler import Scheduler

#: More turns than any job here needs: one that never ends is a failure, not a hang.
MANY_TURNS = 5000


def ask_of(shown: Picture | WrittenText, questions: Sequence[Question], number: int = 1, priority: int = 0) -> Ask:
    return Ask(
        job=number,
        priority=priority,
        width=shown.width if isinstance(shown, Picture) else 0,
        height=shown.height if isinstance(shown, Picture) else 0,
        text=quoted(shown) if isinstance(shown, WrittenText) else None,
        remaining_s=60.0,
        questions=tuple(
            AskedQuestion(
                number=number,
                kind=question.kind,
                prompt=question.prompt,
                max_tokens=question.max_tokens,
                choices=question.choices,
                grammar=None if question.json_schema is None else schema_grammar(question.json_schema),
                stop=question.stop,
            )
            for number, question in enumerate(questions)
        ),
    )


class Desk:
    """A scheduler with everything that it said, and a clock that a test may move. It moves by `tick_s` itself whenever
    it is looked at."""

    def __init__(self, resident: Resident, *, tick_s: float = 0.0, pace: Pace = FLAT) -> None:
        self.now = 0.0
        self.tick_s = tick_s
        self.said: list[Started | Answered | Done] = []
        self.model, self.places = resident.model, resident.form.parallel_pictures
        self.scheduler = Scheduler(resident, self.said.append, clock=self._clock, pace=pace)

    def submit(
        self, shown: Picture | WrittenText, questions: Sequence[Question], number: int = 1, priority: int = 0
    ) -> None:
        rgb = shown.rgb if isinstance(shown, Picture) else b""
        self.scheduler.submit(ask_of(shown, questions, number, priority), rgb)

    def finish(self) -> None:
        for _ in range(MANY_TURNS):
            if not self.scheduler.busy:
                return
            self.turn()
        raise AssertionError("it never ends")

    def turn(self) -> None:
        """Of the scheduler, after which everything that is held is one job's, and no more than there is."""
        served = self._could_be_served()
        self.scheduler.turn()
        active, room = self.scheduler._active, self.scheduler._room
        assert len(active) <= self.places
        assert sum(not job.urgent for job in active) <= max(1, self.places - 1)
        assert min(room._ledger.free_cells, room._ledger.free_sequences) >= 0
        held = [job.sequence for job in active] + [sequence for job in active for sequence in job.asking]
        assert sorted([*held, *room._free]) == list(range(1, self.model.sequences)) or not active
        assert served is None or served not in self.scheduler._waiting, "a synchronous job waits for bulk ones"

    def _could_be_served(self) -> Job | None:
        """The first synchronous job that waits, where the next turn must let it in, whatever bulk jobs hold."""
        active = self.scheduler._active
        waiting = [job for job in self.scheduler._waiting if job.prepared]
        stay = [job for job in active if job.urgent or job.alone or job.gave_way >= scheduler._MOST_GIVEN_WAY]
        if not waiting or any(job.alone for job in (*waiting, *active)) or len(stay) == self.places:
            return None
        first = min(waiting, key=lambda job: job.urgency)
        if any(job.urgency < first.urgency for job in self.scheduler._waiting if not job.prepared):
            return None  # looked at in the turn, and let in before it
        accounts = [job.account for job in stay if job.account is not None]
        cells = self.model.context_tokens - len(self.scheduler._room._opening or ()) - sum(a.cells for a in accounts)
        sequences = self.model.sequences - 1 - sum(account.sequences for account in accounts)
        comes_in = any(job.way_in is not None for job in stay)
        fits = first.prefix is not None and first.prefix.cells + first.promised <= cells and sequences > 1
        return first if first.urgent and fits and not comes_in and first.deadline > self.now + 1 else None

    def _clock(self) -> float:
        self.now += self.tick_s
        return self.now

    def answers(self, job: int = 1) -> dict[int, Answered]:
        """By number; each was answered at most once, and none after the end."""
        mine = [said for said in self.said if said.job == job]
        assert [isinstance(said, Done) for said in mine].count(True) <= 1
        assert not any(isinstance(said, Done) for said in mine[:-1])
        given = [said for said in mine if isinstance(said, Answered)]
        assert len({answer.number for answer in given}) == len(given)
        return {answer.number: answer for answer in given}

    def done(self, job: int = 1) -> Done | None:
        return next((said for said in self.said if isinstance(said, Done) and said.job == job), None)

    def assert_empty(self) -> None:
        """Nothing is held any more but the opening: every other cell and sequence is free."""
        assert not self.scheduler.busy
        for sequence in range(1, self.model.sequences):
            assert llama_cpp.llama_memory_seq_pos_max(self.model.memory, sequence) == -1
        room = self.scheduler._room
        if room._opening is None:
            return
        assert sorted(room._free) == list(range(1, self.model.sequences))
        assert room._ledger.free_sequences == self.model.sequences - 1
        assert room._ledger.free_cells == self.model.context_tokens - len(room._opening)


def narrow(resident: Resident, pictures: int) -> Resident:
    """The same, with so many pictures in work at most."""
    return replace(resident, form=resident.form.model_copy(update={"parallel_pictures": pictures}))


def undrafted(resident: Resident) -> Resident:
    """The same, in which every token of an answer takes a step."""
    return replace(resident, form=resident.form.model_copy(update={"draft_tokens": 0}))


def run(resident: Resident, shown: Picture | WrittenText, questions: Sequence[Question]) -> dict[int, Answered]:
    desk = Desk(resident)
    desk.submit(shown, questions)
    desk.finish()
    desk.assert_empty()
    decode.forget(resident.model, wipe=True)
    return desk.answers()
