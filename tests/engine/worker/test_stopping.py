"""Answers that stop texts end are the plain ones, cut."""

import pytest

from app.domain import Question, QuestionKind, Status
from app.engine.stopping import cut_at_stop
from app.engine.worker.resident import Resident
from tests.engine.jobs import picture, probes
from tests.engine.worker.desk import Desk, run


def describe(*stop: str) -> Question:
    return Question("caption", QuestionKind.GENERATE, "Describe the image.", 24, stop=stop)


def test_stopped_answers_are_the_plain_one_cut_at_the_same_place(resident: Resident) -> None:
    """At every place and length, all of them grown together beside probes."""
    plain = run(resident, picture(), [describe()])[0].text
    assert plain
    stops = [plain[at : at + length] for at in range(len(plain)) for length in (1, 2, 5)]

    answers = run(resident, picture(), [*probes(), *map(describe, stops)])

    for number, stop in enumerate(stops, start=len(probes())):
        cut, stopped = cut_at_stop(plain, [stop])
        assert stopped
        assert (answers[number].status, answers[number].truncated) == (Status.OK, False)
        assert answers[number].text == cut.strip()


@pytest.mark.parametrize("shown", [0, 3])
def test_the_rest_is_not_grown(desk: Desk, resident: Resident, shown: int) -> None:
    plain = run(resident, picture(shown), [describe()])[0].text
    assert plain

    def turns(number: int, question: Question) -> int:
        desk.submit(picture(shown), [question], number=number)
        count = 0
        while desk.scheduler.busy:
            desk.scheduler.turn()
            count += 1
        return count

    turns(1, describe())  # the picture's encoding is kept from here on
    assert turns(2, describe(plain[:1])) < turns(3, describe())
    desk.assert_empty()
