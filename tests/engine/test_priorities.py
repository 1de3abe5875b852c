"""Bulk jobs do not keep synchronous ones from the engine process, nor from its queue."""

import asyncio
import contextlib
from dataclasses import replace

from app.domain import EngineJob, Priority, Status
from app.engine.base import EngineConfig
from app.engine.dispatch import Dispatch
from app.engine.flight import Flight
from app.engine.local import LocalEngine
from app.engine.patience import Patience
from app.engine.pending import PendingJob
from app.engine.worker.protocol import Done
from tests.engine.conftest import START_S
from tests.engine.jobs import all_answers, caption, job, picture, probes
from tests.engine.test_local import many

ROOM = 3


def bulk(asked: EngineJob) -> EngineJob:
    return replace(asked, priority=Priority.BULK)


def pending(number: int, priority: Priority) -> PendingJob:
    return PendingJob(number, replace(job(probes()[:1], picture(number)), priority=priority))


def given_to(flight: Flight, dispatch: Dispatch) -> list[int]:
    given: list[int] = []
    while (found := dispatch.next_job(flight)) is not None:
        given.append(found.number)
    return given


def serving() -> tuple[Dispatch, Flight]:
    dispatch, flight = Dispatch(100, lambda: False), Flight(ROOM, Patience(1.0, 0.0), "here")
    dispatch.flights.append(flight)
    return dispatch, flight


def test_bulk_jobs_in_flight_leave_synchronous_ones_their_room() -> None:
    dispatch, flight = serving()
    for number in range(1, 6):
        dispatch.admit(pending(number, Priority.BULK))
    assert given_to(flight, dispatch) == [1, 2, 3]

    for number in range(11, 16):
        dispatch.admit(pending(number, Priority.SYNCHRONOUS))
    assert given_to(flight, dispatch) == [11, 12, 13]

    flight.heed(Done(job=1))
    assert given_to(flight, dispatch) == []
    flight.heed(Done(job=11))
    assert given_to(flight, dispatch) == [14]


def test_no_bulk_job_is_given_while_synchronous_ones_fill_the_room() -> None:
    dispatch, flight = serving()
    for number in range(1, 4):
        dispatch.admit(pending(number, Priority.SYNCHRONOUS))
    dispatch.admit(pending(9, Priority.BULK))
    assert given_to(flight, dispatch) == [1, 2, 3]

    flight.heed(Done(job=2))
    assert given_to(flight, dispatch) == [9]


def test_one_that_is_asked_alone_is_in_flight_alone() -> None:
    dispatch, flight = serving()
    suspect = pending(1, Priority.BULK)
    suspect.crashes = 1
    dispatch.admit(suspect)
    assert given_to(flight, dispatch) == [1]

    dispatch.admit(pending(2, Priority.SYNCHRONOUS))
    assert given_to(flight, dispatch) == []
    flight.heed(Done(job=1))
    assert given_to(flight, dispatch) == [2]


async def test_one_job_too_many_is_refused_and_the_others_are_answered(demo_config: EngineConfig) -> None:
    """Of each priority: a flood of bulk jobs refuses nobody else."""
    engine = LocalEngine(replace(demo_config, most_waiting=2))
    await engine.start()
    asked = [bulk(job(probes()[:2], picture(n))) for n in range(4)] + [job(probes()[:2], picture(9))]
    # Nothing is given to the process before it is ready.
    answering = [asyncio.create_task(all_answers(engine.ask(one))) for one in asked]
    try:
        await engine.wait_ready(START_S)
        answered = await asyncio.gather(*answering)
    finally:
        await engine.aclose()

    reasons = [{(answer.status, answer.reason) for answer in answers} for answers in answered]
    fine, busy = {(Status.OK, None)}, {(Status.FAILED, "engine_busy")}
    assert reasons == [fine, fine, busy, busy, fine]
    assert engine.info.queue_depth == 0


async def test_a_synchronous_job_is_answered_before_any_bulk_job_that_was_begun(own_engine: LocalEngine) -> None:
    """Each of them takes far longer than it."""
    ended: list[int] = []

    async def ask(number: int) -> None:
        await all_answers(own_engine.ask(bulk(job([*many(300), caption(16)], picture(number)))))
        ended.append(number)

    running = [asyncio.create_task(ask(number)) for number in range(40)]
    while not ended:  # noqa: ASYNC110 - nothing else says so
        await asyncio.sleep(0.005)
    before = len(ended)
    answers = await all_answers(own_engine.ask(job(probes()[:2], picture(50))))

    assert {answer.status for answer in answers} == {Status.OK}
    assert len(ended) <= before + 2
    for task in running:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*running)
