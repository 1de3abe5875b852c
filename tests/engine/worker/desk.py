"""A scheduler in the test's process, and everything it says."""

from collections.abc import Sequence

import llama_cpp

from app.domain import Picture, Question, WrittenText
from app.engine.quoting import quoted
from app.engine.schema import schema_grammar
from app.engine.worker import decode
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
    """A scheduler with everything that it said, and a clock that a test may move."""

    def __init__(self, resident: Resident) -> None:
        self.now = 0.0
        self.said: list[Started | Answered | Done] = []
        self.model = resident.model
        self.scheduler = Scheduler(resident, self.said.append, clock=lambda: self.now)

    def submit(
        self, shown: Picture | WrittenText, questions: Sequence[Question], number: int = 1, priority: int = 0
    ) -> None:
        rgb = shown.rgb if isinstance(shown, Picture) else b""
        self.scheduler.submit(ask_of(shown, questions, number, priority), rgb)

    def finish(self) -> None:
        for _ in range(MANY_TURNS):
            if not self.scheduler.busy:
                return
            self.scheduler.turn()
        raise AssertionError("it never ends")

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


def run(resident: Resident, shown: Picture | WrittenText, questions: Sequence[Question]) -> dict[int, Answered]:
    desk = Desk(resident)
    desk.submit(shown, questions)
    desk.finish()
    desk.assert_empty()
    decode.forget(resident.model, wipe=True)
    return desk.answers()
