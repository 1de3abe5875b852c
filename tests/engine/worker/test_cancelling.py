"""Single questions of a job are given up: what they held is free, and the others notice nothing."""

import pytest

from app.domain import Question, QuestionKind, Status
from app.engine.worker import decode
from app.engine.worker.resident import Resident
from tests.engine.jobs import BOUND, caption, picture, probes
from tests.engine.worker.desk import Desk, run

QUESTIONS = [*probes()[:6], caption(12), caption(6)]


@pytest.mark.parametrize("numbers", [{0}, {1, 4, 6}, {6, 7}, set(range(7)), set(range(8)), {99}])
def test_questions_given_up_at_any_step_free_what_they_held(resident: Resident, numbers: set[int]) -> None:
    """Each time a little further into the job."""
    expected = run(resident, picture(0), QUESTIONS)
    for turns in range(20):
        desk = Desk(resident)
        desk.submit(picture(0), QUESTIONS)
        for _ in range(turns):
            desk.scheduler.turn()
        before = desk.answers()
        desk.scheduler.cancel(1, numbers)
        desk.finish()
        desk.assert_empty()
        decode.forget(resident.model, wipe=True)

        answers = desk.answers()
        assert set(answers) == (set(range(len(QUESTIONS))) - numbers) | set(before)
        assert desk.done() is not None
        for number, answer in answers.items():
            assert answer.status is Status.OK
            assert answer.log_yes == pytest.approx(expected[number].log_yes, abs=BOUND)


def test_what_is_given_up_makes_room_for_the_next_picture(resident: Resident, desk: Desk) -> None:
    """A question as large as the context keeps the next picture out, until nobody wants it any more."""
    large = Question("large", QuestionKind.GENERATE, "xz" * (resident.model.context_tokens // 4), 500)
    desk.submit(picture(0), [large, caption(200)], number=1)
    desk.submit(picture(1), [large], number=2)
    for _ in range(6):
        desk.scheduler.turn()
    assert [job.ask.job for job in desk.scheduler._active] == [1]

    desk.scheduler.cancel(1, [0])
    desk.scheduler.turn()

    assert 2 in [job.ask.job for job in desk.scheduler._active]
    desk.scheduler.cancel(2)
    desk.finish()
    desk.assert_empty()
    assert desk.answers(1)[1].status is Status.OK


def test_giving_up_every_question_ends_the_job(desk: Desk) -> None:
    desk.submit(picture(0), probes()[:3])
    desk.scheduler.cancel(1, range(3))

    assert desk.done() is not None
    assert not desk.answers()
    assert not desk.scheduler.busy


def test_a_job_that_is_over_or_unknown_is_nobodys_to_give_up(desk: Desk) -> None:
    desk.submit(picture(0), probes()[:1])
    desk.scheduler.cancel(7, [0])
    desk.finish()
    desk.scheduler.cancel(1, [0])

    assert desk.answers()[0].status is Status.OK
