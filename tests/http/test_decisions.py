"""Decisions and their pictures: who sees them, and that a view is recorded before it is given."""

import asyncio
from hashlib import sha256

import pytest

from app.domain import AuditEvent
from app.errors import StoreUnavailable
from tests.http.rig import Rig, picture


async def test_a_key_that_moderates_sees_its_own_decisions_alone(rig: Rig) -> None:
    mine, theirs = (await rig.decide("moderate"))["id"], (await rig.decide("moderate-2"))["id"]
    async with rig.client("moderate") as client:
        assert (await client.get(f"/v1/decisions/{mine}")).json()["id"] == mine
        for path in (f"/v1/decisions/{theirs}", f"/v1/decisions/{theirs}/image?preview=true", f"/decisions/{theirs}"):
            assert (await client.get(path)).status_code == 404
        page = (await client.get("/v1/decisions")).json()
    assert [one["id"] for one in page["decisions"]] == [mine]
    for key in ("review", "audit", "admin"):
        async with rig.client(key) as client:
            page = (await client.get("/v1/decisions")).json()
        assert [one["id"] for one in page["decisions"]] == [theirs, mine]


async def test_pages_follow_their_cursor(rig: Rig) -> None:
    rig.p["violence"] = 0.7
    made = [(await rig.decide())["id"] for _ in range(3)]
    rig.p["violence"] = 0.1
    await rig.decide()
    seen: list[str] = []
    cursor: str | None = ""
    async with rig.client("moderate") as client:
        while cursor is not None:
            params = {"outcome": "review", "limit": "2"} | ({"cursor": cursor} if cursor else {})
            page = (await client.get("/v1/decisions", params=params)).json()
            seen += [one["id"] for one in page["decisions"]]
            cursor = page["next_cursor"]
    assert seen == made[::-1]


async def test_the_picture_is_the_upload_and_can_do_nothing(rig: Rig) -> None:
    decision = await rig.decide()
    async with rig.client("review") as client:
        answer = await client.get(f"/v1/decisions/{decision['id']}/image")
    assert sha256(answer.content).hexdigest() == decision["image"]["sha256"]
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"] == "inline"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


async def test_a_view_is_in_the_audit_log_and_a_preview_is_not(rig: Rig) -> None:
    decision = await rig.decide()
    async with rig.client("review") as client:
        preview = await client.get(f"/v1/decisions/{decision['id']}/image", params={"preview": "true"})
        assert preview.headers["content-type"] == "image/jpeg"
        assert preview.content != picture()
        assert [event["kind"] for event in await rig.events()] == ["decision.made"]
        await client.get(f"/v1/decisions/{decision['id']}/image")
    viewed = (await rig.events())[-1]
    assert (viewed["kind"], viewed["actor"], viewed["subject"]) == ("evidence.viewed", "key-review", decision["id"])
    assert viewed["body"] == {"sha256": decision["image"]["sha256"]}


async def test_without_the_record_there_is_no_view(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    decision = await rig.decide()

    async def fail(events: list[AuditEvent]) -> None:
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(rig.audit_log, "append", fail)
    async with rig.client("review") as client:
        answer = await client.get(f"/v1/decisions/{decision['id']}/image")
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")


async def test_a_picture_that_is_gone_is_a_404_and_no_view(rig: Rig) -> None:
    decision = await rig.decide()
    await rig.evidence.delete(decision["image"]["sha256"])
    async with rig.client("review") as client:
        for preview in ("false", "true"):
            answer = await client.get(f"/v1/decisions/{decision['id']}/image", params={"preview": preview})
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert [event["kind"] for event in await rig.events()] == ["decision.made"]


async def test_the_original_needs_more_than_having_sent_it(rig: Rig) -> None:
    decision = await rig.decide("moderate")
    for key in ("moderate", "audit"):
        async with rig.client(key) as client:
            assert (await client.get(f"/v1/decisions/{decision['id']}/image")).status_code == 403
            preview = await client.get(f"/v1/decisions/{decision['id']}/image", params={"preview": "true"})
            assert preview.status_code == 200


@pytest.mark.parametrize("name", ["WEBP", "GIF", "JPEG"])
async def test_the_media_type_is_the_pictures_and_not_the_callers(rig: Rig, name: str) -> None:
    async with rig.client("admin") as client:
        files = {"file": ("page.html", picture(format_=name), "text/html")}
        decision = (await client.post("/v1/moderate", files=files)).json()
        answer = await client.get(f"/v1/decisions/{decision['id']}/image")
    assert answer.headers["content-type"] == f"image/{name.lower()}"


async def test_many_readers_at_once_are_each_recorded(rig: Rig) -> None:
    decision = await rig.decide()
    async with rig.client("review") as client:
        path = f"/v1/decisions/{decision['id']}/image"
        answers = await asyncio.gather(*(client.get(path) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    assert [event["kind"] for event in await rig.events()].count("evidence.viewed") == 5
