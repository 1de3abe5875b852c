"""Requests that no honest client sends get an answer that says what is wrong with them."""

import pytest

from tests.http.rig import Rig, picture


@pytest.mark.parametrize("name", ["%00", "a%00.css", "%ff", "a" * 5000, "..%2fconsole.py", "%2e%2e/templates.py", ""])
async def test_names_that_no_file_can_have_are_not_found(rig: Rig, name: str) -> None:
    async with rig.client() as client:
        answer = await client.get(f"/static/{name}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["/v1/reviews/claim", "/v1/reviews/case_x/verdict"])
async def test_a_missing_body_is_called_that(rig: Rig, path: str) -> None:
    async with rig.client("admin") as client:
        answer = await client.post(path, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")
    assert answer.json()["detail"] == "the body is missing"


async def test_two_idempotency_keys_are_refused(rig: Rig) -> None:
    async with rig.client("admin") as client:
        headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
        answer = await client.post("/v1/moderate", files={"file": picture()}, headers=headers)
    assert (answer.status_code, answer.json()["field"]) == (400, "Idempotency-Key")
    assert answer.json()["detail"] == "Idempotency-Key: sent twice"
