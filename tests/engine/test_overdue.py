"""An engine process that owes an answer and is silent: soon told of, and not killed for being slow."""

import asyncio
import os
import signal
import time
from dataclasses import replace
from typing import cast

import pytest
from prometheus_client import REGISTRY

from app.domain import EngineState, Status
from app.engine.base import EngineConfig
from app.engine.dispatch import Dispatch
from app.engine.flight import Flight
from app.engine.life import Life
from app.engine.local import LocalEngine
from app.engine.patience import Patience
from app.engine.pending import PendingJob
from app.engine.process import EngineProcess
from app.errors import EngineCrashed
from tests.engine.conftest import START_S
from tests.engine.jobs import all_answers, job, picture, probes
from tests.engine.scripted_process import ScriptedProcess


def life_after(silent_s: float, longest_call_s: float) -> tuple[Life, Flight]:
    """Of a process that has been given a job and has said nothing for so long, as long as its deadline is past."""
    flight = Flight(10, Patience(None, longest_call_s), "here")
    flight._heard_at = time.monotonic() - silent_s
    flight.begin(PendingJob(1, job(probes(), deadline_s=-silent_s)), alone=False)
    nothing = ScriptedProcess(lambda: 0)
    return Life(cast(EngineProcess, nothing), flight, Dispatch(100, lambda: False), lambda: None, lambda: None), flight


@pytest.mark.parametrize(
    ("silent_s", "longest_call_s", "overdue"),
    [
        (-3.0, 0.02, False),  # its deadline is still to come
        (1.5, 0.02, False),
        (2.5, 0.02, True),
        (15.0, 20.0, False),  # a slow processor's picture takes that long
        (25.0, 20.0, True),
    ],
)
def test_silence_counts_after_a_deadline_and_longer_than_any_call(
    silent_s: float, longest_call_s: float, *, overdue: bool
) -> None:
    life, flight = life_after(silent_s, longest_call_s)

    pause_s = life._judge()

    assert life.overdue is overdue
    until_s = flight.patience.grace_s if overdue else flight.patience.doubt_s
    assert pause_s == pytest.approx(until_s - silent_s, abs=0.5)


def test_the_end_of_patience_is_a_hang() -> None:
    life, _ = life_after(6.0, 0.02)

    with pytest.raises(EngineCrashed, match="said nothing 5 s after a deadline") as caught:
        life._judge()

    assert caught.value.cause == "hang"


async def test_it_is_told_at_once_and_forgotten_when_the_process_speaks(own_engine: LocalEngine) -> None:
    (pid,), (flight,) = own_engine.pids, own_engine._dispatch.flights
    # As reckoned on a machine that has nothing else to do, and more patient.
    flight.patience = Patience(30.0, 0.02)
    os.kill(pid, signal.SIGSTOP)
    late = await all_answers(own_engine.ask(job(probes(), deadline_s=0.2)))
    async with asyncio.timeout(START_S):
        while own_engine.info.state is EngineState.READY:  # noqa: ASYNC110 - it says so through nothing else
            await asyncio.sleep(0.01)
    during, ready = own_engine.info, REGISTRY.get_sample_value("portcullis_engine_ready")
    waiting = asyncio.create_task(all_answers(own_engine.ask(job(probes(), picture(1)))))
    await asyncio.sleep(0.01)
    os.kill(pid, signal.SIGCONT)
    answers = await waiting

    assert {answer.status for answer in late} == {Status.TIMEOUT}
    assert during.state is EngineState.OVERDUE
    assert during.detail == "the engine process has said nothing since a job's deadline"
    assert ready == 0
    assert {answer.status for answer in answers} == {Status.OK}
    assert (own_engine.info.state, own_engine.info.detail, own_engine.info.restarts) == (EngineState.READY, None, 0)
    assert own_engine.pids == (pid,)


async def test_a_service_that_stood_still_itself_blames_nobody(demo_config: EngineConfig) -> None:
    """What the process said meanwhile lies in the pipe."""
    engine = LocalEngine(replace(demo_config, hang_grace_s=0.2))
    await engine.start()
    await engine.wait_ready(START_S)
    try:
        (pid,) = engine.pids
        asked = asyncio.create_task(all_answers(engine.ask(job(probes(), deadline_s=0.3))))
        while not engine.info.processes[0].jobs:  # noqa: ASYNC110 - it says so through nothing else
            await asyncio.sleep(0)
        await asyncio.sleep(0.02)
        time.sleep(1.5)  # noqa: ASYNC251 - that is what is tried
        await asked
        await asyncio.sleep(0.3)

        assert engine.pids == (pid,)
        assert engine.info.restarts == 0
    finally:
        await engine.aclose()
