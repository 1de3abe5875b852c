"""Several engine processes behind one queue. All with real processes, on the processor."""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from app.domain import Answer, EngineState, Question, QuestionKind, Status
from app.engine.base import EngineConfig, ModelFiles
from app.engine.flight import Flight
from app.engine.local import LocalEngine
from app.engine.patience import Patience
from app.engine.places import Place
from app.errors import EngineUnavailable
from tests.engine.conftest import START_S, ready
from tests.engine.jobs import all_answers, job, picture, probes

#: No machine has so many.
NOWHERE = Place("gpu 999", "999")


def many(count: int = 400) -> list[Question]:
    return [Question(f"q{index}", QuestionKind.YES_NO, f"Is thing {index} in the picture?") for index in range(count)]


def flight_of(engine: LocalEngine, process: int) -> Flight:
    life = engine._supervisors[process]._life
    assert life is not None
    return life._flight


def pid_of(engine: LocalEngine, process: int) -> int:
    pid = engine._supervisors[process].pid
    assert pid is not None
    return pid


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def until(engine: LocalEngine, process: int, state: EngineState) -> None:
    async with asyncio.timeout(START_S):
        while engine.info.processes[process].state is not state:  # noqa: ASYNC110 - it says so through nothing else
            await asyncio.sleep(0.002)


async def both_at_work(engine: LocalEngine) -> None:
    async with asyncio.timeout(START_S):
        while not all(any(one.started for one in flight_of(engine, n)) for n in (0, 1)):  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def running(config: EngineConfig, **changes: object) -> AsyncIterator[LocalEngine]:
    engine = LocalEngine(replace(config, **changes))
    await engine.start()
    try:
        yield engine
    finally:
        await engine.aclose()


async def test_jobs_go_to_both_in_equal_numbers(own_pair: LocalEngine) -> None:
    """Of pictures so small that a pipe takes them at once: else the process that reads more quickly gets more."""
    small = [picture(seed, 64, 64) for seed in range(6)]
    jobs = [asyncio.create_task(all_answers(own_pair.ask(job(many(), shown)))) for shown in small]
    async with asyncio.timeout(START_S):
        while sum(shares := [process.jobs for process in own_pair.info.processes]) < len(jobs):  # noqa: ASYNC110
            await asyncio.sleep(0)

    answers = await asyncio.gather(*jobs)

    assert shares == [3, 3]
    assert {answer.status for one in answers for answer in one} == {Status.OK}
    assert counted("portcullis_engine_processes_ready") == 2


async def test_the_death_of_one_loses_nothing_and_the_other_goes_on(own_pair: LocalEngine) -> None:
    killed = counted("portcullis_engine_deaths_total", cause="killed")
    jobs = [asyncio.create_task(all_answers(own_pair.ask(job(many(200), picture(seed))))) for seed in range(10)]
    await both_at_work(own_pair)
    spared, survivor = list(flight_of(own_pair, 1)), pid_of(own_pair, 1)

    os.kill(pid_of(own_pair, 0), signal.SIGKILL)
    await until(own_pair, 0, EngineState.RESTARTING)
    during = own_pair.info
    answers = await asyncio.gather(*jobs)

    assert (during.state, during.degraded) == (EngineState.READY, True)
    assert during.detail == "process 1: the engine process was ended by SIGKILL"
    assert [len(one) for one in answers] == [200] * 10
    assert {answer.status for one in answers for answer in one} == {Status.OK}
    assert {pending.crashes for pending in spared} == {0}
    await ready(own_pair, processes=2)
    assert pid_of(own_pair, 1) == survivor
    assert [process.restarts for process in own_pair.info.processes] == [1, 0]
    assert (own_pair.info.restarts, own_pair.info.detail) == (1, None)
    assert counted("portcullis_engine_deaths_total", cause="killed") == killed + 1


async def test_one_that_cannot_start_leaves_the_other_to_serve(demo_config: EngineConfig) -> None:
    async with running(demo_config, places=(NOWHERE, Place("process 2"))) as engine:
        info = await engine.wait_ready(START_S)
        await until(engine, 0, EngineState.FAILED)

        answers = await all_answers(engine.ask(job(probes())))
        # Its only process dies over the next one, and there is no other to wait for: it is asked again all the same.
        stream = engine.ask(job(many(), picture(1)))
        first = await anext(stream)
        os.kill(*engine.pids, signal.SIGKILL)
        rest = await all_answers(stream)

        assert info.model_digest is not None
        assert {answer.status for answer in answers} == {Status.OK}
        assert {answer.status for answer in [first, *rest]} == {Status.OK}
        assert (engine.info.state, engine.info.degraded) == (EngineState.READY, True)
        assert "gpu 999: llama.cpp sees no GPU 999" in (engine.info.detail or "")


async def test_where_none_can_start_the_engine_has_failed(demo_config: EngineConfig) -> None:
    async with running(demo_config, places=(NOWHERE, Place("gpu 998", "998"))) as engine:
        with pytest.raises(EngineUnavailable, match=r"gpu 999: .*; gpu 998: "):
            await engine.wait_ready(START_S)

        assert engine.info.state is EngineState.FAILED
        answers = await all_answers(engine.ask(job(probes())))
        assert {(answer.status, answer.reason) for answer in answers} == {(Status.FAILED, "engine_unavailable")}


async def test_a_picture_that_kills_is_blamed_alone_and_leaves_one_that_serves(own_pair: LocalEngine) -> None:
    """Whichever process begins with it dies. All others are answered, by whatever is left."""
    deadly, deaths, alive = picture(2), counted("portcullis_engine_deaths_total", cause="killed"), []

    async def kill_over_it() -> None:
        while True:
            for supervisor in own_pair._supervisors:
                life = supervisor._life
                if life is not None and any(one.started and one.job.subject == deadly for one in life._flight):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(life.pid, signal.SIGKILL)
            alive.append(len(own_pair.pids))
            await asyncio.sleep(0.001)

    killer = asyncio.create_task(kill_over_it())
    try:
        seeds = [2, *(seed for seed in range(12) if seed != 2)]
        jobs = [own_pair.ask(job(many(400 if seed == 2 else 60), picture(seed))) for seed in seeds]
        blamed, *others = await asyncio.gather(*map(all_answers, jobs))
        again = await all_answers(own_pair.ask(job(probes(), deadly)))
    finally:
        killer.cancel()
        await asyncio.gather(killer, return_exceptions=True)

    assert "engine_crash" in {answer.reason for answer in blamed}
    assert {answer.reason for answer in again} == {"engine_crash"}
    assert {answer.status for one in others for answer in one} == {Status.OK}
    assert counted("portcullis_engine_deaths_total", cause="killed") == deaths + 2
    assert min(alive) == 1
    assert counted("portcullis_engine_quarantined") == 1


async def test_one_that_hangs_is_given_nothing_more_and_is_replaced(demo_config: EngineConfig) -> None:
    hangs = counted("portcullis_engine_deaths_total", cause="hang")
    two = (Place("process 1"), Place("process 2"))
    async with running(demo_config, places=two) as engine:
        await ready(engine, processes=2)
        # As reckoned on a machine that has nothing else to do.
        flight_of(engine, 0).patience = Patience(12.0, 0.02)
        hung = pid_of(engine, 0)
        os.kill(hung, signal.SIGSTOP)
        # Of two jobs at once each process gets one.
        late, well = await asyncio.gather(
            *(all_answers(engine.ask(job(probes(), picture(seed), deadline_s=4.0))) for seed in (0, 1))
        )
        statuses = [{answer.status for answer in one} for one in (late, well)]
        await until(engine, 0, EngineState.OVERDUE)
        during = engine.info
        served = [await all_answers(engine.ask(job(probes()[:3], picture(seed)))) for seed in range(2, 6)]
        still = engine.info.processes[0]
        await until(engine, 0, EngineState.RESTARTING)

        assert statuses in ([{Status.TIMEOUT}, {Status.OK}], [{Status.OK}, {Status.TIMEOUT}])
        assert (during.state, during.degraded) == (EngineState.READY, True)
        assert during.detail == "process 1: the engine process has said nothing since a job's deadline"
        assert {answer.status for one in served for answer in one} == {Status.OK}
        assert still.jobs == 1
        await ready(engine, processes=2)
        assert pid_of(engine, 0) != hung
        assert counted("portcullis_engine_deaths_total", cause="hang") == hangs + 1


async def test_closing_ends_them_all(demo_config: EngineConfig) -> None:
    async with running(demo_config, places=(Place("process 1"), Place("process 2"))) as engine:
        await ready(engine, processes=2)
        pids = engine.pids
        asked = [asyncio.create_task(all_answers(engine.ask(job(many(), picture(seed))))) for seed in range(4)]
        await both_at_work(engine)

    ended: list[list[Answer]] = await asyncio.gather(*asked)
    assert [len(answers) for answers in ended] == [400] * 4
    assert engine.pids == ()
    assert {process.state for process in engine.info.processes} == {EngineState.STOPPED}
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_files_that_were_replaced_are_served_by_none_until_by_all(
    demo: ModelFiles, demo_config: EngineConfig, tmp_path: Path
) -> None:
    """Decisions are pinned to one pair of files, whichever process answers."""
    model, projector = tmp_path / "model.gguf", tmp_path / "mmproj.gguf"
    shutil.copy(demo.model, model)
    shutil.copy(demo.projector, projector)
    files = replace(demo, model=model, projector=projector, model_digest=None, projector_digest=None)
    async with running(demo_config, files=files, places=(Place("process 1"), Place("process 2"))) as engine:
        await ready(engine, processes=2)
        old = engine.info.model_digest
        with model.open("ab") as file:
            file.write(b"\0" * 64)
        os.kill(pid_of(engine, 0), signal.SIGKILL)
        await until(engine, 0, EngineState.FAILED)

        assert engine.info.state is EngineState.READY
        assert "are no longer those that the other engine processes serve" in (engine.info.detail or "")
        assert engine.info.model_digest == old
        assert {answer.status for answer in await all_answers(engine.ask(job(probes())))} == {Status.OK}

        os.kill(pid_of(engine, 1), signal.SIGKILL)
        await until(engine, 1, EngineState.RESTARTING)
        await ready(engine, processes=2)
        assert engine.info.model_digest != old
