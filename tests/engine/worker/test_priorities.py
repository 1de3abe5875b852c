"""A synchronous job beside bulk work: it waits for next to nothing, and the bulk jobs end all the same."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from app.domain import Priority, Question, QuestionKind, Status
from app.engine.worker import decode, picture, scheduler
from app.engine.worker.model import Model
from app.engine.worker.protocol import Done
from app.engine.worker.resident import Resident
from app.engine.worker.words import Logits
from tests.engine.jobs import BOUND, caption, probes
from tests.engine.jobs import picture as make_picture
from tests.engine.worker.desk import MANY_TURNS, Desk, narrow, run, undrafted

SYNC, BULK = int(Priority.SYNCHRONOUS), int(Priority.BULK)
#: What this model says of itself is over after a few words; this is not.
LONG_TEXT = "abcdefghijklmnopqrstuvwxyz" * 2
LONG = Question("long", QuestionKind.GENERATE, "Describe the image.", 60, json_schema=f'{{"const": "{LONG_TEXT}"}}')
UPLOAD = [*probes()[:6], caption(6), LONG]
#: Half of the demonstration pair's context in the tests.
LARGE = Question("large", QuestionKind.GENERATE, "xz" * 480, 60, json_schema=f'{{"const": "{LONG_TEXT}"}}')


@pytest.fixture(scope="module")
def resident(resident: Resident) -> Resident:
    """Here steps are counted, and an answer that came before must take as many again."""
    return undrafted(resident)


@pytest.fixture
def made(resident: Resident) -> Iterator[None]:
    """For tests that make a desk of their own."""
    yield
    decode.forget(resident.model, wipe=True)


def turns_until_done(desk: Desk, job: int) -> int:
    for turns in range(MANY_TURNS):
        if desk.done(job) is not None:
            return turns
        desk.turn()
        desk.now += 1.0
    raise AssertionError("it never ends")


def in_work(desk: Desk) -> list[int]:
    return [job.ask.job for job in desk.scheduler._active]


def submit_bulk(desk: Desk, count: int, questions: Sequence[Question] = UPLOAD, turns: int = 40) -> None:
    for number in range(1, count + 1):
        desk.submit(make_picture(number), questions, number=number, priority=BULK)
    for _ in range(turns):
        desk.turn()


@pytest.mark.parametrize("before", [1, 2, 5, 12, 30])
def test_it_takes_as_many_turns_as_with_nothing_beside_it(desk: Desk, before: int) -> None:
    """At whatever moment of the bulk work it comes."""
    desk.submit(make_picture(0), UPLOAD, number=100)
    alone = turns_until_done(desk, 100)
    desk.now = 0.0
    submit_bulk(desk, 12, turns=before)

    desk.submit(make_picture(30), UPLOAD, number=101)
    beside = turns_until_done(desk, 101)

    assert beside <= alone + 1
    for number in range(1, 13):
        desk.scheduler.cancel(number)
    desk.assert_empty()


def test_bulk_jobs_read_little_beside_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the steps an eighth of its tokens."""
    real, read = decode.decode, [0]

    def counted(model: Model, entries: Sequence[decode.Entry]) -> Iterator[tuple[int, Logits]]:
        read[0] += len(entries)
        return real(model, entries)

    # After it the opening of the prompt is there.
    desk.submit(make_picture(0), probes()[:1], number=99)
    turns_until_done(desk, 99)
    monkeypatch.setattr(decode, "decode", counted)
    desk.submit(make_picture(0), UPLOAD, number=100)
    turns_until_done(desk, 100)
    alone, desk.now = read[0], 0.0
    submit_bulk(desk, 8)
    read[0] = 0
    desk.submit(make_picture(30), UPLOAD, number=101)
    turns_until_done(desk, 101)

    assert alone < read[0] <= alone * 9 / 8 + 2


def test_pictures_of_bulk_jobs_take_little_of_its_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoding one takes a turn's time here, so they get one turn in 16."""
    desk.submit(make_picture(0), UPLOAD, number=100)
    alone = turns_until_done(desk, 100)
    desk.now = 0.0
    submit_bulk(desk, 10, turns=2)
    real, encoded = picture._encode, [0]

    def slow(*given: object) -> object:
        encoded[0] += 1
        desk.now += 1.0
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(picture, "_encode", slow)
    desk.submit(make_picture(30), UPLOAD, number=101)
    turns_until_done(desk, 101)

    # All that had places would have been encoded: seven, and its own.
    assert 1 < encoded[0] <= 1 + 1 + alone // 16 < 7


def test_bulk_jobs_ask_nothing_more_beside_it(desk: Desk) -> None:
    """There is room for more of their questions, but it would be missed by the next to come."""
    submit_bulk(desk, 2, [LONG, *probes()], turns=0)
    desk.submit(make_picture(9), [LONG], number=9)
    most: dict[int, int] = {}
    while desk.done(9) is None:
        desk.turn()
        for job in desk.scheduler._active:
            most[job.ask.job] = max(most.get(job.ask.job, 0), len(job.asking))

    assert most == {1: 1, 2: 1, 9: 1}


def test_several_that_come_at_once_find_places_that_bulk_jobs_leave(desk: Desk) -> None:
    submit_bulk(desk, 10)
    places = desk.scheduler._form.parallel_pictures
    assert in_work(desk) == list(range(1, places))

    # The first finds the place that is kept; for the second the last of the bulk jobs goes.
    for number in (98, 99):
        desk.submit(make_picture(number), [LONG], number=number)
    for _ in range(6):
        desk.turn()
    assert in_work(desk) == [98, 99, *range(1, places - 1)]
    for number in (98, 99):
        desk.scheduler.cancel(number)

    for number in range(101, 101 + places + 2):
        desk.submit(make_picture(number), [LONG], number=number)
    for _ in range(6 * places):
        desk.turn()

    assert in_work(desk) == list(range(101, 101 + places))
    desk.finish()
    desk.assert_empty()
    ended = [said.job for said in desk.said if isinstance(said, Done) and said.job not in {98, 99}]
    assert sorted(ended[: places + 2]) == list(range(101, 101 + places + 2))
    for number in range(1, 11):
        assert [answer.status for answer in desk.answers(number).values()] == [Status.OK] * len(UPLOAD)


def test_a_job_that_left_its_place_answers_as_one_that_did_not(resident: Resident, desk: Desk) -> None:
    """With what it had answered before, and all else asked again."""
    expected = run(resident, make_picture(1), UPLOAD)
    desk.submit(make_picture(1), UPLOAD, number=1, priority=BULK)
    while len(desk.answers(1)) < 7:
        desk.turn()
    desk.scheduler._form = desk.scheduler._form.model_copy(update={"parallel_pictures": 1})

    desk.submit(make_picture(2), UPLOAD, number=2)
    desk.scheduler.turn()
    assert in_work(desk) == [2]
    desk.finish()

    desk.assert_empty()
    answers = desk.answers(1)
    assert len(answers) == len(UPLOAD)
    for number, answer in answers.items():
        assert answer.text == expected[number].text
        assert answer.log_yes == pytest.approx(expected[number].log_yes, abs=BOUND)


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("places", [1, 2, 8])
def test_bulk_jobs_end_though_synchronous_ones_keep_coming(resident: Resident, places: int) -> None:
    """One after another; where there is a single place, with a pause that no bulk job fits into."""
    desk = Desk(narrow(resident, places), tick_s=0.001)
    for number in (1, 2):
        desk.submit(make_picture(number), [*probes()[:3], LONG], number=number, priority=BULK)
    coming, pause = iter(range(100, 1000)), 0
    for _ in range(MANY_TURNS):
        if desk.done(1) and desk.done(2):
            break
        waits = [job for job in (*desk.scheduler._waiting, *desk.scheduler._active) if job.urgent]
        pause = 0 if waits else pause + 1
        if pause > (30 if places == 1 else 0):
            desk.submit(make_picture(0), [*probes()[:3], LONG], number=next(coming))
        desk.turn()
    else:
        raise AssertionError("a bulk job is starved")
    desk.finish()
    desk.assert_empty()
    for number in (1, 2):
        assert {answer.status for answer in desk.answers(number).values()} == {Status.OK}


@pytest.mark.usefixtures("made")
def test_where_only_one_place_is_a_bulk_job_leaves_it_three_times_at_most(resident: Resident) -> None:
    desk = Desk(narrow(resident, 1))
    desk.submit(make_picture(1), [LONG], number=1, priority=BULK)
    for number in range(2, 6):
        for _ in range(20):
            desk.turn()
        assert in_work(desk) == [1]
        desk.submit(make_picture(number), probes()[:1], number=number)
        desk.turn()
        assert in_work(desk) == [number if number < 5 else 1]
    desk.finish()

    ended = [said.job for said in desk.said if isinstance(said, Done)]
    assert ended == [2, 3, 4, 1, 5]


def test_a_bulk_job_as_large_as_the_context_is_served_and_gives_way(desk: Desk) -> None:
    """Nothing could be kept beside it, so it is let in where it is alone, and leaves when it is not."""
    whole = Question("whole", QuestionKind.GENERATE, "xz" * 940, 60, json_schema=f'{{"const": "{LONG_TEXT}"}}')
    desk.submit(make_picture(1), [whole], number=1, priority=BULK)
    desk.submit(make_picture(2), [whole], number=2, priority=BULK)
    for _ in range(10):
        desk.turn()
    assert in_work(desk) == [1]

    desk.submit(make_picture(3), [whole], number=3)
    desk.scheduler.turn()
    assert in_work(desk) == [3]
    desk.finish()

    desk.assert_empty()
    assert [said.job for said in desk.said if isinstance(said, Done)] == [3, 1, 2]
    assert all(desk.answers(number)[0].status is Status.OK for number in (1, 2, 3))


def test_no_bulk_job_leaves_its_place_for_nothing(desk: Desk) -> None:
    """A synchronous job that does not fit beside another one waits for that."""
    desk.submit(make_picture(1), [LARGE], number=1)
    desk.submit(make_picture(2), [LONG], number=2, priority=BULK)
    for _ in range(12):
        desk.turn()
    assert in_work(desk) == [1, 2]

    desk.submit(make_picture(3), [LARGE], number=3)
    desk.scheduler.turn()
    assert in_work(desk) == [1, 2]
    desk.finish()

    assert all(desk.answers(number)[0].status is Status.OK for number in (1, 2, 3))


def test_room_is_kept_for_a_largest_picture_and_its_questions(desk: Desk) -> None:
    """Of cells and of sequences, however many questions bulk jobs have."""
    many = [replace(LONG, id=f"{n}") for n in range(64)]
    submit_bulk(desk, 4, many, turns=30)

    ledger, form = desk.scheduler._room._ledger, desk.scheduler._form
    assert ledger.free_cells >= form.picture_tokens + 256
    assert ledger.free_sequences >= 1 + form.parallel_questions // 4
    desk.submit(make_picture(9), UPLOAD, number=9)
    for _ in range(5):
        desk.turn()
    job = next(job for job in desk.scheduler._active if job.ask.job == 9)
    assert job.way_in is None
    assert not job.waits


def ticking(desk: Desk, tokenized: list[int]) -> None:
    """Each question that is made tokens takes a millisecond, and nothing else any time."""
    real = desk.scheduler._admission._tokenizer.plain

    class Slow:
        def __getattr__(self, name: str) -> object:
            return getattr(desk.scheduler._answering._tokenizer, name)

        def plain(self, text: str) -> tuple[int, ...]:
            desk.now += 0.001
            tokenized[-1] += 1
            return real(text)

    desk.scheduler._admission._tokenizer = Slow()  # type: ignore[assignment]


def test_a_large_job_is_looked_at_in_stretches_while_others_go_on_and_pass(resident: Resident, desk: Desk) -> None:
    large = [Question(f"{n}", QuestionKind.YES_NO, f"Is it a thing {n}?") for n in range(200)]
    expected = run(resident, make_picture(1), large)
    tokenized = [0]
    ticking(desk, tokenized)
    desk.submit(make_picture(0), [LONG], number=1)
    for _ in range(8):
        desk.turn()
    (running,) = (asking for job in desk.scheduler._active for asking in job.asking.values())
    grown = len(running.grown)
    desk.submit(make_picture(1), large, number=2)
    desk.submit(make_picture(2), probes()[:2], number=3)
    for turn in range(1, 6):
        tokenized.append(0)
        desk.turn()
        assert len(running.grown) == grown + turn
    assert max(tokenized) <= 2 * 10
    assert desk.done(2) is None
    desk.finish()

    assert next(said.job for said in desk.said if isinstance(said, Done)) == 3
    answers = desk.answers(2)
    assert len(answers) == len(large)
    for number, answer in answers.items():
        assert answer.log_yes == pytest.approx(expected[number].log_yes, abs=BOUND)
    desk.assert_empty()


def test_bulk_jobs_hold_back_while_a_synchronous_one_is_looked_at(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or it would wait for a step of theirs after each stretch."""
    submit_bulk(desk, 8, turns=12)
    ticking(desk, [0])
    steps, real = [0], decode.decode

    def counted(model: Model, entries: Sequence[decode.Entry]) -> Iterator[tuple[int, Logits]]:
        steps[0] += bool(entries)
        return real(model, entries)

    monkeypatch.setattr(decode, "decode", counted)
    large = [Question(f"{n}", QuestionKind.YES_NO, f"Is it a thing {n}?") for n in range(100)]
    desk.submit(make_picture(9), large, number=9)
    for _ in range(9):
        desk.turn()

    assert 9 not in in_work(desk)
    assert steps[0] <= 1


def test_nothing_is_let_past_a_job_of_its_kind_that_waits_for_room(desk: Desk) -> None:
    for priority in (SYNC, BULK):
        first = 10 * (priority + 1)
        desk.submit(make_picture(1), [LARGE], number=first, priority=priority)
        for _ in range(5):
            desk.turn()
        desk.submit(make_picture(2), [LARGE], number=first + 1, priority=priority)
        desk.submit(make_picture(3), probes()[:1], number=first + 2, priority=priority)
        for _ in range(10):
            desk.turn()
        assert in_work(desk) == [first]
        desk.finish()


def test_one_job_too_many_is_refused_at_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "_MOST_WAITING", 3)
    for number in range(1, 6):
        desk.submit(make_picture(number), probes()[:2], number=number)

    assert {answer.reason for n in (4, 5) for answer in desk.answers(n).values()} == {"engine_busy"}
    assert desk.done(4) is not None
    assert not desk.answers(1)
    desk.finish()
    desk.assert_empty()
    assert {answer.status for n in (1, 2, 3) for answer in desk.answers(n).values()} == {Status.OK}


def test_a_bulk_job_that_is_asked_again_alone_waits_for_synchronous_ones(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that fails with two bulk jobs in it; then both wait for the context, and so does one that comes after."""
    real, left = decode.decode, [1]

    def failing(model: Model, entries: Sequence[decode.Entry]) -> Iterator[tuple[int, Logits]]:
        if len(in_work(desk)) == 2 and any(entry.wanted for entry in entries) and left[0]:
            left[0] -= 1
            raise decode.Fault("decode failed with code -3")
        return real(model, entries)

    monkeypatch.setattr(decode, "decode", failing)
    submit_bulk(desk, 2, turns=0)
    for _ in range(MANY_TURNS):
        if not left[0]:
            break
        desk.turn()
    desk.submit(make_picture(3), UPLOAD, number=9, priority=SYNC)
    desk.finish()

    assert next(said.job for said in desk.said if isinstance(said, Done)) == 9
    assert all(answer.status is Status.OK for number in (1, 2, 9) for answer in desk.answers(number).values())
