"""Who may do what, and that a forged page may do nothing."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from app.http.auth import SESSION_COOKIE, Principal, Sessions, require_scope
from tests.http.rig import Rig, picture

#: Endpoint -> the scopes that reach it.
NEEDS: dict[tuple[str, str], set[str]] = {
    ("POST", "/v1/moderate"): {"moderate"},
    ("GET", "/v1/decisions"): {"moderate", "review", "audit"},
    ("GET", "/v1/decisions/dec_x"): {"moderate", "review", "audit"},
    ("GET", "/v1/decisions/dec_x/image"): {"moderate", "review", "audit"},
    ("GET", "/v1/reviews"): {"review"},
    ("GET", "/v1/reviews/case_x"): {"review"},
    ("POST", "/v1/reviews/claim"): {"review"},
    ("POST", "/v1/reviews/case_x/renew"): {"review"},
    ("POST", "/v1/reviews/case_x/release"): {"review"},
    ("POST", "/v1/reviews/case_x/verdict"): {"review"},
    ("GET", "/v1/policy"): {"policy"},
    ("PUT", "/v1/policy"): {"policy"},
    ("POST", "/v1/policy/check"): {"policy"},
    ("POST", "/v1/policy/backtest"): {"policy"},
    ("GET", "/v1/policy/versions"): {"policy"},
    ("GET", "/v1/policy/versions/sha256:x"): {"policy"},
    ("POST", "/v1/policy/versions/sha256:x/activate"): {"policy"},
    ("PUT", "/v1/policy/shadow"): {"policy"},
    ("GET", "/v1/policy/shadow"): {"policy"},
    ("DELETE", "/v1/policy/shadow"): {"policy"},
    ("GET", "/v1/policy/shadow/report"): {"policy"},
    ("POST", "/v1/policy/shadow/promote"): {"policy"},
    ("GET", "/v1/audit"): {"audit"},
    ("GET", "/v1/audit/verify"): {"audit"},
    ("GET", "/v1/status"): {"moderate", "review", "policy", "audit"},
    ("GET", "/"): {"moderate"},
    ("POST", "/"): {"moderate"},
    ("GET", "/decisions/dec_x"): {"moderate", "review", "audit"},
    ("GET", "/policy"): {"policy"},
    ("GET", "/policy/versions/sha256:x"): {"policy"},
    ("POST", "/policy/versions/sha256:x/activate"): {"policy"},
    ("GET", "/policy/backtests"): {"policy"},
    ("POST", "/policy/backtests"): {"policy"},
    ("GET", "/policy/backtests/backtest_0"): {"policy"},
    ("GET", "/policy/backtests/backtest_0/progress"): {"policy"},
    ("POST", "/policy/backtests/backtest_0/cancel"): {"policy"},
    ("POST", "/policy/backtests/backtest_0/again"): {"policy"},
    ("POST", "/policy/backtests/backtest_0/activate"): {"policy"},
    ("POST", "/policy/backtests/backtest_0/shadow"): {"policy"},
    ("POST", "/policy/shadow/promote"): {"policy"},
    ("POST", "/policy/shadow/remove"): {"policy"},
    ("GET", "/review"): {"review"},
    ("GET", "/review/case_x"): {"review"},
    ("POST", "/review/claim"): {"review"},
    ("POST", "/review/case_x/renew"): {"review"},
    ("POST", "/review/case_x/release"): {"review"},
    ("POST", "/review/case_x/verdict"): {"review"},
}

OPEN = {
    "/healthz",
    "/readyz",
    "/metrics",
    "/login",
    "/logout",
    "/schema",
    "/schema/openapi.json",
    "/schema/{path:str}",
    "/static/{file_path:path}",
}


async def send(rig: Rig, method: str, path: str, key: str | None) -> httpx.Response:
    async with rig.client(key) as client:
        return await client.request(method, path)


@pytest.mark.parametrize(("method", "path"), NEEDS)
async def test_a_scope_reaches_what_it_should_and_nothing_else(rig: Rig, method: str, path: str) -> None:
    needed = NEEDS[method, path]
    for scope in ("moderate", "review", "policy", "audit", "admin"):
        answer = await send(rig, method, path, scope)
        refused = answer.status_code == 403
        assert refused == (scope not in needed | {"admin"}), (scope, answer.status_code)
    assert (await send(rig, method, path, None)).status_code == 401


def _example(path: str) -> str:
    for name, value in {
        "decision_id": "dec_x",
        "case_id": "case_x",
        "digest": "sha256:x",
        "run_id": "backtest_0",
    }.items():
        path = path.replace(f"{{{name}:str}}", value)
    return path


async def test_every_route_is_in_this_table_or_open(rig: Rig) -> None:
    routes = {
        (method, _example(route.path))
        for route in rig.app.routes
        for method in getattr(route, "methods", ["GET"])
        if method not in {"OPTIONS", "HEAD"} and route.path not in OPEN
    }
    assert routes == set(NEEDS)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic abc", "Bearer nonsense", "Bearer \xff", "x"])
async def test_a_bad_header_is_a_401(rig: Rig, header: str) -> None:
    async with rig.client(None) as client:
        answer = await client.get("/v1/status", headers={"authorization": header.encode("latin-1")})  # type: ignore[dict-item]
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_bad_header_is_not_saved_by_a_good_session(rig: Rig) -> None:
    async with rig.client(None) as client:
        await log_in(rig, client)
        answer = await client.get("/v1/status", headers={"authorization": "Bearer wrong"})
    assert answer.status_code == 401


SAME = {"sec-fetch-site": "same-origin"}


async def log_in(rig: Rig, client: httpx.AsyncClient, key: str = "admin", **fields: str) -> httpx.Response:
    return await client.post("/login", data={"key": rig.keys.tokens[key], **fields}, headers=SAME)


async def test_a_session_is_the_key_without_the_key(rig: Rig) -> None:
    async with rig.client(None) as client:
        answer = await log_in(rig, client)
        cookie = answer.headers["set-cookie"]
        assert answer.status_code == 303
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "Max-Age=43200" in cookie
        assert rig.keys.tokens["admin"] not in cookie
        assert (await client.get("/v1/status")).status_code == 200


async def test_a_session_over_tls_stays_on_tls(rig: Rig) -> None:
    async with rig.client(None) as client:
        client.base_url = "https://portcullis.test"
        assert "Secure" in (await log_in(rig, client)).headers["set-cookie"]


async def test_a_session_ends_with_its_key(rig: Rig) -> None:
    async with rig.client(None) as client:
        await log_in(rig, client, "review")
        assert (await client.get("/v1/reviews")).status_code == 200
        rig.keys.withdraw("review")
        assert (await client.get("/v1/reviews")).status_code == 401


async def test_logging_out_forgets_the_session(rig: Rig) -> None:
    async with rig.client(None) as client:
        await log_in(rig, client)
        await client.post("/logout", headers=SAME)
        assert (await client.get("/v1/status")).status_code == 401


@pytest.mark.parametrize("value", ["", "x", "key-admin", "ImtleS1hZG1pbiI.aaaa.bbbb"])
async def test_a_forged_session_is_nobody(rig: Rig, value: str) -> None:
    async with rig.client(None, cookie=f"{SESSION_COOKIE}={value}") as client:
        assert (await client.get("/v1/status")).status_code == 401


def test_a_session_of_another_secret_or_an_old_one_is_nobody() -> None:
    principal = Principal("key-1", "one", frozenset())
    sessions = Sessions(b"a" * 32)
    value = sessions.cookie(principal, secure=False).value
    assert value is not None
    assert sessions.key_id(value) == "key-1"
    assert Sessions(b"b" * 32).key_id(value) is None
    assert Sessions(b"a" * 32, age=timedelta(seconds=-1)).key_id(value) is None


FORGED: list[dict[str, str]] = [
    {},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "none"},
    {"sec-fetch-site": "cross-site", "origin": "http://portcullis.test"},
    {"origin": "null"},
    {"origin": "http://evil.test"},
    {"origin": "http://portcullis.test.evil.test"},
    {"origin": "http://portcullis.test:81"},
    {"origin": "http://portcullis.test@evil.test"},
]


@pytest.mark.parametrize("headers", FORGED)
@pytest.mark.parametrize("path", ["/v1/reviews/claim", "/v1/moderate", "/review/claim", "/"])
async def test_a_forged_page_cannot_use_the_session(rig: Rig, headers: dict[str, str], path: str) -> None:
    async with rig.client(None) as client:
        await log_in(rig, client)
        request: dict[str, Any] = {"json": {}} if path.startswith("/v1/reviews") else {"files": {"file": picture()}}
        answer = await client.post(path, headers=headers, **request)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize("headers", FORGED)
@pytest.mark.parametrize("path", ["/login", "/logout"])
async def test_a_forged_page_can_neither_log_in_nor_out(rig: Rig, headers: dict[str, str], path: str) -> None:
    async with rig.client(None) as client:
        answer = await client.post(path, data={"key": rig.keys.tokens["admin"]}, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("headers", [SAME, {"origin": "http://portcullis.test"}, {"origin": "https://PORTCULLIS.test"}])
async def test_our_own_page_can(rig: Rig, headers: dict[str, str]) -> None:
    async with rig.client(None) as client:
        await log_in(rig, client)
        answer = await client.post("/v1/reviews/claim", json={}, headers=headers)
    assert answer.status_code == 200


async def test_programs_with_a_key_need_no_origin(rig: Rig) -> None:
    async with rig.client("review", origin="http://elsewhere.test") as client:
        assert (await client.post("/v1/reviews/claim", json={})).status_code == 200


def test_a_guard_for_a_scope_that_does_not_exist_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no such scope"):
        require_scope("reviews")
