import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from app.errors import PolicyInvalid, QueueFull, WorkerCrashed, WorkerError, WorkersNotRunning, WorkerTimeout
from app.media_inline import InlineWorkers
from app.media_pool import MediaPool
from app.metrics import WORKER_KILLS
from app.workers import Workers
from tests import media_work

REPOSITORY = Path(__file__).resolve().parent.parent

#: For calls that are expected to end: generous, because it must never decide a test.
PATIENCE_S = 60.0


@pytest.fixture
async def pool() -> AsyncIterator[MediaPool]:
    pool = MediaPool(1, memory_mb=512)
    await pool.start()
    yield pool
    await pool.aclose()


@pytest.fixture(params=["pool", "inline"])
async def workers(request: pytest.FixtureRequest) -> AsyncIterator[Workers]:
    if request.param == "inline":
        yield InlineWorkers()
        return
    pool = MediaPool(1, memory_mb=512)
    await pool.start()
    yield pool
    await pool.aclose()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 -- other processes set no events
            await asyncio.sleep(0.02)


def kills(cause: str) -> float:
    return WORKER_KILLS.labels(cause=cause)._value.get()


class TestContract:
    async def test_gives_back_the_result(self, workers: Workers) -> None:
        assert await workers.run(media_work.add, 2, 3, timeout_s=PATIENCE_S) == 5

    async def test_lets_the_functions_own_exceptions_through(self, workers: Workers) -> None:
        with pytest.raises(ValueError, match="three is not two"):
            await workers.run(media_work.fail_with_value_error, timeout_s=PATIENCE_S)

    async def test_lets_errors_with_more_than_a_sentence_through(self, workers: Workers) -> None:
        with pytest.raises(QueueFull) as full:
            await workers.run(media_work.fail_with_queue_full, timeout_s=PATIENCE_S)
        assert full.value.retry_after_s == 7
        with pytest.raises(PolicyInvalid) as invalid:
            await workers.run(media_work.fail_with_policy_invalid, timeout_s=PATIENCE_S)
        assert invalid.value.problems[0].column == 5

    async def test_a_call_that_takes_too_long_is_a_timeout(self, workers: Workers) -> None:
        with pytest.raises(WorkerTimeout) as timeout:
            await workers.run(media_work.sleep, 1.0, timeout_s=0.2)
        assert timeout.value.ran_s > 0.1

    async def test_calls_at_once_all_get_their_own_result(self, workers: Workers) -> None:
        calls = [workers.run(media_work.add, number, 0, timeout_s=PATIENCE_S) for number in range(20)]
        assert await asyncio.gather(*calls) == list(range(20))


async def test_work_runs_in_another_process(pool: MediaPool) -> None:
    assert await pool.run(media_work.pid, timeout_s=PATIENCE_S) == pool.pids[0] != os.getpid()


async def test_a_runaway_is_killed_and_replaced(pool: MediaPool) -> None:
    (runaway,) = pool.pids
    before = kills("timeout")
    with pytest.raises(WorkerTimeout):
        await pool.run(media_work.spin_for_ever, timeout_s=0.3)
    assert kills("timeout") == before + 1
    assert await pool.run(media_work.pid, timeout_s=PATIENCE_S) != runaway
    assert not alive(runaway)


async def test_waiting_for_a_busy_worker_times_out_without_disturbing_it(pool: MediaPool, tmp_path: Path) -> None:
    started = tmp_path / "started"
    busy = asyncio.create_task(pool.run(media_work.mark_and_sleep, str(started), 1.0, timeout_s=PATIENCE_S))
    await until(started.exists)
    with pytest.raises(WorkerTimeout) as timeout:
        await pool.run(media_work.pid, timeout_s=0.1)
    assert timeout.value.ran_s == 0
    await busy
    assert len(pool.pids) == 1


async def test_a_cancelled_call_is_killed(pool: MediaPool, tmp_path: Path) -> None:
    started = tmp_path / "started"
    call = asyncio.create_task(pool.run(media_work.mark_and_sleep, str(started), 3600.0, timeout_s=PATIENCE_S))
    (worker,) = pool.pids
    await until(started.exists)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(lambda: not alive(worker))
    assert await pool.run(media_work.add, 1, 1, timeout_s=PATIENCE_S) == 2


@pytest.mark.parametrize(
    ("function", "how"), [(media_work.abort, "signal SIGABRT"), (media_work.leave, "exit status 3")]
)
async def test_a_crash_costs_one_call(pool: MediaPool, function: Callable[[], None], how: str) -> None:
    before = kills("crash")
    with pytest.raises(WorkerCrashed, match=how):
        await pool.run(function, timeout_s=PATIENCE_S)
    assert kills("crash") == before + 1
    assert await pool.run(media_work.add, 1, 1, timeout_s=PATIENCE_S) == 2


async def test_a_worker_that_dies_idle_costs_nothing(pool: MediaPool) -> None:
    (worker,) = pool.pids
    os.kill(worker, signal.SIGKILL)
    await until(lambda: pool.pids not in ([], [worker]))
    assert await pool.run(media_work.add, 1, 1, timeout_s=PATIENCE_S) == 2


async def test_more_memory_than_allowed_ends_the_call_and_the_worker(pool: MediaPool) -> None:
    (worker,) = pool.pids
    with pytest.raises(WorkerCrashed, match="memory"):
        await pool.run(media_work.grow, 4 << 30, timeout_s=PATIENCE_S)
    assert await pool.run(media_work.pid, timeout_s=PATIENCE_S) != worker


async def test_what_libraries_print_does_no_harm(pool: MediaPool, capfd: pytest.CaptureFixture[str]) -> None:
    assert await pool.run(media_work.print_everywhere, 1 << 20, timeout_s=PATIENCE_S) == "done"
    assert await pool.run(media_work.add, 1, 1, timeout_s=PATIENCE_S) == 2
    printed = capfd.readouterr()
    assert "xxx" not in printed.out + printed.err
    assert "zzz" not in printed.out + printed.err


async def test_large_data_goes_there_and_back(pool: MediaPool) -> None:
    data = os.urandom(1 << 20) * 30
    assert await pool.run(media_work.echo, data, timeout_s=PATIENCE_S) == data


async def test_secrets_of_the_environment_stay_outside(pool: MediaPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTCULLIS_DATABASE_URL", "postgresql://user:password@db/portcullis")
    fresh = MediaPool(1, memory_mb=512)
    await fresh.start()
    seen = await fresh.run(media_work.environment, timeout_s=PATIENCE_S)
    await fresh.aclose()
    assert not any(name.startswith("PORTCULLIS") for name in seen)
    assert seen["OMP_NUM_THREADS"] == "1"


async def test_an_exception_says_where_in_the_worker_it_came_from(pool: MediaPool) -> None:
    with pytest.raises(ValueError, match="three is not two") as raised:
        await pool.run(media_work.fail_with_value_error, timeout_s=PATIENCE_S)
    assert "fail_with_value_error" in raised.value.__notes__[0]


async def test_an_exception_that_cannot_travel_is_named(pool: MediaPool) -> None:
    with pytest.raises(WorkerError, match="UncarriableError"):
        await pool.run(media_work.fail_uncarriably, timeout_s=PATIENCE_S)
    assert await pool.run(media_work.add, 1, 1, timeout_s=PATIENCE_S) == 2


async def test_a_result_that_cannot_travel_is_an_error(pool: MediaPool) -> None:
    with pytest.raises(Exception, match="lambda"):
        await pool.run(media_work.uncarriable_result, timeout_s=PATIENCE_S)
    assert await pool.run(media_work.add, 1, 1, timeout_s=PATIENCE_S) == 2


async def test_workers_are_warm_before_and_after_a_replacement() -> None:
    pool = MediaPool(1, memory_mb=512, warm_up=[media_work.warm_up])
    await pool.start()
    assert await pool.run(media_work.is_warm, timeout_s=PATIENCE_S) == ["warm"]
    with pytest.raises(WorkerCrashed):
        await pool.run(media_work.abort, timeout_s=PATIENCE_S)
    assert await pool.run(media_work.is_warm, timeout_s=PATIENCE_S) == ["warm"]
    await pool.aclose()


async def test_a_pool_that_cannot_warm_up_does_not_start() -> None:
    pool = MediaPool(2, memory_mb=512, warm_up=[media_work.cannot_warm_up])
    with pytest.raises(WorkerCrashed, match="no networks here"):
        await pool.start()
    assert pool.pids == []


@pytest.mark.parametrize("steps", range(6))
async def test_a_close_that_is_cancelled_at_any_step_can_be_made_again(steps: int) -> None:
    """What asyncio reports of its own callbacks fails the test, too."""
    pool = MediaPool(1, memory_mb=512)
    await pool.start()
    (pid,) = pool.pids
    closing = asyncio.create_task(pool.aclose())
    for _ in range(steps):
        await asyncio.sleep(0)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    await pool.aclose()
    await until(lambda: not alive(pid))


async def test_closing_ends_the_processes_and_their_calls(tmp_path: Path) -> None:
    pool = MediaPool(2, memory_mb=512)
    await pool.start()
    pids = pool.pids
    started = tmp_path / "started"
    call = asyncio.create_task(pool.run(media_work.mark_and_sleep, str(started), 3600.0, timeout_s=PATIENCE_S))
    await until(started.exists)
    await pool.aclose()
    assert len(pids) == 2
    assert not any(alive(pid) for pid in pids)
    with pytest.raises(WorkerCrashed):
        await call
    with pytest.raises(WorkersNotRunning):
        await pool.run(media_work.pid, timeout_s=PATIENCE_S)


#: No `if __name__ == "__main__"`: workers that imported their parent's main module would run it again.
_UNGUARDED_PARENT = """
import asyncio
from app.media_pool import MediaPool
from tests import media_work

async def main():
    pool = MediaPool(1, memory_mb=512)
    await pool.start()
    print("pid", pool.pids[0], "main", await pool.run(media_work.main_module, timeout_s=60), flush=True)
    await pool.run(media_work.spin_for_ever, timeout_s=3600)

print("parent", flush=True)
asyncio.run(main())
"""


async def test_workers_neither_import_main_nor_outlive_a_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(_UNGUARDED_PARENT)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    parent = await asyncio.create_subprocess_exec(
        sys.executable, str(script), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )
    assert parent.stdout is not None
    lines = []
    while not lines or not lines[-1].startswith("pid"):
        line = (await parent.stdout.readline()).decode()
        assert line, lines
        lines.append(line)
    worker = int(lines[-1].split()[1])
    assert alive(worker)
    parent.kill()
    await until(lambda: not alive(worker))
    rest = (await parent.stdout.read()).decode()
    await parent.wait()
    assert sum(line == "parent\n" for line in [*lines, *rest.splitlines(keepends=True)]) == 1
    assert str(script) not in lines[-1]


async def test_what_fails_in_a_pool_is_called_what_the_pool_calls_its_workers() -> None:
    pool = MediaPool(1, memory_mb=512, worker_name="policy checker")
    with pytest.raises(WorkersNotRunning, match="the policy checkers are not running"):
        await pool.run(os.getpid, timeout_s=1)
    await pool.start()
    try:
        with pytest.raises(WorkerTimeout, match="a policy checker had no result"):
            await pool.run(time.sleep, 30, timeout_s=0.2)
    finally:
        await pool.aclose()
