"""A real HTTP server on loopback that does what a test says, byte for byte where it must."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from app.engine.base import AnswerWords
from app.engine.remote.config import RemoteConfig, server_url
from app.engine.remote.engine import RemoteEngine

WORDS = AnswerWords(yes=("Yes", " Yes", "yes", "是", "有"), no=("No", " No", "no", "否", "不", "没有"))
MODEL = "org/model"
_TRIAL = "Is this image grey?"


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def question(self) -> str:
        return str(self.json["messages"][0]["content"][-1]["text"])

    @property
    def is_trial(self) -> bool:
        return self.method == "POST" and _TRIAL in self.question


#: Returns the bytes of the whole answer; b"" closes without one.
Script = Callable[[Request], Awaitable[bytes] | bytes]


def http(status: int, body: bytes | dict[str, Any] = b"", **headers: str) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} x", f"Content-Length: {len(data)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def models(*names: str) -> bytes:
    return http(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in names or (MODEL,)]})


def listed(**logs: float | None) -> bytes:
    """A completion whose first token has these likeliest candidates."""
    top = [{"token": token, "logprob": log, "bytes": None} for token, log in logs.items()]
    return completion(logprobs={"content": [{"token": "x", "logprob": -1.0, "top_logprobs": top}]})


def completion(text: str | None = "", *, finish: str = "stop", logprobs: Any = None) -> bytes:
    message = {"role": "assistant", "content": text}
    return http(200, {"choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": logprobs}]})


#: P(yes) = 0.9, and nothing of weight besides.
YES = {"Yes": -0.1053605, "No": -2.3027, "a": -11.0}


def agreeable(request: Request) -> bytes:
    """A server as it should be."""
    if request.method == "GET":
        return models()
    if "top_logprobs" in request.json:
        return listed(**YES)
    return completion("a plain picture")


@dataclass
class ScriptedServer:
    """`script` answers what is neither the list of models nor the trial; `everything` answers those as well."""

    script: Script = agreeable
    everything: bool = False
    requests: list[Request] = field(default_factory=list)
    under_way: int = 0
    connected: int = 0
    most_at_once: int = 0
    #: Connections that the client closed while it was owed an answer.
    hung_up: int = 0
    port: int = 0
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def questions(self) -> list[str]:
        return [request.question for request in self.requests if request.method == "POST" and not request.is_trial]

    def config(self, **changes: Any) -> RemoteConfig:
        """In a hurry: a test does not wait for an operator's seconds."""
        hurried: dict[str, Any] = {"first_pause_s": 0.02, "longest_pause_s": 0.05}
        return RemoteConfig(url=server_url(self.url), words=WORDS, **{**hurried, **changes})

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._serve(reader, writer):
                    pass
        finally:
            self.connected -= 1
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether the connection stays."""
        request = await _read(reader)
        self.requests.append(request)
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            answer = await self._answer(request, reader)
        finally:
            self.under_way -= 1
        writer.write(answer)
        await writer.drain()
        return bool(answer) and b"Connection: close" not in answer

    async def _answer(self, request: Request, reader: asyncio.StreamReader) -> bytes:
        kind = self.script if self.everything or not (request.method == "GET" or request.is_trial) else agreeable
        answer = kind(request)
        if isinstance(answer, bytes):
            return answer
        answering = asyncio.ensure_future(answer)
        # A client that waits says nothing: what comes now is its end.
        gone = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait((answering, gone), return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                return answering.result()
            self.hung_up += 1
            raise ConnectionResetError
        finally:
            answering.cancel()
            gone.cancel()
            await asyncio.gather(answering, gone, return_exceptions=True)


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, body)


@contextlib.asynccontextmanager
async def serving(
    script: Script = agreeable, *, everything: bool = False, tls: ssl.SSLContext | None = None, port: int = 0
) -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer(script, everything, scheme="https" if tls is not None else "http")
    open_tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(server.handle(reader, writer))
        open_tasks.add(task)
        task.add_done_callback(open_tasks.discard)

    listener = await asyncio.start_server(connected, "127.0.0.1", port, ssl=tls, limit=1 << 24)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in list(open_tasks):
            task.cancel()
        await asyncio.gather(*open_tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def asking(config: RemoteConfig, *, ready: bool = True) -> AsyncIterator[RemoteEngine]:
    engine = RemoteEngine(config)
    await engine.start()
    try:
        if ready:
            await engine.wait_ready(30.0)
        yield engine
    finally:
        await engine.aclose()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - of another task, which says so through nothing else
            await asyncio.sleep(0.005)
