"""One request to the server, and every way it can go wrong as a RemoteFault."""

import asyncio
import json
import ssl
import time
from collections import deque
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http.cookiejar import DefaultCookiePolicy

import httpx

from app.domain import Status
from app.engine.base import Reason
from app.engine.remote.config import RemoteConfig
from app.engine.remote.faults import RemoteFault

#: A completion of ours with its logarithms takes a tenth of it.
_MAX_ANSWER_BYTES = 1 << 20
#: Each takes the event loop that everybody shares a few microseconds: a million of one byte would take seconds.
_MAX_PIECES = 8192
_MAX_SAID_CHARACTERS = 300
#: Below the 5 s after which most servers close a connection that is idle: a request must not cross that on its way.
_IDLE_S = 2.0
_BUSY = {408, 429, 502, 503}
_UNAUTHORISED = {401, 403}
#: Everything that httpx raises of its own, cookies apart.
FOREIGN = (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL)


class Client:
    """Follows no redirect, takes no proxy from the environment, keeps no cookie. Made within the event loop.

    Each connection has an HTTP client of its own, which is closed with all it holds when a request does not end well.
    In a pool, one that is given up at the wrong moment would stay open and keep its place for good.
    """

    def __init__(self, config: RemoteConfig) -> None:
        self._config = config
        self._trust = config.trust() or _public_trust()
        #: The last used at the end, each with when that was.
        self._idle: deque[tuple[float, httpx.AsyncClient]] = deque()
        self._closing: set[asyncio.Task[None]] = set()

    async def get(self, path: str, *, timeout_s: float) -> bytes:
        """See `post`."""
        return await self._request("GET", path, None, timeout_s)

    async def post(self, path: str, body: bytes, *, timeout_s: float) -> bytes:
        """The body of a 200. Raises RemoteFault, and TimeoutError when that was not there in time."""
        return await self._request("POST", path, body, timeout_s)

    async def aclose(self) -> None:
        while self._idle:
            self._close(self._idle.popleft()[1])
        while self._closing:
            await asyncio.gather(*self._closing, return_exceptions=True)

    async def _request(self, method: str, path: str, body: bytes | None, timeout_s: float) -> bytes:
        http = self._taken()
        try:
            async with asyncio.timeout(timeout_s):
                async with http.stream(method, f"{self._config.url}{path}", content=body) as response:
                    data = await _read(response)
        except FOREIGN as error:
            self._close(http)
            raise _translated(error, self._config) from error
        except BaseException:
            self._close(http)
            raise
        self._idle.append((time.monotonic(), http))
        if response.status_code != httpx.codes.OK:
            raise _refusal(response, data)
        return data

    def _taken(self) -> httpx.AsyncClient:
        oldest = time.monotonic() - _IDLE_S
        while self._idle and self._idle[0][0] < oldest:
            self._close(self._idle.popleft()[1])
        return self._idle.pop()[1] if self._idle else self._made()

    def _made(self) -> httpx.AsyncClient:
        config = self._config
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "Content-Type": "application/json"}
        if config.key is not None:
            headers["Authorization"] = f"Bearer {config.key.get_secret_value()}"
        http = httpx.AsyncClient(
            headers=headers,
            verify=self._trust,
            follow_redirects=False,
            trust_env=False,
            # The whole of a request has one bound, set where it is made.
            timeout=httpx.Timeout(None, connect=config.connect_timeout_s),
            limits=httpx.Limits(max_connections=1, keepalive_expiry=_IDLE_S),
        )
        http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        return http

    def _close(self, http: httpx.AsyncClient) -> None:
        """Beside whoever let go of it, who may be told to stop meanwhile."""
        closing = asyncio.create_task(http.aclose())
        self._closing.add(closing)
        closing.add_done_callback(self._closed)

    def _closed(self, closing: asyncio.Task[None]) -> None:
        self._closing.discard(closing)
        if not closing.cancelled():
            closing.exception()  # of a connection that is gone anyway


@lru_cache(maxsize=1)
def _public_trust() -> ssl.SSLContext:
    """The web's authorities, which take a tenth of a second to read."""
    return httpx.create_ssl_context(trust_env=False)


async def _read(response: httpx.Response) -> bytes:
    """Raw: a compressed body, which nobody asked for, could unfold to any size."""
    if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise RemoteFault(Reason.MALFORMED_ANSWER, "the server's answer is compressed, unasked", harm=True)
    data, pieces = bytearray(), 0
    async for chunk in response.aiter_raw():
        data += chunk
        pieces += 1
        if len(data) > _MAX_ANSWER_BYTES or pieces > _MAX_PIECES:
            raise RemoteFault(Reason.MALFORMED_ANSWER, "the server's answer is too large", harm=True)
    return bytes(data)


def _translated(error: Exception, config: RemoteConfig) -> RemoteFault:
    unavailable = Reason.ENGINE_UNAVAILABLE
    if _has_cause(error, ssl.SSLCertVerificationError):
        return RemoteFault(unavailable, f"the certificate of {config.url} is not trusted", harm=True)
    if isinstance(error, httpx.ConnectTimeout | httpx.ConnectError):
        return RemoteFault(unavailable, f"{config.url} cannot be reached", again=True, harm=True)
    if isinstance(error, httpx.TransportError):
        return RemoteFault(unavailable, f"the connection to {config.url} broke", again=True, harm=True)
    return RemoteFault(Reason.MALFORMED_ANSWER, f"{config.url} does not speak HTTP as it should", harm=True)


def _has_cause(error: BaseException | None, kind: type[BaseException]) -> bool:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, kind):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def _refusal(response: httpx.Response, data: bytes) -> RemoteFault:
    code = response.status_code
    if code in _BUSY:
        return RemoteFault(
            Reason.ENGINE_BUSY,
            f"the server answers {code}",
            again=True,
            # 429 is a server that lives and says so.
            harm=code != httpx.codes.TOO_MANY_REQUESTS,
            retry_after_s=_retry_after_s(response.headers.get("Retry-After")),
        )
    if code in _UNAUTHORISED:
        detail = f"the server refuses the key ({code}): see PORTCULLIS_ENGINE_KEY"
        return RemoteFault(Reason.ENGINE_UNAVAILABLE, detail, harm=True)
    if code == httpx.codes.NOT_FOUND:
        return RemoteFault(Reason.ENGINE_UNAVAILABLE, "the server has no such path or model (404)", harm=True)
    if httpx.codes.is_client_error(code):
        return Refused(Reason.ENGINE_REFUSED, f"the server refuses the request ({code})", said=_said(data))
    if httpx.codes.is_server_error(code):
        return RemoteFault(Reason.ENGINE_FAULT, f"the server fails ({code})", harm=True)
    detail = f"the server answers {code}, and redirects are not followed"
    return RemoteFault(Reason.ENGINE_UNAVAILABLE, detail, harm=True)


class Refused(RemoteFault):
    """`said` is the server's own message, bounded and printable. It may repeat the question: for requests of ours
    alone, never for a log of what people uploaded."""

    def __init__(self, reason: Reason, detail: str, *, said: str) -> None:
        super().__init__(reason, detail, status=Status.FAILED)
        self.said = said


def _said(data: bytes) -> str:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return ""
    for key in ("error", "message", "detail", "msg"):
        body = body.get(key, body) if isinstance(body, dict) else body
        # FastAPI lists what it does not like.
        body = body[0] if isinstance(body, list) and body else body
    text = body if isinstance(body, str) else ""
    return "".join(char if char.isprintable() else " " for char in text[:_MAX_SAID_CHARACTERS])


def _retry_after_s(value: str | None) -> float | None:
    """Seconds from now, from either form of the header; None for neither."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
