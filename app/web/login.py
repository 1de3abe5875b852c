"""Logging in with a key, and out again."""

import re
from dataclasses import dataclass
from typing import Any

import anyio
import structlog
from litestar import Request, Response, get, post
from litestar.params import URLEncodedBody
from litestar.response import Redirect

from app.errors import AccessError
from app.http.auth import access_of, authenticate, require_same_origin
from app.web.chrome import Chrome
from app.web.given import GivenEngineInfo
from app.web.templates import render

log = structlog.get_logger(__name__)

#: Keys have 256 random bits, so this is courtesy to the log more than a defence; it holds nobody else up.
_FAILED_LOGIN_DELAY_S = 0.5

#: A path of our own: one slash, then nothing that browsers read as a second one.
_OWN_PATH = re.compile(r"/(?:[\x21-\x2e\x30-\x5b\x5d-\x7e][\x21-\x5b\x5d-\x7e]*)?")

AnyRequest = Request[Any, Any, Any]


@dataclass(frozen=True, slots=True)
class LoginForm:
    key: str = ""
    next: str = "/"


@get("/login")
async def login_page(request: AnyRequest, engine_info: GivenEngineInfo) -> Response[Any]:
    target = own_path(request.query_params.get("next", "/"))
    try:
        await authenticate(request)
    except AccessError:
        return render("login.html", Chrome(None, engine_info().demonstration), target=target, failed=False)
    return Redirect(target, status_code=303)


@post("/login", request_max_body_size=16 * 1024)
async def log_in(request: AnyRequest, data: URLEncodedBody[LoginForm], engine_info: GivenEngineInfo) -> Response[Any]:
    require_same_origin(request)
    access, target = access_of(request), own_path(data.next)
    principal = await access.keys.find(data.key.strip())
    if principal is None:
        log.warning("log-in with a key that is not known", action="login_failed")
        await anyio.sleep(_FAILED_LOGIN_DELAY_S)
        return render(
            "login.html", Chrome(None, engine_info().demonstration), status_code=401, target=target, failed=True
        )
    log.info("logged in", action="logged_in", key_id=principal.key_id)
    cookie = access.sessions.cookie(principal, secure=request.url.scheme == "https")
    return Redirect(target, status_code=303, cookies=[cookie])


@post("/logout", request_max_body_size=1024)
async def log_out(request: AnyRequest) -> Response[Any]:
    require_same_origin(request)
    cookie = access_of(request).sessions.ended(secure=request.url.scheme == "https")
    return Redirect("/login", status_code=303, cookies=[cookie])


def own_path(target: str) -> str:
    """Where to go after the log-in; never to another site."""
    return target if _OWN_PATH.fullmatch(target) else "/"
