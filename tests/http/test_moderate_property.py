"""Whatever JSON comes, it is answered with a decision or a 4xx problem, never with a fault."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.http.rig import Rig
from tests.http.test_moderate import ENCODED

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
images = st.fixed_dictionaries(
    {}, optional={"base64": st.sampled_from([ENCODED, "", "====", "AAAA"]) | values, "url": values, "x": values}
)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "image": images | values,
        "caption": values,
        "surface": st.sampled_from(["chat", "a b"]) | values,
        "user_id": values,
        "external_id": values,
        "metadata": st.dictionaries(st.text(max_size=8), values, max_size=4) | values,
        "unknown": values,
    },
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=bodies | values)
async def test_no_json_is_a_fault(rig: Rig, body: Any) -> None:
    content = json.dumps(body).encode("utf-8", "surrogatepass")
    async with rig.client("moderate") as client:
        answer = await client.post("/v1/moderate", content=content, headers={"content-type": "application/json"})
    assert answer.status_code in {200, 400, 413, 415, 422}, answer.text
    assert_problem_or_decision(answer)


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=b"])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=200)
    | st.binary(max_size=60).map(
        lambda raw: b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + raw + b"\r\n--b--\r\n"
    )
)
async def test_no_bytes_are_a_fault(rig: Rig, kind: str, content: bytes) -> None:
    async with rig.client("moderate") as client:
        answer = await client.post("/v1/moderate", content=content, headers={"content-type": kind})
    assert 400 <= answer.status_code < 500, answer.text
    assert_problem_or_decision(answer)


def assert_problem_or_decision(answer: httpx.Response) -> None:
    body = answer.json()
    if answer.status_code == 200:
        assert body["outcome"] in {"pass", "review", "reject"}
    else:
        assert answer.headers["content-type"] == "application/problem+json"
        assert body["code"]
