"""What a server can do wrong, and that each of it is a finding and never a crash."""

import asyncio
import gzip
import inspect
import math
import os
import shutil
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from app.domain import Answer, EngineState, Status
from app.engine.base import Reason
from app.engine.remote import client
from app.engine.remote.client import Client
from app.engine.remote.config import RemoteConfig
from app.errors import ConfigurationError, EngineUnavailable
from tests.engine.jobs import all_answers, caption, job, probes
from tests.engine.remote.scripted import (
    WORDS,
    YES,
    Request,
    Script,
    agreeable,
    asking,
    completion,
    http,
    listed,
    serving,
    until,
)

ONE = probes()[:1]
SURE = [{"token": "Yes", "logprob": -0.1}]


async def answer_of(script: Script, **changes: Any) -> tuple[Answer, list[str]]:
    """To one question, and what the server was asked."""
    async with serving(script) as server, asking(server.config(**changes)) as engine:
        (answer,) = await all_answers(engine.ask(job(ONE)))
        return answer, server.questions


def after(count: int, first: bytes) -> Script:
    """So often this, then as it should be."""
    left = [first] * count

    def script(request: Request) -> bytes:
        return left.pop() if left else agreeable(request)

    return script


@pytest.mark.parametrize(
    "passing",
    [
        http(503),
        http(502),
        http(429, Retry_After="0"),
        http(503, Retry_After=format_datetime(datetime.now(UTC) - timedelta(seconds=9), usegmt=True)),
        http(503, Retry_After="soon"),
        b"",
        b"HTTP/1.1 200 x\r\nContent-Length: 500\r\nConnection: close\r\n\r\n{",
        b"HTTP/9.9 \xff\xfe\r\n\r\n",
    ],
    ids=["503", "502", "429", "date", "no date", "no answer", "cut body", "no HTTP"],
)
async def test_what_may_pass_is_tried_again(passing: bytes) -> None:
    answer, asked = await answer_of(after(2, passing))

    assert answer.status is Status.OK
    assert len(asked) == 3


@pytest.mark.parametrize("code", [400, 401, 403, 404, 413, 422, 500, 302])
async def test_what_will_not_pass_is_not_tried_again(code: int) -> None:
    answer, asked = await answer_of(after(1, http(code, Location="/v1/elsewhere")))

    assert answer.status is Status.FAILED
    assert answer.reason in {"engine_refused", "engine_unavailable", "engine_fault"}
    assert len(asked) == 1


async def test_trying_again_has_an_end() -> None:
    answer, asked = await answer_of(lambda _: http(503), failures_to_open=99, attempts=3)

    assert (answer.status, answer.reason) == (Status.FAILED, "engine_busy")
    assert len(asked) == 3


async def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    answer, asked = await answer_of(after(1, http(429, Retry_After="3600")))

    assert (answer.status, answer.reason) == (Status.FAILED, "engine_busy")
    assert len(asked) == 1


async def test_the_server_says_how_long_to_wait() -> None:
    """The pause is at least as long: the clock of the test is the loop's own."""
    at: list[float] = []

    def script(request: Request) -> bytes:
        at.append(asyncio.get_running_loop().time())
        return http(429, Retry_After="1") if len(at) == 1 else agreeable(request)

    answer, _ = await answer_of(script)

    assert answer.status is Status.OK
    assert at[1] - at[0] >= 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b'{"choices": []}',
        b'{"choices": [{"message": null}]}',
        b'{"choices": [{"message": {"content": 7}}]}',
        b"[" * 200_000,
        b'{"choices": ' + b"9" * 100_000 + b"}",
        b'{"choices": [{"message": {"content": "\\ud800"}}]}',
    ],
    ids=["empty", "null", "list", "object", "bytes", "none", "no message", "number", "deep", "digits", "surrogate"],
)
async def test_garbage_is_no_answer(body: bytes) -> None:
    answer, asked = await answer_of(after(1, http(200, body)))

    assert (answer.status, answer.reason) == (Status.FAILED, "malformed_answer")
    assert len(asked) == 1


async def test_an_endless_answer_is_cut_off() -> None:
    answer, _ = await answer_of(after(1, http(200, b" " * (client._MAX_ANSWER_BYTES + 1))))

    assert (answer.status, answer.reason) == (Status.FAILED, "malformed_answer")


CHUNKED = b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n"
#: A good answer, if it were not for the space before it.
CRUMBS = b" " * 20_000 + listed(**YES).partition(b"\r\n\r\n")[2]
HOSTILE = {
    "in crumbs": (CHUNKED + b"".join(b"1\r\n%c\r\n" % byte for byte in CRUMBS) + b"0\r\n\r\n", "malformed_answer"),
    "without end": (CHUNKED + (b"10000\r\n" + b" " * 65536 + b"\r\n") * 20, "malformed_answer"),
    "half, then silence": (b'HTTP/1.1 200 x\r\nContent-Length: 500\r\n\r\n{"choices"', "engine_timeout"),
    "of any length": (b"HTTP/1.1 200 x\r\nContent-Length: 99999999999999999999\r\n\r\n{}", "engine_timeout"),
    "of less than nothing": (b"HTTP/1.1 200 x\r\nContent-Length: -5\r\n\r\n", "engine_unavailable"),
    "of two lengths": (b"HTTP/1.1 200 x\r\nContent-Length: 2\r\nContent-Length: 9\r\n\r\n{}", "engine_unavailable"),
    "about to come": (b"HTTP/1.1 100 x\r\n\r\n" * 2000, "engine_timeout"),
    "of headers": (b"HTTP/1.1 200 x\r\n" + b"A: b\r\n" * 50_000, "engine_unavailable"),
    "of one header": (b"HTTP/1.1 200 x\r\nA: " + b"b" * 500_000, "engine_unavailable"),
    "in another protocol": (b"HTTP/1.1 101 x\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + b"x" * 100, None),
    "of no end of tokens": (listed(**{f"Yes{n}": -9.0 for n in range(5000)}), "malformed_answer"),
    "that says one thing often": (completion(logprobs={"content": [{"top_logprobs": SURE * 30}]}), "malformed_answer"),
}


@pytest.mark.parametrize(("answer", "reason"), HOSTILE.values(), ids=HOSTILE.keys())
async def test_an_answer_made_to_harm_ends_soon_and_is_none(answer: bytes, reason: str | None) -> None:
    found, asked = await answer_of(lambda _: answer, timeout_s=3.0, attempts=2)

    assert found.status in {Status.FAILED, Status.TIMEOUT}
    assert reason is None or found.reason == reason
    assert (found.log_yes, found.log_no) == (None, None)
    assert len(asked) <= 2


async def test_a_compressed_answer_is_not_unfolded() -> None:
    bomb = gzip.compress(b" " * 10_000_000)

    answer, _ = await answer_of(after(1, http(200, bomb, Content_Encoding="gzip")))

    assert (answer.status, answer.reason) == (Status.FAILED, "malformed_answer")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (completion("Yes"), "no_logprobs"),
        (completion("Yes", logprobs={"content": None}), "no_logprobs"),
        (completion("Yes", logprobs={"content": []}), "no_logprobs"),
        (
            completion("Yes", logprobs={"content": [{"token": "Yes", "logprob": -0.1, "top_logprobs": []}]}),
            "no_logprobs",
        ),
        (listed(Yes=-2.0, No=-2.5), "inconclusive_logprobs"),
        (listed(maybe=-0.1, perhaps=-2.4), "inconclusive_logprobs"),
        (listed(Yes=-0.1, No=-0.1), "malformed_answer"),
        (listed(Yes=5.0), "non_finite"),
        (listed(Yes=math.nan), "non_finite"),
    ],
)
async def test_logarithms_that_say_nothing_are_no_answer(answer: bytes, reason: str) -> None:
    found, _ = await answer_of(after(1, answer))

    assert (found.status, found.reason) == (Status.FAILED, reason)
    assert (found.log_yes, found.log_no) == (None, None)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (completion(None), "malformed_answer"),
        (completion("x" * 100_000), "malformed_answer"),
        (completion("…", finish="content_filter"), "engine_refused"),
    ],
)
async def test_text_that_is_none_is_no_answer(answer: bytes, reason: str) -> None:
    async with serving(lambda _: answer) as server, asking(server.config()) as engine:
        (found,) = await all_answers(engine.ask(job([caption()])))

    assert (found.status, found.reason, found.text) == (Status.FAILED, reason, None)


async def test_text_that_was_cut_says_so_and_holds_nothing_a_database_refuses() -> None:
    async with serving(lambda _: completion(" a\0b ", finish="length")) as server, asking(server.config()) as engine:
        (found,) = await all_answers(engine.ask(job([caption()])))

    assert (found.status, found.text, found.truncated) == (Status.OK, "a\ufffdb", True)


async def test_the_key_goes_to_the_server_and_into_no_log() -> None:
    key = "sk-0123456789abcdef"
    with capture_logs() as lines:
        async with serving(lambda _: http(401)) as server:
            config = server.config(key=SecretStr(key), failures_to_open=1)
            async with asking(config) as engine:
                await all_answers(engine.ask(job(probes()[:2])))
                assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {key}"}
    assert lines
    assert key not in str(lines)
    assert key not in repr(config)


async def test_what_the_server_says_of_a_question_is_not_logged() -> None:
    """It may repeat what people uploaded."""
    with capture_logs() as lines:
        answer, _ = await answer_of(after(1, http(400, {"error": {"message": "a caption that nobody should see"}})))
    assert answer.reason == "engine_refused"
    assert lines
    assert "nobody should see" not in str(lines)


async def test_no_proxy_of_the_environment_sees_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    answer, _ = await answer_of(agreeable)
    assert answer.status is Status.OK


async def test_cookies_are_not_kept() -> None:
    async with serving(lambda _: listed(**YES).replace(b"\r\n", b"\r\nSet-Cookie: a=b\r\n", 1)) as server:
        async with asking(server.config()) as engine:
            await all_answers(engine.ask(job(probes()[:3])))
        assert not any("cookie" in request.headers for request in server.requests)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """Of a server that nobody vouches for: the file, and the context that serves with it."""
    if shutil.which("openssl") is None:
        if os.environ.get("CI"):
            pytest.fail("openssl is missing")
        pytest.skip("openssl is missing")
    folder = tmp_path_factory.mktemp("tls")
    pem, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(pem)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    return pem, context


async def test_a_certificate_that_nobody_vouches_for_is_refused(certificate: tuple[Path, ssl.SSLContext]) -> None:
    async with serving(tls=certificate[1]) as server, asking(server.config(), ready=False) as engine:
        with pytest.raises(EngineUnavailable, match="is not trusted"):
            await engine.wait_ready(30.0)
        assert server.requests == []


async def test_a_certificate_of_the_operators_own_is_trusted(certificate: tuple[Path, ssl.SSLContext]) -> None:
    async with serving(tls=certificate[1]) as server, asking(server.config(ca_file=certificate[0])) as engine:
        assert engine.info.state is EngineState.READY
        assert (await all_answers(engine.ask(job(ONE))))[0].status is Status.OK


def test_a_file_without_certificates_is_said_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(ConfigurationError, match="holds no certificates"):
        RemoteConfig(url="https://localhost/v1", words=WORDS, ca_file=tmp_path / "ca.pem")


def test_every_error_of_the_http_library_is_translated() -> None:
    errors = [
        thing
        for name, thing in vars(httpx).items()
        if inspect.isclass(thing) and issubclass(thing, Exception) and name in httpx.__all__
    ]
    assert len(errors) > 20
    kept = {httpx.CookieConflict}  # cookies are never read by name
    for error in set(errors) - kept:
        assert issubclass(error, client.FOREIGN), f"{error.__name__} would escape"
    config = RemoteConfig(url="http://localhost/v1", words=WORDS)
    assert client._translated(httpx.ReadError("x"), config).reason is Reason.ENGINE_UNAVAILABLE
    assert client._translated(httpx.InvalidURL("x"), config).reason is Reason.MALFORMED_ANSWER


async def test_a_request_that_is_given_up_at_any_moment_leaves_no_connection() -> None:
    async with serving(everything=True) as server:
        one = Client(server.config())
        try:
            for steps in range(40):
                asked = asyncio.ensure_future(one.get("/models", timeout_s=60))
                for _ in range(steps):
                    await asyncio.sleep(0)
                asked.cancel()
                await asyncio.gather(asked, return_exceptions=True)
                await until(lambda: server.connected <= 1)
        finally:
            await one.aclose()
        await until(lambda: server.connected == 0)


@pytest.mark.parametrize("steps", range(6))
async def test_who_is_told_to_stop_twice_hangs_up_all_the_same(steps: int) -> None:
    """A timeout and the end of the job, say: the second one comes while the first one closes the connection."""

    async def never(request: Request) -> bytes:
        await asyncio.Event().wait()
        return agreeable(request)

    async with serving(never, everything=True) as server:
        one = Client(server.config())
        try:
            asked = asyncio.ensure_future(one.post("/chat/completions", b"{}", timeout_s=60))
            await until(lambda: server.under_way == 1)
            asked.cancel()
            for _ in range(steps):
                await asyncio.sleep(0)
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
            await until(lambda: server.hung_up == 1)
        finally:
            await one.aclose()
