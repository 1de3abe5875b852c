"""One life of the engine process: start, speak, end."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import structlog

import app
from app.engine.base import EngineConfig
from app.engine.deaths import Death, death_of, how_it_ended
from app.engine.places import seeing_only
from app.engine.waiting import waiting
from app.engine.worker.protocol import (
    BrokenFrame,
    Cancel,
    FromEngine,
    Load,
    Ready,
    Refused,
    ToEngine,
    frame,
    receive,
)
from app.errors import UNSERVABLE, EngineCrashed, EngineError, EngineUnavailable

_log = structlog.get_logger(__name__)

#: The pipe can end this long before the process does.
_LAST_BREATH_S = 2.0
_MAX_LOG_LINE = 1000
#: asyncio copies what the pipe does not take at once, and the rest of it again for every part that it takes.
_SLICE_BYTES = 128 * 1024
#: Beyond this the small steps of generation gain nothing and take cores from the media workers.
_MOST_THREADS = 8
#: Names, and beginnings of names, that the engine process inherits.
_INHERITED = frozenset({"PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"})
_INHERITED_GROUPS = ("LC_", "OMP_", "GOMP_", "KMP_", "CUDA_", "NVIDIA_", "GGML_", "HIP_", "ROCR_", "HSA_", "VK_")
_ROOT = Path(app.__file__).resolve().parent.parent
_REFUSALS: dict[str, type[EngineError]] = {error.code: error for error in UNSERVABLE}


class EngineProcess:
    """Frames in, frames out. `exited` is set as soon as the process is gone; `on_exit` is called then."""

    def __init__(self, process: asyncio.subprocess.Process, on_exit: Callable[[], None]) -> None:
        self._process = process
        self._on_exit = on_exit
        self.exited = False
        self._within_a_frame = False
        #: What was to be written while a picture was: another frame's middle is no place for it.
        self._held_back: list[bytes] = []
        self._tasks = (asyncio.create_task(self._watch()), asyncio.create_task(self._forward_log()))

    @classmethod
    async def start(
        cls, config: EngineConfig, on_exit: Callable[[], None], gpu: str | None = None
    ) -> tuple["EngineProcess", Ready]:
        """The process with its model loaded, on this GPU alone if one is named. Raises ModelFileCorrupt when llama.cpp
        refuses the files, GpuMissing when it does not see the GPU, EngineUnavailable when it is not ready in time,
        EngineCrashed when it dies over them."""
        process = cls(await _spawn(worker_environment(gpu)), on_exit)
        try:
            async with asyncio.timeout(config.start_timeout_s):
                await process.send(load_order(config, gpu))
                message = await process.receive()
        except TimeoutError as error:
            await process.close()
            raise EngineUnavailable(f"the model was not loaded within {config.start_timeout_s:g} s") from error
        except BaseException:
            await process.close()
            raise
        if isinstance(message, Ready):
            return process, message
        await process.close()
        if isinstance(message, Refused):
            raise _REFUSALS.get(message.code, EngineUnavailable)(message.detail)
        raise EngineCrashed(f"the engine process began with '{message.kind}'", cause=Death.GARBAGE)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def send(self, message: ToEngine, payload: bytes = b"") -> None:
        """Raises EngineCrashed when the process is gone."""
        if self.exited:
            raise await self.crash()
        pipe = self._stdin
        try:
            self._within_a_frame = True
            pipe.write(frame(message, len(payload)))
            for start in range(0, len(payload), _SLICE_BYTES):
                pipe.write(memoryview(payload)[start : start + _SLICE_BYTES])
                await pipe.drain()
            await pipe.drain()
        except OSError as error:
            raise await self.crash() from error
        finally:
            self._within_a_frame = False
        while self._held_back:
            pipe.write(self._held_back.pop(0))

    def cancel(self, job: int, numbers: tuple[int, ...] | None = None) -> None:
        """The job, or these questions of it. Without waiting: a process that is gone needs no cancelling."""
        said = frame(Cancel(job=job, numbers=numbers))
        if self._within_a_frame:
            self._held_back.append(said)
        elif not self.exited and not self._stdin.is_closing():
            self._stdin.write(said)

    async def receive(self) -> FromEngine:
        """The next message. Raises EngineCrashed when the process is gone or writes garbage."""
        assert self._process.stdout is not None  # noqa: S101 - for the type checker: started with a pipe
        try:
            return await receive(self._process.stdout)
        except (asyncio.IncompleteReadError, OSError) as error:
            raise await self.crash() from error
        except BrokenFrame as error:
            raise EngineCrashed(f"the engine process wrote garbage: {error}", cause=Death.GARBAGE) from error

    async def close(self) -> None:
        """Kill the process, which has nothing to save, and end everything that watches it. A caller that is cancelled
        meanwhile goes only when that is done: no process is left behind."""
        ending = asyncio.ensure_future(self._end())
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            await ending
            raise

    async def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        self._stdin.close()
        with contextlib.suppress(OSError):
            await self._stdin.wait_closed()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def _stdin(self) -> asyncio.StreamWriter:
        assert self._process.stdin is not None  # noqa: S101 - for the type checker: started with a pipe
        return self._process.stdin

    async def _watch(self) -> None:
        await self._process.wait()
        self.exited = True
        self._on_exit()

    async def crash(self) -> EngineCrashed:
        """Such as `the engine process was ended by SIGKILL`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_BREATH_S):
                await self._process.wait()
        code = self._process.returncode
        return EngineCrashed(f"the engine process {how_it_ended(code)}", cause=death_of(code))

    async def _forward_log(self) -> None:
        assert self._process.stderr is not None  # noqa: S101 - for the type checker: started with a pipe
        rest = b""
        while chunk := await self._process.stderr.read(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._log_line(line)
            rest = rest[:_MAX_LOG_LINE]
        if rest:
            self._log_line(rest)

    def _log_line(self, raw: bytes) -> None:
        line = raw.decode("utf-8", "replace").rstrip()[:_MAX_LOG_LINE]
        letter, _, text = line.partition(" ")
        if letter in {"I", "D"}:
            _log.debug("engine process", action="engine.log", line=text, pid=self.pid)
        elif line:
            # What has no level of ours was printed by the library itself, as a failed assertion is.
            text = text if letter in {"W", "E"} else line
            _log.warning("engine process", action="engine.log", line=text, pid=self.pid)


async def _spawn(environment: Mapping[str, str]) -> asyncio.subprocess.Process:
    """In a session of its own, so that a Ctrl-C for the service does not end the engine before the service does."""
    try:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "app.engine.worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        raise EngineUnavailable(f"the engine process cannot be started: {error.strerror}") from error


def worker_environment(gpu: str | None = None) -> dict[str, str]:
    """It reads hostile pictures: it gets what llama.cpp and its drivers look at, and no secret that lies about."""
    kept = {
        name: value for name, value in os.environ.items() if name in _INHERITED or name.startswith(_INHERITED_GROUPS)
    }
    return {
        **waiting(kept),
        **kept,
        **({} if gpu is None else seeing_only(gpu)),
        # Else a failed assertion starts a debugger first.
        "GGML_NO_BACKTRACE": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH")))),
    }


def load_order(config: EngineConfig, gpu: str | None = None) -> Load:
    files, runtime = config.files, config.runtime
    threads = max(1, min(_MOST_THREADS, _cores() // len(config.places)))
    return Load(
        gpu=gpu,
        model=str(files.model),
        projector=str(files.projector),
        form_of_model=files.chat_form is None,
        **({} if files.chat_form is None else asdict(files.chat_form)),
        yes_words=files.words.yes,
        no_words=files.words.no,
        picture_tokens=files.picture_tokens,
        gpu_layers=runtime.gpu_layers,
        threads=runtime.threads or threads,
        context_tokens=runtime.context_tokens,
        batch_tokens=min(runtime.batch_tokens, runtime.context_tokens),
        ubatch_tokens=min(runtime.ubatch_tokens, runtime.context_tokens),
        flash_attention=runtime.flash_attention,
        kv_type_k=runtime.kv_type_k,
        kv_type_v=runtime.kv_type_v,
        mmap=runtime.mmap,
        mlock=runtime.mlock,
        parallel_questions=config.parallel_questions,
        parallel_pictures=config.parallel_pictures,
        remembered_bytes=config.remembered_bytes,
        draft_tokens=runtime.draft_tokens,
    )


def _cores() -> int:
    """Those this process may use, where the system tells (Linux); else those of the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
