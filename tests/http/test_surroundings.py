"""What every answer carries, and what the log says of it."""

import pytest
from structlog.testing import capture_logs

from tests.http.rig import Rig, picture

PATHS = [
    "/",
    "/login",
    "/healthz",
    "/metrics",
    "/v1/status",
    "/v1/nothing",
    "/review",
    "/static/portcullis.css",
    "/nope",
]


@pytest.mark.parametrize("path", PATHS)
async def test_every_answer_has_the_security_headers(rig: Rig, path: str) -> None:
    async with rig.client() as client:
        headers = (await client.get(path)).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["x-request-id"]
    assert headers["cache-control"] == ("max-age=31536000, public, immutable" if "static" in path else "no-store")


@pytest.mark.parametrize("given", ["abc-123", "A.b_c", "x" * 128])
async def test_a_sane_request_id_is_kept(rig: Rig, given: str) -> None:
    async with rig.client() as client:
        assert (await client.get("/healthz", headers={"x-request-id": given})).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a;b", "<script>"])
async def test_another_is_replaced(rig: Rig, given: str) -> None:
    async with rig.client() as client:
        made = (await client.get("/healthz", headers={"x-request-id": given})).headers["x-request-id"]
    assert made != given
    assert len(made) == 32


async def test_the_log_tells_of_the_request_and_not_of_the_upload(rig: Rig) -> None:
    rig.reader.says("forged documents with a telltale")
    async with rig.client("moderate") as client:
        with capture_logs() as lines:
            fields = {"caption": "telltale caption", "user_id": "telltale-user"}
            answer = await client.post("/v1/moderate", files={"file": ("telltale.png", picture())}, data=fields)
    assert answer.status_code == 200
    assert "telltale" not in str(lines)
    assert rig.keys.tokens["moderate"] not in str(lines)
    line = next(line for line in lines if line["action"] == "request")
    assert (line["method"], line["route"], line["status"]) == ("POST", "/v1/moderate", 200)
    assert line["duration_ms"] > 0


async def test_an_unmatched_path_is_not_logged(rig: Rig) -> None:
    async with rig.client() as client:
        with capture_logs() as lines:
            await client.get("/wp-admin/secret-in-the-path")
    assert [line["route"] for line in lines if line["action"] == "request"] == ["unmatched"]
    assert "secret-in-the-path" not in str(lines)


async def test_the_schema_names_both_bodies_and_needs_nothing_from_elsewhere(rig: Rig) -> None:
    async with rig.client(None) as client:
        schema = (await client.get("/schema/openapi.json")).json()
        assert (await client.get("/schema/swagger")).status_code == 404
    moderate = schema["paths"]["/v1/moderate"]["post"]
    assert set(moderate["requestBody"]["content"]) == {"multipart/form-data", "application/json"}
    assert {"400", "401", "403", "409", "413", "415", "422", "429", "503", "200"} <= set(moderate["responses"])
    assert "application/problem+json" in moderate["responses"]["429"]["content"]
    assert [one["name"] for one in moderate["parameters"]] == ["wait", "Accept-Language"]
    assert {"/v1/decisions", "/v1/reviews/claim", "/v1/policy", "/v1/audit/verify", "/readyz"} <= set(schema["paths"])
    assert not [path for path in schema["paths"] if path in {"/", "/login", "/review"}]
    assert schema["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


async def test_the_schema_at_its_root_is_the_document(rig: Rig) -> None:
    async with rig.client(None) as client:
        answer = await client.get("/schema")
    assert "script" not in answer.text.lower() or answer.headers["content-type"].startswith("application")
