from app.domain import Priority
from app.engine.worker import line
from app.engine.worker.job import Job
from app.engine.worker.line import Line
from tests.engine.jobs import picture as make_picture
from tests.engine.jobs import probes
from tests.engine.worker.desk import ask_of

SYNC, BULK = int(Priority.SYNCHRONOUS), int(Priority.BULK)


def job(number: int, priority: int = SYNC, *, alone: bool = False, prepared: bool = True) -> Job:
    made = Job(ask_of(make_picture(), probes()[:1], number, priority), b"", began=0.0, say=lambda _: None)
    made.alone = alone
    if prepared:
        made.prefix = object()  # type: ignore[assignment]
        made._unprepared.clear()
    return made


def line_of(*jobs: Job) -> Line:
    made = Line()
    for one in jobs:
        made.add(one)
    return made


def come_in(made: Line) -> list[int]:
    """The order in which they do."""
    order = []
    while (first := made.first()) is not None:
        made.let_in(first)
        order.append(first.ask.job)
    return order


def test_synchronous_jobs_before_bulk_ones_and_of_a_kind_those_asked_again_before_new_ones() -> None:
    made = line_of(
        job(1, BULK), job(2, BULK, alone=True), job(3), job(4, alone=True), job(5), job(6, BULK), job(7, alone=True)
    )

    assert come_in(made) == [4, 7, 3, 5, 2, 1, 6]


def test_bulk_jobs_that_are_asked_again_have_a_turn_each_among_synchronous_ones_that_never_end() -> None:
    made, order = line_of(job(0, BULK, alone=True), job(1, BULK, alone=True)), []
    for number in range(2, 200):
        made.add(job(number, alone=number % 3 == 0))
        first = made.first()
        assert first is not None
        made.let_in(first)
        order.append(first.ask.job)

    one, other = order.index(0), order.index(1)
    assert line._MOST_PASSED <= one <= line._MOST_PASSED + 2
    assert line._MOST_PASSED <= other - one - 1 <= line._MOST_PASSED + 2


def test_what_passes_a_bulk_job_that_shares_the_context_counts_for_nobody() -> None:
    made = line_of(job(0, BULK))
    for number in range(1, 200):
        made.add(job(number))
        first = made.first()
        assert first is not None
        assert first.urgent
        made.let_in(first)

    made.add(job(500, BULK, alone=True))
    made.add(job(501))
    assert come_in(made) == [501, 500, 0]


def test_one_that_is_still_looked_at_is_passed_by_its_kind_alone() -> None:
    passed = line_of(job(1, SYNC, prepared=False), job(2, SYNC)).first()
    assert passed is not None
    assert passed.ask.job == 2

    assert line_of(job(1, SYNC, prepared=False), job(2, BULK)).first() is None


def test_one_that_went_away_is_not_in_line() -> None:
    gone = job(1)
    made = line_of(gone, job(2))

    made.remove(gone)

    assert gone not in made
    assert len(made) == 1
    assert come_in(made) == [2]
