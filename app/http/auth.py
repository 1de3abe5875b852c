"""Who asks: API keys, console sessions, scopes, and the guards that handlers name.

A request is recognised by `Authorization: Bearer <key>`, or by the console's session cookie. A cookie is sent by the
browser whatever page made the request, so with a cookie every unsafe method must come from our own origin.
"""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any, Protocol
from urllib.parse import urlsplit

from itsdangerous import BadSignature, URLSafeTimedSerializer
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie
from litestar.handlers.base import BaseRouteHandler

from app.errors import Forbidden, Unauthenticated

SESSION_COOKIE = "portcullis_session"

#: A working day: a reviewer logs in once a shift.
SESSION_AGE = timedelta(hours=12)

SCOPES = frozenset({"moderate", "review", "policy", "audit", "admin"})

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

Connection = ASGIConnection[Any, Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. `key_id` names the key in decisions and the audit log; it is not the key."""

    key_id: str
    name: str
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """`admin` may do everything."""
        return scope in self.scopes or "admin" in self.scopes

    @property
    def sees_all_decisions(self) -> bool:
        return any(self.may(scope) for scope in ("review", "audit"))

    @property
    def decisions_of(self) -> str | None:
        """The key whose decisions this one may see; None for everybody's."""
        return None if self.sees_all_decisions else self.key_id


class KeyRing(Protocol):
    """The keys that are valid now."""

    async def find(self, token: str) -> Principal | None:
        """Whose key this is; the time it takes says nothing about how much of the token was right."""
        ...

    async def get(self, key_id: str) -> Principal | None:
        """The key by its id, so that a session ends when its key is withdrawn."""
        ...


class Sessions:
    """Signed cookies that name a key id. Nothing is stored: withdrawing the key, or changing the secret, ends them."""

    def __init__(self, secret: bytes, *, age: timedelta = SESSION_AGE) -> None:
        self._serializer = URLSafeTimedSerializer(
            secret, salt="portcullis console session", signer_kwargs={"digest_method": sha256}
        )
        self._age_s = int(age.total_seconds())

    def cookie(self, principal: Principal, *, secure: bool) -> Cookie:
        return self._cookie(str(self._serializer.dumps(principal.key_id)), self._age_s, secure=secure)

    def ended(self, *, secure: bool) -> Cookie:
        """The cookie that makes the browser forget its session."""
        return self._cookie("", 0, secure=secure)

    def key_id(self, value: str) -> str | None:
        """Whose session it is, or None when it is forged or too old."""
        try:
            key_id = self._serializer.loads(value, max_age=self._age_s)
        except BadSignature:
            return None
        return key_id if isinstance(key_id, str) else None

    @staticmethod
    def _cookie(value: str, max_age_s: int, *, secure: bool) -> Cookie:
        return Cookie(
            key=SESSION_COOKIE,
            value=value,
            max_age=max_age_s,
            path="/",
            httponly=True,
            secure=secure,
            samesite="strict",
        )


@dataclass(frozen=True, slots=True)
class Access:
    """What it takes to recognise somebody."""

    keys: KeyRing
    sessions: Sessions


Guard = Callable[[Connection, BaseRouteHandler], Awaitable[None]]


def access_of(connection: Connection) -> Access:
    access = connection.app.state["access"]
    assert isinstance(access, Access)  # noqa: S101 - create_app put it there
    return access


async def authenticate(connection: Connection) -> Principal:
    """Recognise who asks, once a request. Raises Unauthenticated, and Forbidden for a cookie from a foreign page."""
    known = connection.scope.get("user")
    if isinstance(known, Principal):
        return known
    header = connection.headers.get("authorization")
    principal = await (_by_session(connection) if header is None else _by_key(connection, header))
    connection.scope["user"] = principal
    return principal


async def _by_key(connection: Connection, header: str) -> Principal:
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("the Authorization header must read `Bearer <key>`")
    principal = await access_of(connection).keys.find(token.strip())
    if principal is None:
        raise Unauthenticated("this key is not known")
    return principal


async def _by_session(connection: Connection) -> Principal:
    value = connection.cookies.get(SESSION_COOKIE)
    if not value:
        raise Unauthenticated("a key is needed: send `Authorization: Bearer <key>`")
    access = access_of(connection)
    key_id = access.sessions.key_id(value)
    principal = None if key_id is None else await access.keys.get(key_id)
    if principal is None:
        raise Unauthenticated("the session has ended; log in again")
    if connection.scope.get("method") not in _SAFE_METHODS:
        require_same_origin(connection)
    return principal


def require_same_origin(connection: Connection) -> None:
    """Raises Forbidden unless the browser says that one of our own pages sent this.

    `Sec-Fetch-Site` is what the browser itself says, but it is only sent over TLS and to loopback; elsewhere `Origin`
    must name the host that was asked. Without either nothing is known, and nothing is allowed.
    """
    site = connection.headers.get("sec-fetch-site")
    if site is not None:
        allowed = site == "same-origin"
    else:
        origin = urlsplit(connection.headers.get("origin", ""))
        host = connection.headers.get("host", "")
        allowed = bool(host) and hmac.compare_digest(origin.netloc.lower().encode(), host.lower().encode())
    if not allowed:
        raise Forbidden("this request did not come from the console's own pages")


def require_scope(scope: str) -> Guard:
    """A guard that lets pass whoever has the scope. Raises Unauthenticated or Forbidden."""
    if scope not in SCOPES:
        raise ValueError(f"no such scope: {scope}")

    async def guard(connection: Connection, _: BaseRouteHandler) -> None:
        principal = await authenticate(connection)
        if not principal.may(scope):
            raise Forbidden(f"this needs a key with the scope `{scope}`")

    return guard


async def require_key(connection: Connection, _: BaseRouteHandler) -> None:
    """A guard that lets pass every known key, whatever its scopes."""
    await authenticate(connection)


async def require_reader(connection: Connection, _: BaseRouteHandler) -> None:
    """A guard for decisions: keys that make them (and then see only their own), and those that see everybody's."""
    principal = await authenticate(connection)
    if not (principal.may("moderate") or principal.sees_all_decisions):
        raise Forbidden("this needs a key with the scope `moderate`, `review` or `audit`")
