"""`POST /v1/moderate`: both bodies end in the same decision, and every wrong body gets its name."""

import asyncio
import json
import random
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.domain import EngineState
from app.http.uploads import _decoded
from tests.http.rig import UPLOAD_BYTES, Rig, picture

PNG = picture()
ENCODED = b64encode(PNG).decode()


def as_json(**changes: Any) -> dict[str, Any]:
    return {"image": {"base64": ENCODED}, **changes}


def as_parts(**fields: str) -> dict[str, Any]:
    return {"files": {"file": ("a.png", PNG, "image/png")}, "data": fields}


async def post(rig: Rig, **request: Any) -> httpx.Response:
    async with rig.client("moderate") as client:
        return await client.post("/v1/moderate", **request)


def refused(answer: httpx.Response, status: int, code: str, field: str | None = None) -> None:
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code), body
    assert body.get("field") == field, body


async def test_both_bodies_give_the_same_decision(rig: Rig) -> None:
    rig.reader.says("we sell forged documents")
    fields = {"caption": "办假证 here", "surface": "chat", "user_id": "u1", "external_id": "e1"}
    parts = (await post(rig, **as_parts(**fields, metadata='{"a": [1]}'))).json()
    body = (await post(rig, json=as_json(**fields, metadata={"a": [1]}))).json()
    assert parts["outcome"] == body["outcome"] == "reject"
    same = ("violations", "scores", "findings", "rules", "pins", "image")
    assert {name: parts[name] for name in same} == {name: body[name] for name in same}
    match = parts["findings"]["keywords"]["matches"][0]
    assert (match["list"], match["term"], match["line"]) == ("contraband", "forged documents", 0)
    records = [await rig.decisions.find_record(one["id"]) for one in (parts, body)]
    assert records[0].context == records[1].context
    assert records[0].context.metadata == {"a": [1]}


async def test_the_answer_is_the_decision_that_is_stored(rig: Rig) -> None:
    answer = await post(rig, json=as_json())
    stored = await rig.decisions.find(answer.json()["id"], key_id="key-moderate")
    assert answer.json() == stored.model_dump(mode="json")


@pytest.mark.parametrize("size", [0, 1, 2, 3, 786_431, 786_432, 786_433, 1_572_864, 1_572_865, 2_000_000])
def test_base64_in_slices_is_base64(size: int) -> None:
    data = random.Random(size).randbytes(size)  # noqa: S311 - not a secret
    assert _decoded(b64encode(data).decode()) == data


@pytest.mark.parametrize("text", ["A", "AA", "AAA", "AA==AAAA", "A===", "AAAA=", "====", "AAA\n", "AA-_", "é", "=" * 8])
def test_base64_is_strict(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whichever of several it is
        _decoded(text)


def test_padding_inside_is_not_hidden_by_the_slices() -> None:
    with pytest.raises(ValueError, match="padding"):
        _decoded("A" * (2**20 - 2) + "==" + "AAAA")


async def test_blank_form_fields_are_absent(rig: Rig) -> None:
    answer = await post(rig, **as_parts(caption="", surface=" ", metadata=""))
    context = (await rig.decisions.find_record(answer.json()["id"])).context
    assert (context.caption, context.surface, context.metadata) == (None, None, {})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"image": {"url": "https://example.org/a.png"}}, "image.url"),
        ({"image": {}}, "image.base64"),
        ({"image": {"base64": "not base64!"}}, "image.base64"),
        ({"image": {"base64": "data:image/png;base64," + ENCODED}}, "image.base64"),
        ({"image": {"base64": ENCODED, "file": "x"}}, "image.file"),
        ({"image": "x"}, "image"),
        ({"image": None}, "image"),
        ({"picture": "x"}, "picture"),
        ({"caption": 5}, "caption"),
        ({"caption": "x" * 10_001}, "caption"),
        ({"caption": "a\x00b"}, "caption"),
        ({"surface": "a b"}, "surface"),
        ({"surface": "x" * 65}, "surface"),
        ({"user_id": "x" * 201}, "user_id"),
        ({"external_id": "a\nb"}, "external_id"),
        ({"metadata": []}, "metadata"),
        ({"metadata": "{}"}, "metadata"),
        ({"metadata": {"a": "x" * 17_000}}, "metadata"),
        ({"metadata": {"a": 2**53}}, "metadata"),
        ({"metadata": {"a": {"b\x00": 1}}}, "metadata"),
        ({"metadata": {"a": [[[[[[[[1]]]]]]]]}}, "metadata"),
    ],
)
async def test_a_wrong_json_field_is_named(rig: Rig, changes: dict[str, Any], field: str) -> None:
    refused(await post(rig, json=as_json(**changes)), 400, "malformed_request", field)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"image": {"base64": ""}, "metadata": ' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}",
        b'{"image": {"base64": ""}, "metadata": {"a": NaN}}',
        b'{"image": {"base64": ""}, "metadata": {"a": ' + b"9" * 5000 + b"}}",
        b'{"image": {"base64": ""}, "caption": "\\ud800"}',
    ],
)
async def test_malformed_json_is_a_400(rig: Rig, body: bytes) -> None:
    answer = await post(rig, content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request"), answer.text


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"files": {"caption": (None, b"x")}}, "file"),
        ({"files": [("file", ("a", PNG)), ("file", ("b", PNG))]}, "file"),
        ({"files": {"file": PNG, "picture": PNG}}, "picture"),
        ({"files": {"file": PNG}, "data": {"colour": "red"}}, "colour"),
        ({"files": {"file": PNG}, "data": {"metadata": "[1]"}}, "metadata"),
        ({"files": {"file": PNG}, "data": {"metadata": "{"}}, "metadata"),
        ({"files": {"file": PNG}, "data": {"caption": "x" * 10_001}}, "caption"),
        ({"files": {"file": PNG}, "data": {"caption": "x" * 70_000}}, "caption"),
        ({"files": {"file": PNG, "caption": (None, b"\xff\xff")}}, "caption"),
    ],
)
async def test_a_wrong_part_is_named(rig: Rig, request_: dict[str, Any], field: str) -> None:
    refused(await post(rig, **request_), 400, "malformed_request", field)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"--b",
        b"--b\r\n",
        b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nhalf',
        b"--b--\r\n",
        b"nonsense",
    ],
)
async def test_a_broken_multipart_body_is_a_400(rig: Rig, content: bytes) -> None:
    answer = await post(rig, content=content, headers={"content-type": "multipart/form-data; boundary=b"})
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")


async def test_a_multipart_body_without_boundary_is_a_400(rig: Rig) -> None:
    refused(await post(rig, content=b"x", headers={"content-type": "multipart/form-data"}), 400, "malformed_request")


async def test_a_part_in_an_unknown_charset_is_read_as_utf_8(rig: Rig) -> None:
    answer = await post(rig, files={"file": PNG, "caption": (None, b"hi", "text/plain; charset=no-such")})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "image/png", ""])
async def test_other_media_types_are_a_415(rig: Rig, kind: str) -> None:
    answer = await post(rig, content=PNG, headers={"content-type": kind})
    refused(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 400, "empty_upload"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, None),
        (b"hello, world", 415, None),
        (PNG[: len(PNG) // 2], 422, None),
    ],
)
async def test_what_is_not_a_picture_is_refused(rig: Rig, data: bytes, status: int, code: str | None) -> None:
    answer = await post(rig, files={"file": ("a.png", data)})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert code is None or answer.json()["code"] == code


@pytest.mark.parametrize("size", [UPLOAD_BYTES + 1, 3 * UPLOAD_BYTES])
async def test_too_large_a_picture_is_a_413_in_either_body(rig: Rig, size: int) -> None:
    data = b"\x89PNG" + b"\0" * size
    refused(await post(rig, files={"file": ("a.png", data)}), 413, "upload_too_large")
    refused(await post(rig, json={"image": {"base64": b64encode(data).decode()}}), 413, "upload_too_large")


async def test_a_chunked_body_cannot_hide_its_size(rig: Rig) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65_536

    answer = await post(rig, content=endless(), headers={"content-type": "application/json"})
    refused(answer, 413, "upload_too_large")


async def test_the_largest_picture_fits_into_either_body(rig: Rig) -> None:
    data = PNG + b"\0" * (UPLOAD_BYTES - len(PNG))
    for answer in (
        await post(rig, files={"file": ("a.png", data)}),
        await post(rig, json={"image": {"base64": b64encode(data).decode()}}),
    ):
        assert answer.json().get("code") not in {"upload_too_large", "request_too_large", "malformed_request"}


@pytest.mark.parametrize("wait", ["0", "-1", "0.99", "60.5", "nan", "inf", "-inf"])
async def test_a_wait_beyond_the_limits_is_refused(rig: Rig, wait: str) -> None:
    refused(await post(rig, **as_parts(), params={"wait": wait}), 400, "malformed_request", "wait")


async def test_a_wait_that_is_no_number_is_refused(rig: Rig) -> None:
    refused(await post(rig, **as_parts(), params={"wait": "soon"}), 400, "malformed_request", "wait")


async def test_a_short_wait_gives_a_degraded_decision_and_not_a_pass(rig: Rig) -> None:
    rig.engine._delay_s = 30
    answer = await post(rig, **as_parts(), params={"wait": "1.5"})
    body = answer.json()
    assert (answer.status_code, body["outcome"], body["degraded"], body["passed"]) == (200, "review", True, False)
    assert any("probes.violence" in cause for cause in body["degraded_by"])


async def test_a_repeated_request_gets_the_first_answer(rig: Rig) -> None:
    headers = {"idempotency-key": "order 66/a"}
    first = await post(rig, **as_parts(), headers=headers)
    again = await post(rig, json=as_json(), headers=headers)
    assert again.json() == first.json()
    refused(await post(rig, **as_parts(caption="else"), headers=headers), 409, "idempotency_conflict")


@pytest.mark.parametrize("key", ["x" * 201, "", "a\tb"])
async def test_a_bad_idempotency_key_is_refused(rig: Rig, key: str) -> None:
    answer = await post(rig, **as_parts(), headers={"idempotency-key": key})
    refused(answer, 400, "malformed_request", "Idempotency-Key")


async def test_a_full_house_refuses_with_retry_after(rig: Rig) -> None:
    rig.engine_is(queue_depth=99)
    answer = await post(rig, **as_parts())
    refused(answer, 429, "queue_full")
    assert int(answer.headers["retry-after"]) >= 1


async def test_a_dead_engine_gives_review_and_not_an_error(rig: Rig) -> None:
    rig.engine_is(state=EngineState.FAILED)
    body = (await post(rig, **as_parts())).json()
    assert (body["outcome"], body["degraded"]) == ("review", True)


async def test_bodies_that_arrive_at_once_are_bounded(rig: Rig) -> None:
    """Callers that announce much and send nothing cannot take all the memory: the next one is told to come back."""
    opened = asyncio.Event()

    async def stalled() -> AsyncIterator[bytes]:
        yield b"{"
        await opened.wait()
        yield json.dumps(as_json()).encode()[1:]

    waiting = [
        asyncio.create_task(post(rig, content=stalled(), headers={"content-type": "application/json"}))
        for _ in range(12)
    ]
    refusals = 0
    for _ in range(200):
        await asyncio.sleep(0.01)
        refusals = sum(task.done() for task in waiting)
        if refusals:
            break
    opened.set()
    codes = [answer.json().get("code") for answer in await asyncio.gather(*waiting)]
    assert codes.count("queue_full") >= 2
    assert codes.count(None) >= 1


async def test_the_demonstration_is_told_in_body_and_header(rig: Rig) -> None:
    assert "portcullis-demo" not in (await post(rig, **as_parts())).headers
    rig.engine_is(demonstration=True)
    answer = await post(rig, **as_parts())
    assert (answer.headers["portcullis-demo"], answer.json()["demo"]) == ("true", True)


async def test_a_caller_that_hangs_up_is_no_fault(rig: Rig) -> None:
    """Said to the application as a server says it: half a body, then a disconnect."""
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": b'{"image"', "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    token = rig.keys.tokens["moderate"].encode()
    headers = [(b"content-type", b"application/json"), (b"authorization", b"Bearer " + token), (b"host", b"a")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/moderate",
        "raw_path": b"/v1/moderate",
        "query_string": b"",
        "headers": headers,
        "scheme": "http",
        "server": ("a", 80),
        "client": ("b", 1),
        "root_path": "",
        "http_version": "1.1",
    }
    await rig.app(scope, receive, send)  # type: ignore[arg-type]
    assert sent[0]["status"] == 400
