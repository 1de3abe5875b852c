"""Who gets which job, with flights and no process; and that no job is forgotten, with processes by a script."""

import asyncio
from dataclasses import replace
from typing import cast

from app.domain import Picture, Priority, Status
from app.engine.dispatch import Dispatch
from app.engine.flight import Flight
from app.engine.life import Life
from app.engine.patience import Patience
from app.engine.pending import PendingJob
from app.engine.process import EngineProcess
from app.engine.worker.protocol import Answered, Done, Started
from tests.engine.jobs import job, picture, probes
from tests.engine.scripted_process import ScriptedProcess


def flights(dispatch: Dispatch, count: int, room: int = 4) -> list[Flight]:
    new = [Flight(room, Patience(None, 0.01), str(number)) for number in range(count)]
    dispatch.flights += new
    return new


def back(dispatch: Dispatch, dead: Flight, *, doubtful: bool = False) -> Flight:
    """The next life of the process that died."""
    new = Flight(4, Patience(None, 0.01), dead.place, doubtful=doubtful)
    dispatch.flights.append(new)
    return new


def pending(number: int, shown: Picture | None = None, *, bulk: bool = False) -> PendingJob:
    asked = job(probes()[:1], shown if shown is not None else picture(number))
    return PendingJob(number, replace(asked, priority=Priority.BULK) if bulk else asked)


def admit(dispatch: Dispatch, *numbers: int) -> None:
    for number in numbers:
        dispatch.admit(pending(number))


def taken(dispatch: Dispatch, flight: Flight) -> int | None:
    """The number of the job that it is given, and that arrives at once."""
    given_to_it = dispatch.next_job(flight)
    flight.sending = False
    return None if given_to_it is None else given_to_it.number


def land(dispatch: Dispatch, flight: Flight, number: int) -> None:
    flight.heed(Started(job=number))
    flight.heed(Answered(job=number, number=0, status=Status.OK, log_yes=-1.0, log_no=-1.0))
    done = flight.heed(Done(job=number))
    assert done is not None
    dispatch.landed(done)


def crash(dispatch: Dispatch, flight: Flight, *begun: int) -> None:
    for number in begun:
        flight.heed(Started(job=number))
    dispatch.flights.remove(flight)
    dispatch.crashed(flight)


def test_the_process_with_the_most_room_gets_the_job() -> None:
    dispatch = Dispatch(100, lambda: False)
    one, other = flights(dispatch, 2)
    admit(dispatch, 1, 2, 3, 4)

    assert taken(dispatch, one) == 1
    assert taken(dispatch, one) is None
    assert taken(dispatch, other) == 2
    assert taken(dispatch, other) == 3
    assert taken(dispatch, other) is None
    assert taken(dispatch, one) == 4


async def test_who_left_a_job_to_another_is_woken_for_the_next_one() -> None:
    dispatch = Dispatch(100, lambda: False)
    one, other = flights(dispatch, 2)
    admit(dispatch, 1, 2, 3)
    assert taken(dispatch, one) == 1
    assert taken(dispatch, one) is None
    dispatch.wake.clear()
    sleeping = asyncio.create_task(dispatch.wake.wait())
    await asyncio.sleep(0)

    assert taken(dispatch, other) == 2

    await asyncio.wait_for(sleeping, 1)
    assert taken(dispatch, one) == 3


def test_a_process_that_is_being_sent_a_picture_keeps_nobody_waiting() -> None:
    dispatch = Dispatch(100, lambda: False)
    one, other = flights(dispatch, 2)
    admit(dispatch, 1, 2, 3, 4)

    assert taken(dispatch, one) == 1
    dispatch.next_job(other)
    assert other.sending
    assert [taken(dispatch, one), taken(dispatch, one)] == [3, 4]


def test_a_full_process_leaves_its_share_to_the_other() -> None:
    dispatch = Dispatch(100, lambda: False)
    one, other = flights(dispatch, 2, room=1)
    admit(dispatch, 1, 2, 3)

    assert [taken(dispatch, one), taken(dispatch, other), taken(dispatch, one)] == [1, 2, None]
    land(dispatch, other, 2)
    assert [taken(dispatch, one), taken(dispatch, other)] == [None, 3]


def test_a_repeated_picture_goes_where_it_is_remembered_if_that_costs_nothing() -> None:
    dispatch = Dispatch(100, lambda: False)
    one, other = flights(dispatch, 2)
    admit(dispatch, 1, 2)
    assert [taken(dispatch, one), taken(dispatch, other)] == [1, 2]
    land(dispatch, one, 1)
    land(dispatch, other, 2)

    dispatch.admit(pending(3, picture(2)))
    assert [taken(dispatch, one), taken(dispatch, other)] == [None, 3]
    # The other is at work now, and to wait for it would cost more than to encode the picture.
    dispatch.admit(pending(4, picture(2)))
    assert [taken(dispatch, other), taken(dispatch, one)] == [None, 4]


def test_what_is_urgent_goes_first_wherever_there_is_room() -> None:
    dispatch = Dispatch(100, lambda: False)
    one, other = flights(dispatch, 2, room=1)
    for one_pending in (pending(1, bulk=True), pending(2, bulk=True), pending(3)):
        dispatch.admit(one_pending)

    assert [taken(dispatch, one), taken(dispatch, other)] == [3, 1]


def test_an_overdue_process_is_given_nothing() -> None:
    dispatch = Dispatch(100, lambda: False)
    one, other = flights(dispatch, 2)
    one.overdue = True
    admit(dispatch, 1, 2)

    assert [taken(dispatch, one), taken(dispatch, other), taken(dispatch, other)] == [None, 1, 2]


def test_suspects_are_tried_one_at_a_time_and_the_other_process_goes_on() -> None:
    dispatch = Dispatch(100, lambda: False)
    dead, other = flights(dispatch, 2)
    admit(dispatch, 1, 2, 3, 4)
    assert [taken(dispatch, flight) for flight in (dead, other, dead, other)] == [1, 2, 3, 4]
    crash(dispatch, dead, 1, 3)
    fresh = back(dispatch, dead)
    admit(dispatch, 5, 6, 7)

    # The one that died is the emptiest, and not the one to say who killed it: the other is emptied.
    assert [taken(dispatch, other), taken(dispatch, fresh)] == [None, 5]
    land(dispatch, other, 2)
    land(dispatch, other, 4)
    assert taken(dispatch, other) == 1
    assert other.lonely
    # Nothing beside the suspect, and the second one waits for the first; what is new goes past them.
    assert [taken(dispatch, other), taken(dispatch, fresh), taken(dispatch, fresh)] == [None, 6, 7]
    assert taken(dispatch, fresh) is None
    land(dispatch, other, 1)
    assert [taken(dispatch, fresh), taken(dispatch, other)] == [None, 3]


def test_a_process_that_dies_over_anything_condemns_nothing() -> None:
    dispatch = Dispatch(100, lambda: False)
    sick, well = flights(dispatch, 2)
    for number in range(1, 7):
        admit(dispatch, number)
        assert taken(dispatch, sick) == number
        crash(dispatch, sick, number)
        sick = back(dispatch, sick)
        assert [taken(dispatch, sick), taken(dispatch, well)] == [None, number]
        land(dispatch, well, number)

    assert not dispatch.quarantine.watchful


def test_one_whose_picture_was_answered_elsewhere_is_not_asked_where_it_died_either() -> None:
    dispatch = Dispatch(100, lambda: False)
    sick, well = flights(dispatch, 2)
    well.overdue = True
    for number in (1, 2):
        dispatch.admit(pending(number, picture(7)))
        assert taken(dispatch, sick) == number
    well.overdue = False
    crash(dispatch, sick, 1, 2)
    sick = back(dispatch, sick)
    assert taken(dispatch, well) == 1
    land(dispatch, well, 1)

    assert [taken(dispatch, sick), taken(dispatch, well)] == [None, 2]


def test_one_that_has_only_died_of_late_is_given_what_no_other_takes() -> None:
    dispatch = Dispatch(100, lambda: False)
    well, dead = flights(dispatch, 2, room=2)
    dispatch.flights.remove(dead)
    sick = back(dispatch, dead, doubtful=True)
    admit(dispatch, 1, 2, 3)

    assert [taken(dispatch, sick), taken(dispatch, well), taken(dispatch, sick)] == [None, 1, None]
    assert [taken(dispatch, well), taken(dispatch, sick)] == [2, 3]


def test_one_that_has_only_died_of_late_is_no_judge_of_a_suspect() -> None:
    """Even where the other is the one that died over it."""
    dispatch = Dispatch(100, lambda: False)
    well, dead = flights(dispatch, 2)
    admit(dispatch, 1)
    assert taken(dispatch, well) == 1
    crash(dispatch, well, 1)
    dispatch.flights.remove(dead)
    well, sick = back(dispatch, well), back(dispatch, dead, doubtful=True)

    assert [taken(dispatch, sick), taken(dispatch, well)] == [None, 1]


def test_a_suspect_is_not_tried_in_the_last_process_while_another_is_coming() -> None:
    coming = True
    dispatch = Dispatch(100, lambda: coming)
    dead, last = flights(dispatch, 2)
    admit(dispatch, 1, 2)
    assert [taken(dispatch, dead), taken(dispatch, last)] == [1, 2]
    crash(dispatch, dead, 1)
    land(dispatch, last, 2)
    admit(dispatch, 3)

    assert taken(dispatch, last) == 3
    land(dispatch, last, 3)
    assert taken(dispatch, last) is None
    coming = False
    assert taken(dispatch, last) == 1


def test_a_process_is_emptied_for_a_suspect_while_others_take_what_is_new() -> None:
    """Also for a new job about a picture over which a process has died."""
    dispatch = Dispatch(100, lambda: False)
    one, two, three = flights(dispatch, 3)
    admit(dispatch, 1, 2, 3)
    assert [taken(dispatch, flight) for flight in (one, two, three)] == [1, 2, 3]
    dispatch.quarantine.strike(pending(9).fingerprint, "elsewhere", alone=False)
    dispatch.admit(pending(4, picture(9)))
    admit(dispatch, 5, 6, 7)

    assert [taken(dispatch, three), taken(dispatch, one), taken(dispatch, two)] == [5, None, 6]
    land(dispatch, one, 1)
    assert taken(dispatch, one) == 4
    assert one.lonely


def after_a_death_of_bulk_work() -> tuple[Dispatch, Flight]:
    """The one process has died over the bulk jobs 1 and 2, and is back."""
    dispatch = Dispatch(1000, lambda: False)
    (dead,) = flights(dispatch, 1)
    for number in (1, 2):
        dispatch.admit(pending(number, bulk=True))
        assert taken(dispatch, dead) == number
    crash(dispatch, dead, 1, 2)
    return dispatch, back(dispatch, dead)


def test_bulk_work_that_is_asked_again_goes_after_what_somebody_waits_for() -> None:
    dispatch, flight = after_a_death_of_bulk_work()
    admit(dispatch, 3, 4)
    dispatch.admit(pending(5, bulk=True))

    # Nor does it keep other bulk work from going beside that.
    assert [taken(dispatch, flight) for _ in range(4)] == [3, 4, 5, None]
    for number in (3, 4):
        land(dispatch, flight, number)
    dispatch.admit(pending(6, bulk=True))
    assert taken(dispatch, flight) is None
    land(dispatch, flight, 5)
    assert taken(dispatch, flight) == 1
    assert flight.lonely


def test_bulk_work_that_is_asked_again_has_its_turn_however_much_else_there_is() -> None:
    dispatch, flight = after_a_death_of_bulk_work()
    order: list[int] = []
    under_way: list[int] = []

    def take_all() -> None:
        while (number := taken(dispatch, flight)) is not None:
            order.append(number)
            under_way.append(number)

    # Before one of them has landed the next is there, so the process is never empty by itself.
    for number in range(3, 100):
        admit(dispatch, number)
        take_all()
        while number not in order or len(under_way) > 1:
            land(dispatch, flight, under_way.pop(0))
            take_all()

    assert order.index(1) == 32
    assert order.index(2) == 65
    assert sorted(order) == list(range(1, 100))


async def test_who_made_room_for_a_suspect_that_goes_is_woken() -> None:
    dispatch = Dispatch(100, lambda: False)
    one, other = flights(dispatch, 2)
    admit(dispatch, 1, 2)
    assert [taken(dispatch, one), taken(dispatch, other)] == [1, 2]
    dispatch.quarantine.strike(pending(9).fingerprint, "0", alone=False)
    suspect = pending(4, picture(9))
    dispatch.admit(suspect)
    assert [taken(dispatch, one), taken(dispatch, other)] == [None, None]
    admit(dispatch, 5, 6)
    assert [taken(dispatch, one), taken(dispatch, other)] == [5, None]
    dispatch.wake.clear()
    sleeping = asyncio.create_task(dispatch.wake.wait())
    await asyncio.sleep(0)

    dispatch.withdraw(suspect)

    await asyncio.wait_for(sleeping, 1)
    assert taken(dispatch, other) == 6


def test_what_was_sent_and_not_begun_with_is_no_suspect() -> None:
    dispatch = Dispatch(100, lambda: True)
    dead, other = flights(dispatch, 2)
    admit(dispatch, 1, 2, 3)
    assert [taken(dispatch, dead), taken(dispatch, other), taken(dispatch, dead)] == [1, 2, 3]

    crash(dispatch, dead, 1)

    assert taken(dispatch, other) == 3
    assert taken(dispatch, other) is None


def test_two_processes_that_die_together_condemn_nothing_that_both_had() -> None:
    """Such as the same caption in two jobs, when the driver is reset."""
    dispatch = Dispatch(100, lambda: False)
    one, other = flights(dispatch, 2)
    dispatch.admit(pending(1, picture(7)))
    dispatch.admit(pending(2, picture(7)))
    assert [taken(dispatch, one), taken(dispatch, other)] == [1, 2]

    crash(dispatch, one, 1)
    crash(dispatch, other, 2)

    assert dispatch.quarantine.kept_out == 0
    (fresh,) = flights(dispatch, 1)
    assert taken(dispatch, fresh) == 1
    crash(dispatch, fresh, 1)
    assert dispatch.quarantine.kept_out == 1


def test_a_picture_that_was_not_looked_at_in_time_stays_under_suspicion() -> None:
    """One that kills after a while, and was asked again with less than that left."""
    dispatch = Dispatch(100, lambda: False)
    (flight,) = flights(dispatch, 1)
    admit(dispatch, 1)
    assert taken(dispatch, flight) == 1
    crash(dispatch, flight, 1)
    (fresh,) = flights(dispatch, 1)
    again = next(iter(dispatch._waiting))
    assert taken(dispatch, fresh) == 1

    fresh.heed(Started(job=1))
    fresh.heed(Answered(job=1, number=0, status=Status.TIMEOUT, reason="deadline"))
    fresh.heed(Done(job=1))
    dispatch.landed(again)

    assert dispatch.quarantine.suspects(again.fingerprint)
    assert not again.fruitful


async def test_one_that_answers_again_is_as_good_as_any() -> None:
    dispatch = Dispatch(100, lambda: False)
    flight = Flight(4, Patience(None, 0.01), "here", doubtful=True)
    process = cast(EngineProcess, ScriptedProcess(lambda: 1))
    serving = asyncio.create_task(Life(process, flight, dispatch, lambda: None, lambda: None).serve())
    admit(dispatch, 1)
    async with asyncio.timeout(5):
        while dispatch.depth:  # noqa: ASYNC110 - it says so through nothing else
            await asyncio.sleep(0)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)

    assert not flight.doubtful


async def test_one_that_is_stopped_twice_leaves_no_flight_behind() -> None:
    dispatch = Dispatch(100, lambda: False)
    process = cast(EngineProcess, ScriptedProcess(lambda: 1))
    flight = Flight(4, Patience(None, 0.01), "here")
    serving = asyncio.create_task(Life(process, flight, dispatch, lambda: None, lambda: None).serve())
    await asyncio.sleep(0)
    assert dispatch.flights == [flight]

    serving.cancel()
    await asyncio.sleep(0)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)

    assert dispatch.flights == []
