"""The media workers: a fixed number of processes, each killed and replaced when a call runs too long or it dies.

Why not `anyio.to_process`, which also kills on cancellation: its workers import the parent's `__main__`; what C
libraries print fills a stderr pipe that nobody reads, until the worker hangs; a call cancelled while a worker starts
leaves that process behind; idle workers are dropped with the OCR networks they hold. Processes here keep a clean
environment (no database address, no keys), and a replacement is warm before it gets work. They are for stopping what
runs away: not a sandbox, they run as the same user.
"""

import asyncio
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar, TypeVarTuple, Unpack, cast

import structlog

from app.errors import WorkerCrashed, WorkerError, WorkersNotRunning, WorkerTimeout
from app.media_worker import HEADER, Reply
from app.metrics import WORKER_KILLS

Args = TypeVarTuple("Args")
Result = TypeVar("Result")
WarmUp = Callable[[], object]

log = structlog.get_logger(__name__)

#: What a worker inherits of the environment; never PORTCULLIS_*.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH")

#: One worker is one core; libraries that start threads of their own would make the pool slower, not faster.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

_STREAM_BUFFER_BYTES = 1 << 20
_MAX_RESTART_DELAY_S = 30.0


class MediaPool:
    """`app.workers.Workers` over processes of this machine.

    `memory_mb` bounds the growth of one worker's address space. `warm_up` are module-level functions that each worker
    calls before it gets work, such as one that loads the OCR networks. `worker_name` is what logs and errors call one.
    """

    def __init__(
        self,
        size: int,
        *,
        memory_mb: int,
        warm_up: Sequence[WarmUp] = (),
        start_timeout_s: float = 120.0,
        worker_name: str = "media worker",
    ) -> None:
        self._size = size
        self._name = worker_name
        self._memory_bytes = memory_mb << 20
        self._warm_up = pickle.dumps(tuple(warm_up), protocol=pickle.HIGHEST_PROTOCOL)
        self._start_timeout_s = start_timeout_s
        self._idle: asyncio.LifoQueue[_Worker] = asyncio.LifoQueue()
        self._workers: set[_Worker] = set()
        self._supervisors: list[asyncio.Task[None]] = []

    @property
    def pids(self) -> list[int]:
        """The processes that are alive, for operations."""
        return sorted(worker.pid for worker in self._workers if worker.alive)

    async def start(self) -> None:
        """Returns when every worker is warm. Raises WorkerError when one cannot be started."""
        if self._supervisors:
            return
        started = time.monotonic()
        first: list[asyncio.Task[_Worker]] = []
        failure: WorkerError | None = None
        try:
            async with asyncio.TaskGroup() as group:
                first = [group.create_task(self._spawn()) for _ in range(self._size)]
        except* WorkerError as errors:
            failure = _first(errors)
        finally:
            if not all(task.done() and not task.cancelled() and task.exception() is None for task in first):
                await self.aclose()
        if failure is not None:
            # Out here, because Python before 3.11.4 (Debian 12 has 3.11.2) wraps what is raised inside `except*`.
            raise failure
        self._supervisors = [asyncio.create_task(self._supervise(task.result())) for task in first]
        log.info(f"{self._name}s ready", action="media_pool.ready", workers=self._size, took_s=_since(started))

    async def aclose(self) -> None:
        for supervisor in self._supervisors:
            supervisor.cancel()
        await asyncio.gather(*self._supervisors, return_exceptions=True)
        self._supervisors = []
        for worker in tuple(self._workers):
            await self._bury(worker)

    async def run(self, function: Callable[[Unpack[Args]], Result], *args: *Args, timeout_s: float) -> Result:
        """See `app.workers.Workers.run`. A call that is cancelled kills its worker too."""
        if not self._supervisors:
            raise WorkersNotRunning(f"the {self._name}s are not running")
        request = pickle.dumps((function, args), protocol=pickle.HIGHEST_PROTOCOL)
        ran_since: float | None = None
        try:
            async with asyncio.timeout(timeout_s):
                worker = await self._next_idle()
                ran_since = time.monotonic()
                reply = await self._exchange(worker, request)
        except TimeoutError:
            if ran_since is None:
                raise WorkerTimeout(f"no {self._name} was free within {timeout_s:.1f} s") from None
            WORKER_KILLS.labels(cause="timeout").inc()
            ran_s = time.monotonic() - ran_since
            raise WorkerTimeout(f"a {self._name} had no result after {ran_s:.1f} s", ran_s=ran_s) from None
        return cast(Result, _unpack(reply))

    async def _next_idle(self) -> "_Worker":
        while True:
            worker = await self._idle.get()
            if worker.alive:
                return worker

    async def _exchange(self, worker: "_Worker", request: bytes) -> bytes:
        """A reply; the worker is idle again, or dying: its supervisor replaces it."""
        try:
            reply = await worker.exchange(request)
        except _ProcessEnded:
            WORKER_KILLS.labels(cause="crash").inc()
            worker.kill()
            raise WorkerCrashed(f"a {self._name} died during the call ({await worker.epitaph()})") from None
        except BaseException:
            worker.kill()
            raise
        if Reply(reply[:1]) is Reply.OUT_OF_MEMORY:
            WORKER_KILLS.labels(cause="memory").inc()
            worker.kill()
        else:
            self._idle.put_nowait(worker)
        return reply

    async def _supervise(self, worker: "_Worker") -> None:
        """Keeps one place of the pool filled."""
        delay_s = 0.5
        while True:
            epitaph = await worker.epitaph()
            await self._bury(worker)
            log.warning(f"{self._name} ended", action="media_pool.worker_ended", pid=worker.pid, how=epitaph)
            while True:
                try:
                    worker = await self._spawn()
                    break
                except WorkerError as error:
                    log.error(f"{self._name} does not start", action="media_pool.start_failed", error=str(error))  # noqa: TRY400 -- the sentence says it all
                    await asyncio.sleep(delay_s)
                    delay_s = min(2 * delay_s, _MAX_RESTART_DELAY_S)
            delay_s = 0.5

    async def _spawn(self) -> "_Worker":
        """A warm worker, put among the idle ones. Raises WorkerCrashed."""
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-P", "-m", "app.media_worker", str(os.getpid()), str(self._memory_bytes)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=_environment(),
                limit=_STREAM_BUFFER_BYTES,
            )
        except OSError as error:
            raise WorkerCrashed(f"a {self._name} could not be started: {error}") from error
        worker = _Worker(process)
        self._workers.add(worker)
        try:
            async with asyncio.timeout(self._start_timeout_s):
                _unpack(await worker.exchange(self._warm_up))
        except BaseException as error:
            await self._bury(worker)
            if not isinstance(error, Exception):
                raise
            WORKER_KILLS.labels(cause="start").inc()
            raise WorkerCrashed(await self._start_failure(worker, error)) from error
        self._idle.put_nowait(worker)
        return worker

    async def _start_failure(self, worker: "_Worker", error: Exception) -> str:
        if isinstance(error, _ProcessEnded):
            return f"a {self._name} died while it started ({await worker.epitaph()})"
        if isinstance(error, TimeoutError):
            return f"a {self._name} was not ready after {self._start_timeout_s:.0f} s"
        return f"a {self._name} could not warm up: {error}"

    async def _bury(self, worker: "_Worker") -> None:
        worker.kill()
        await worker.aclose()
        self._workers.discard(worker)


class _ProcessEnded(Exception):
    """The process went away in the middle of a message."""


class _Worker:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None  # noqa: S101 -- for the type checker: both are pipes
        assert process.stdout is not None  # noqa: S101
        self._process = process
        self._requests = process.stdin
        self._replies = process.stdout

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def exchange(self, request: bytes) -> bytes:
        try:
            self._requests.write(HEADER.pack(len(request)))
            self._requests.write(request)
            await self._requests.drain()
            (length,) = HEADER.unpack(await self._replies.readexactly(HEADER.size))
            return await self._replies.readexactly(length)
        except (ConnectionError, asyncio.IncompleteReadError):
            raise _ProcessEnded from None

    def kill(self) -> None:
        # Not Process.kill(): it polls first, and so may collect the exit status that asyncio's watcher is waiting for.
        if self.alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    async def epitaph(self) -> str:
        """How the process ended, once it has."""
        code = await self._process.wait()
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"

    async def aclose(self) -> None:
        """Waits for the end of a killed process and closes its pipes."""
        self._requests.close()
        with suppress(ConnectionError):
            # What it waits for is asyncio's own: cancelled with the caller, it fails when the pipe is closed.
            await asyncio.shield(self._requests.wait_closed())
        await self._process.wait()


def _unpack(reply: bytes) -> object:
    kind = Reply(reply[:1])
    if kind is Reply.OUT_OF_MEMORY:
        raise WorkerCrashed("a media worker ran out of the memory it is allowed")
    try:
        value = pickle.loads(memoryview(reply)[1:])  # noqa: S301 -- our own process; see the head of this file
    except Exception as error:
        raise WorkerError(f"the reply of a media worker cannot be read: {error}") from error
    if kind is Reply.EXCEPTION:
        raise value
    if kind is Reply.OPAQUE:
        raise WorkerError(f"{value} in a media worker")
    return cast(object, value)


def _environment() -> dict[str, str]:
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)  # noqa: PTH109 -- a string is wanted
    return inherited | _ONE_THREAD | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


def _first(errors: BaseExceptionGroup[WorkerError]) -> WorkerError:
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)
