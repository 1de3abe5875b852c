"""A disk that is full, as SQLite tells it: nothing is answered as done that is not kept, and all goes on when there is
room again."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from app.domain import AuditEvent
from app.errors import StoreUnavailable
from app.jobs.sealing import seal_audit
from app.store import session
from tests.http.rig import POLICY, Rig, picture
from tests.http.rig import rig as make_rig
from tests.store import samples
from tests.store.databases import SqliteServer, opened

LONG = "# a remark\n" * 2000


class Disk:
    """How many pages a database file may have: what lets SQLite say `database or disk is full`."""

    def __init__(self) -> None:
        self.pages = 1 << 30

    def begin(self, make: Callable[[int], Callable[[Connection], None]]) -> Callable[..., Callable[..., None]]:
        def begin_of(patience_ms: int) -> Callable[[Connection], None]:
            begin = make(patience_ms)

            def limited(connection: Connection) -> None:
                connection.exec_driver_sql(f"PRAGMA max_page_count={self.pages}")
                begin(connection)

            return limited

        return begin_of

    async def fill(self, rig: Rig) -> list[AuditEvent]:
        """To the last byte that an event would take; those that found room."""
        self.pages, kept = 1, list[AuditEvent]()
        while True:
            event = samples.event()
            try:
                await rig.audit_log.append([event])
            except StoreUnavailable:
                return kept
            kept.append(event)

    def make_room(self) -> None:
        self.pages = 1 << 30


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk()
    monkeypatch.setattr(session, "_begin", made.begin(session._begin))
    return made


@pytest.fixture
async def rig(disk: Disk, sqlite: SqliteServer, tmp_path: Path) -> AsyncIterator[Rig]:
    async with opened(sqlite.new_url()) as database, make_rig(tmp_path, database) as made:
        yield made


async def _upload(rig: Rig, **headers: str) -> tuple[int, Any, str | None]:
    async with rig.client("moderate", **headers) as client:
        answer = await client.post("/v1/moderate", files={"file": ("a.png", picture())})
    return answer.status_code, answer.json(), answer.headers.get("retry-after")


async def test_an_upload_that_cannot_be_recorded_is_not_decided(rig: Rig, disk: Disk) -> None:
    before = await disk.fill(rig)

    status, body, retry_after = await _upload(rig, **{"Idempotency-Key": "once"})
    assert (status, body["code"], retry_after) == (503, "store_unavailable", "5")
    assert "outcome" not in body
    async with rig.client("admin") as client:
        assert (await client.get("/v1/decisions")).json()["decisions"] == []

    disk.make_room()
    status, body, _ = await _upload(rig, **{"Idempotency-Key": "once"})
    assert (status, body["outcome"]) == (200, "pass")
    events = await rig.events()
    assert [event["subject"] for event in events if event["id"] not in {one.id for one in before}] == [body["id"]]


async def test_a_policy_that_cannot_be_recorded_does_not_decide(rig: Rig, disk: Disk) -> None:
    headers = {"content-type": "application/yaml", "if-match": "*"}
    in_force = rig.ruleset.current.digest
    await disk.fill(rig)

    async with rig.client("policy") as client:
        refused = await client.put("/v1/policy", content=POLICY + LONG, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
        assert rig.ruleset.current.digest == in_force
        assert len((await client.get("/v1/policy/versions")).json()["versions"]) == 1
        disk.make_room()
        assert (await client.put("/v1/policy", content=POLICY + LONG, headers=headers)).status_code == 200


async def test_a_saved_file_waits_for_room_and_says_so(rig: Rig, disk: Disk) -> None:
    in_force = rig.ruleset.current.digest
    await disk.fill(rig)
    rig.policy_path.write_text(POLICY + LONG)

    for _ in range(2):
        assert not await rig.ruleset.reload()
    (problem,) = rig.ruleset.status.problems
    assert "is sound, but could not be recorded: the database does not answer" in problem.message
    assert rig.ruleset.current.digest == in_force

    disk.make_room()
    assert await rig.ruleset.reload()
    assert (rig.ruleset.current.source, rig.ruleset.status.problems) == (POLICY + LONG, ())


async def test_a_picture_whose_view_cannot_be_recorded_is_not_shown(rig: Rig, disk: Disk) -> None:
    made = await rig.decide()
    await disk.fill(rig)
    async with rig.client("review") as client:
        refused = await client.get(f"/v1/decisions/{made['id']}/image")
        assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
        disk.make_room()
        assert (await client.get(f"/v1/decisions/{made['id']}/image")).status_code == 200


async def test_sealing_stops_and_goes_on_without_a_gap(rig: Rig, disk: Disk) -> None:
    await seal_audit(rig.audit_log)
    before = await rig.audit_log.head()
    await rig.audit_log.append([samples.event() for _ in range(300)])
    waiting = 300 + len(await disk.fill(rig))

    with pytest.raises(StoreUnavailable):
        await seal_audit(rig.audit_log)
    assert (await rig.audit_log.head(), await rig.audit_log.pending()) == (before, waiting)

    disk.make_room()
    assert await seal_audit(rig.audit_log) == waiting
    report = await rig.audit_log.verify()
    assert (report.sound, report.point.seq) == (True, before.seq + waiting)


async def test_a_shadow_policy_that_cannot_be_recorded_is_not_tried(rig: Rig, disk: Disk) -> None:
    await disk.fill(rig)
    async with rig.client("policy") as client:
        refused = await client.put("/v1/policy/shadow", content=POLICY + LONG)
        assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
        assert (await client.get("/v1/policy/shadow")).status_code == 404
        disk.make_room()
        assert (await client.put("/v1/policy/shadow", content=POLICY + LONG)).status_code == 200
