"""What surrounds every request, also those that no handler answers: its id, its log line, its headers."""

import re
from collections.abc import Callable
from time import perf_counter
from uuid import uuid4

import structlog
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from app.domain import EngineInfo
from app.metrics import HTTP_REQUESTS, HTTP_SECONDS

log = structlog.get_logger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

#: Pages run no inline script or style and load nothing from elsewhere; `blob:` is a revealed picture.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

#: Set unless the answer brought its own. `same-origin` and not `no-referrer`: with the latter, browsers send
#: `Origin: null` with our own forms, and the check against forged requests would refuse them.
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


class Surroundings:
    """Wraps the whole application: request id, access log, request metrics, security headers, the demo mark."""

    def __init__(self, app: ASGIApp, engine_info: Callable[[], EngineInfo]) -> None:
        self._app = app
        self._engine_info = engine_info

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        status = 500
        start_s = perf_counter()

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._mark(MutableScopeHeaders.from_message(message), request_id)
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_marked)
            finally:
                _record(scope, status, perf_counter() - start_s)

    def _mark(self, headers: MutableScopeHeaders, request_id: str) -> None:
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
        headers["X-Request-ID"] = request_id
        if self._engine_info().demonstration:
            headers["Portcullis-Demo"] = "true"


def _request_id(scope: Scope) -> str:
    """The caller's, if it is fit for a log line; else a new one."""
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"").decode("latin-1")
    return given if _REQUEST_ID.fullmatch(given) else uuid4().hex


def _record(scope: Scope, status: int, seconds: float) -> None:
    route = scope.get("path_template") or "unmatched"
    method = str(scope.get("method"))
    method = method if method in _METHODS else "other"
    HTTP_REQUESTS.labels(method, route, str(status)).inc()
    HTTP_SECONDS.labels(route).observe(seconds)
    log.info(
        "request", action="request", method=method, route=route, status=status, duration_ms=round(seconds * 1000, 1)
    )
