"""The process itself: what it is given, and that it never outlives the one who started it."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from app.domain import Picture
from app.engine.base import EngineConfig
from app.engine.pending import PendingJob
from app.engine.process import EngineProcess, worker_environment
from app.engine.worker.protocol import Answered, Done, Started
from app.errors import EngineCrashed, EngineUnavailable
from tests.engine.jobs import job, picture, probes


@pytest.fixture
async def process(demo_config: EngineConfig) -> AsyncIterator[EngineProcess]:
    started, _ = await EngineProcess.start(demo_config, lambda: None)
    yield started
    await started.close()


async def ended(process: EngineProcess) -> None:
    async with asyncio.timeout(30):
        with pytest.raises(EngineCrashed):
            await process.receive()


def test_it_gets_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTCULLIS_DATABASE_URL", "postgresql://user:hunter2@db/x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter3")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")

    given = worker_environment()

    assert "hunter2" not in repr(given)
    assert "hunter3" not in repr(given)
    assert given["CUDA_VISIBLE_DEVICES"] == "1"
    assert given["GGML_NO_BACKTRACE"] == "1"


def test_threads_spin_for_a_moment_and_sleep_then() -> None:
    given = worker_environment()

    assert given["OMP_WAIT_POLICY"] == "PASSIVE"
    assert 0 < int(given["GOMP_SPINCOUNT"]) < 1000


@pytest.mark.parametrize(
    ("name", "value", "other"),
    [("OMP_WAIT_POLICY", "ACTIVE", "GOMP_SPINCOUNT"), ("GOMP_SPINCOUNT", "5000", "OMP_WAIT_POLICY")],
)
def test_an_operator_may_choose_how_threads_wait(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, other: str
) -> None:
    monkeypatch.setenv(name, value)

    given = worker_environment()

    assert given[name] == value
    assert other not in given


async def test_it_says_what_it_chose(demo_config: EngineConfig) -> None:
    runtime = replace(demo_config.runtime, threads=0)
    process, ready = await EngineProcess.start(replace(demo_config, runtime=runtime), lambda: None)
    try:
        assert 1 <= ready.threads <= 8
        assert ready.context_tokens == 2048
        assert ready.parallel_questions == demo_config.parallel_questions
        assert ready.longest_call_s > 0
    finally:
        await process.close()


async def test_it_ends_when_the_pipe_to_it_closes(process: EngineProcess) -> None:
    """So when the service is killed: the system closes its pipes."""
    process._stdin.close()

    await ended(process)
    assert "ended with code 0" in str(await process.crash())


async def test_it_ends_when_it_is_sent_garbage(process: EngineProcess) -> None:
    process._stdin.write(b"\xff" * 64)

    await ended(process)


async def test_a_cancelled_job_is_done_without_its_answers(process: EngineProcess) -> None:
    pending = PendingJob(1, job([replace(probes()[0], id=f"{number}") for number in range(4000)]))
    await process.send(pending.ask(), pending.job.picture.rgb)
    process.cancel(1)

    answered = 0
    async with asyncio.timeout(30):
        while not isinstance(message := await process.receive(), Done):
            assert isinstance(message, Answered | Started)
            if isinstance(message, Answered):
                answered += 1

    assert answered < 4000
    assert not process.exited


async def test_a_job_cancelled_while_its_picture_is_on_the_way_breaks_no_frame(process: EngineProcess) -> None:
    large = Picture(2000, 2000, bytes(2000 * 2000 * 3))
    first, second = PendingJob(1, job(probes(), large)), PendingJob(2, job(probes()))

    sending = asyncio.create_task(process.send(first.ask(), large.rgb))
    await asyncio.sleep(0)
    assert process._within_a_frame
    process.cancel(1)
    process.cancel(7, (0, 1))
    await sending
    await process.send(second.ask(), second.job.picture.rgb)

    ended = []
    async with asyncio.timeout(30):
        while len(ended) < 2:
            if isinstance(message := await process.receive(), Done):
                ended.append(message.job)
    assert sorted(ended) == [1, 2]


async def test_a_pipe_that_is_gone_is_a_crash_not_an_exception_of_the_system(process: EngineProcess) -> None:
    os.kill(process.pid, 9)
    await ended(process)

    with pytest.raises(EngineCrashed, match="was ended by SIGKILL"):
        await process.send(PendingJob(1, job(probes())).ask(), picture().rgb)
    process.cancel(1)


async def test_an_interpreter_that_cannot_start_is_unavailable(
    demo_config: EngineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/nonexistent/python")

    with pytest.raises(EngineUnavailable, match="cannot be started"):
        await EngineProcess.start(demo_config, lambda: None)


async def test_neither_questions_nor_answers_are_logged(demo_config: EngineConfig) -> None:
    with capture_logs() as lines:
        process, _ = await EngineProcess.start(demo_config, lambda: None)
        pending = PendingJob(1, job([replace(probes()[0], prompt="a very secret question?")]))
        await process.send(pending.ask(), pending.job.picture.rgb)
        while not isinstance(await process.receive(), Done):
            pass
        await process.close()

    assert lines
    assert all(line["action"] == "engine.log" for line in lines)
    assert "secret" not in repr(lines)
    assert {line["log_level"] for line in lines} == {"debug"}
