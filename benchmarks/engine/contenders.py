"""Those who are measured. Each answers all questions about one picture; how it does that is its own affair."""

import asyncio
import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx

from app.domain import EngineJob, Picture, Question, QuestionKind, Status
from app.engine.base import EngineConfig, ModelFiles
from app.engine.local import LocalEngine
from app.engine.runtime import Runtime
from app.engine.waiting import waiting
from app.engine.worker.model import repacks
from benchmarks.engine.questions import data_url, messages, pictures

#: Text, and the most tokens of the answer.
Asked = tuple[str, int]
_START_S = 600.0
_PATIENT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Bench:
    """What all are given."""

    files: ModelFiles
    pictures: int
    side_px: int
    threads: int
    gpu_layers: int
    context_tokens: int
    draft_tokens: int


class Contender(Protocol):
    name: str

    async def start(self) -> None: ...

    async def ask(self, picture: int, questions: Sequence[Asked]) -> int:
        """The number of tokens that were generated or judged."""
        ...

    async def close(self) -> None: ...

    @property
    def pid(self) -> int: ...


class Engine:
    """This engine. `remembers`: encodings of pictures, so that a picture seen before is not encoded again."""

    def __init__(self, bench: Bench, name: str, *, remembers: bool = False, parallel_pictures: int = 16) -> None:
        self.name = name
        self._pictures = [Picture(bench.side_px, bench.side_px, rgb) for rgb in pictures(bench.pictures, bench.side_px)]
        self._engine = LocalEngine(
            EngineConfig(
                files=bench.files,
                runtime=Runtime(gpu_layers=bench.gpu_layers, threads=bench.threads, draft_tokens=bench.draft_tokens),
                remembered_bytes=(1 << 30) if remembers else 0,
                parallel_pictures=parallel_pictures,
            )
        )

    async def start(self) -> None:
        await self._engine.start()
        await self._engine.wait_ready(_START_S)

    async def ask(self, picture: int, questions: Sequence[Asked]) -> int:
        asked = tuple(
            Question(str(n), QuestionKind.YES_NO if most == 1 else QuestionKind.GENERATE, text, most)
            for n, (text, most) in enumerate(questions)
        )
        job = EngineJob("bench", self._pictures[picture], asked, time.monotonic() + _PATIENT_S)
        async for answer in self._engine.ask(job):
            assert answer.status is Status.OK, answer.reason
        return sum(most for _, most in questions)

    async def close(self) -> None:
        await self._engine.aclose()

    @property
    def pid(self) -> int:
        (pid,) = self._engine.pids
        return pid


class _Process:
    """A contender in a process of its own."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def _spawn(self, *command: str) -> asyncio.subprocess.Process:
        self._process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            # As the engine is: some kernels share the processor out by session.
            start_new_session=True,
            env={**waiting(os.environ), **os.environ},
        )
        return self._process

    async def close(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid


class Usual(_Process):
    """One `Llama`, which answers one call at a time."""

    name = "usual way"

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self._bench = bench
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        process = await self._spawn(sys.executable, "-m", "benchmarks.engine.usual")
        bench = self._bench
        order = {
            "model": str(bench.files.model),
            "projector": str(bench.files.projector),
            "side_px": bench.side_px,
            "pictures": bench.pictures,
            "context_tokens": bench.context_tokens,
            "gpu_layers": bench.gpu_layers,
            "threads": bench.threads,
        }
        await self._say(process, order)

    async def ask(self, picture: int, questions: Sequence[Asked]) -> int:
        assert self._process is not None
        async with self._turn:
            return int(await self._say(self._process, {"picture": picture, "questions": questions}))

    async def _say(self, process: asyncio.subprocess.Process, order: object) -> bytes:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(order).encode() + b"\n")
        line = await process.stdout.readline()
        if not line:
            raise RuntimeError("the usual way died")
        return line


class Server(_Process):
    """An OpenAI-compatible server on loopback. `together`: all questions of a picture at once, else one by one."""

    def __init__(self, bench: Bench, name: str, command: Sequence[str], *, together: bool) -> None:
        super().__init__()
        self.name = name
        self._command = command
        self._together = together
        self._urls = [data_url(rgb, bench.side_px) for rgb in pictures(bench.pictures, bench.side_px)]
        self._port = _free_port()
        self._client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self._port}", timeout=_PATIENT_S)

    async def start(self) -> None:
        await self._spawn(*(word.replace("{port}", str(self._port)) for word in self._command))
        async with asyncio.timeout(_START_S):
            while not await self._answers():  # noqa: ASYNC110 - another process, which says so through nothing else
                await asyncio.sleep(0.5)

    async def ask(self, picture: int, questions: Sequence[Asked]) -> int:
        if self._together:
            return sum(await asyncio.gather(*(self._one(picture, asked) for asked in questions)))
        return sum([await self._one(picture, asked) for asked in questions])

    async def close(self) -> None:
        await self._client.aclose()
        await super().close()

    async def _one(self, picture: int, asked: Asked) -> int:
        text, most = asked
        body = {"messages": messages(self._urls[picture], text), "max_tokens": most, "temperature": 0.0}
        answer = await self._client.post("/v1/chat/completions", json=body)
        answer.raise_for_status()
        return int(answer.json()["usage"]["completion_tokens"])

    async def _answers(self) -> bool:
        assert self._process is not None
        if self._process.returncode is not None:
            raise RuntimeError(f"{self.name} ended with code {self._process.returncode}")
        try:
            return (await self._client.get("/v1/models")).is_success
        except httpx.TransportError:
            return False


def llama_cpp_server(bench: Bench) -> Server:
    command = [sys.executable, "-m", "benchmarks.engine.llama_cpp_server", "--model", str(bench.files.model)]
    command += ["--clip_model_path", str(bench.files.projector), "--chat_format", "mtmd", "--port", "{port}"]
    command += ["--n_ctx", str(bench.context_tokens), "--n_batch", "2048", "--n_gpu_layers", str(bench.gpu_layers)]
    command += ["--n_threads", str(bench.threads), "--n_threads_batch", str(bench.threads), "--flash_attn", "true"]
    return Server(bench, "llama_cpp.server", command, together=False)


def llama_server(bench: Bench, binary: Path, *, together: bool, slots: int) -> Server:
    """llama.cpp's own server. Its slots keep what they read last, so a question finds the slot that has its picture;
    with a slot for each request at once no upload loses its own to another."""
    command = [str(binary), "-m", str(bench.files.model), "--mmproj", str(bench.files.projector), "--port", "{port}"]
    command += ["--host", "127.0.0.1", "-np", str(slots), "--kv-unified", "-c", str(bench.context_tokens * slots)]
    command += ["-t", str(bench.threads), "-tb", str(bench.threads), "-b", "2048", "-ub", "512", "-fa", "on"]
    command += ["-ngl", str(bench.gpu_layers if bench.gpu_layers >= 0 else 999), "--jinja", "--no-ui"]
    command += [] if bench.gpu_layers else ["--no-mmproj-offload"]
    # Else it aborts on Youtu-VL on processors with AMX; the engine has the same buffers off there.
    command += [] if repacks() else ["--no-repack"]
    return Server(bench, f"llama-server, {'together' if together else 'one by one'}", command, together=together)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
