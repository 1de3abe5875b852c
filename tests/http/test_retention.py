"""Whoever changes how long pictures are kept hears beforehand what that deletes, through every door."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.domain import Outcome
from app.errors import StoreUnavailable
from app.store import SqlRetention
from tests.http.rig import POLICY, Rig
from tests.store import samples

YAML = {"content-type": "application/yaml", "if-match": "*"}


def keeps(retention: str) -> str:
    return POLICY.replace("defaults:\n", f"defaults:\n  retention: {retention}\n")


SHORTER, LONGER = keeps("{rejected_days: 7}"), keeps("{passed_hours: 9000}")


@pytest.fixture
async def client(rig: Rig) -> AsyncIterator[httpx.AsyncClient]:
    """Two rejected pictures of ten days ago, one of them with an open case, and one that passed an hour ago."""
    now = datetime.now(UTC)
    for number, (outcome, ago) in enumerate(
        [
            (Outcome.REJECT, timedelta(days=10)),
            (Outcome.REJECT, timedelta(days=10)),
            (Outcome.PASS, timedelta(hours=1)),
        ]
    ):
        record = samples.record(outcome=outcome, at=now - ago, picture=samples.facts(b"%d" % number))
        await rig.decisions.record(record, [], samples.case_of(record.decision) if number == 1 else None)
    async with rig.client("policy") as client:
        yield client


def counted(retention: dict[str, Any]) -> tuple[int, int]:
    assert retention["deleted"]["complete"]
    assert retention["kept_longer"]["complete"]
    return retention["deleted"]["pictures"], retention["kept_longer"]["pictures"]


async def test_a_check_says_what_would_be_deleted(client: httpx.AsyncClient) -> None:
    answer = (await client.post("/v1/policy/check", content=SHORTER, headers=YAML)).json()

    assert answer["ok"]
    assert counted(answer["retention"]) == (1, 0)
    (group,) = answer["retention"]["deleted"]["groups"]
    assert (group["settled"], group["rule"], group["pictures"]) == ("rejected", "defaults.retention.rejected_days", 1)
    age = datetime.now(UTC) - datetime.fromisoformat(group["oldest"])
    assert timedelta(days=10) <= age < timedelta(days=10, hours=1)
    ahead = datetime.fromisoformat(answer["retention"]["deletes_at"]) - datetime.now(UTC)
    assert timedelta(hours=23) < ahead <= timedelta(hours=24)


async def test_a_check_says_what_would_be_kept_longer(client: httpx.AsyncClient) -> None:
    answer = (await client.post("/v1/policy/check", content=LONGER, headers=YAML)).json()
    assert counted(answer["retention"]) == (0, 1)


async def test_putting_a_policy_in_force_says_it_too(client: httpx.AsyncClient) -> None:
    put = (await client.put("/v1/policy", content=SHORTER, headers=YAML)).json()
    assert counted(put["retention"]) == (1, 0)
    again = (await client.put("/v1/policy", content=SHORTER + "# the same\n", headers=YAML)).json()
    assert again["retention"] is None

    versions = (await client.get("/v1/policy/versions")).json()["versions"]
    assert "retention" not in versions[0]
    back = await client.post(f"/v1/policy/versions/{versions[2]['digest']}/activate", json={})
    assert counted(back.json()["retention"]) == (0, 1)


async def test_promoting_the_shadow_policy_says_it_too(client: httpx.AsyncClient) -> None:
    await client.put("/v1/policy/shadow", content=SHORTER, headers=YAML)
    promoted = (await client.post("/v1/policy/shadow/promote", headers=YAML)).json()
    assert counted(promoted["retention"]) == (1, 0)


async def test_what_cannot_be_counted_is_no_zero_and_stops_no_activation(
    client: httpx.AsyncClient, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("the database went away")

    monkeypatch.setattr(SqlRetention, "expired_evidence", away)
    put = await client.put("/v1/policy", content=SHORTER, headers=YAML)

    assert put.status_code == 200
    retention = put.json()["retention"]
    assert (retention["deleted"], retention["kept_longer"]) == (None, None)
    assert rig.ruleset.current.source == SHORTER
