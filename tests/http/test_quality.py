"""A sample for quality control, from the upload to the verdict."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from app.domain import CaseKind, Severity
from app.store import SqlRetention
from tests.http.rig import POLICY, Rig
from tests.store import samples

PASSES = POLICY.replace("defaults:\n", "defaults:\n  quality_sample: 1\n")
REJECTS = POLICY.replace("    then: reject\n", "    then: reject\n    sample: 1\n", 1)


async def use(rig: Rig, policy: str) -> None:
    assert policy != POLICY
    await rig.ruleset.put(policy.encode(), author="key-policy", why=None, force=True, expected=None)


async def judged(rig: Rig, made: dict[str, Any], outcome: str) -> httpx.Response:
    async with rig.client("review") as client:
        await client.post("/v1/reviews/claim", json={"case_id": made["case_id"]})
        return await client.post(f"/v1/reviews/{made['case_id']}/verdict", json={"outcome": outcome})


@pytest.mark.parametrize(
    ("policy", "p", "outcome", "name"),
    [
        (PASSES, 0.1, "pass", "defaults.quality_sample"),
        (REJECTS, 0.95, "reject", "rules.graphic-violence"),
    ],
)
async def test_a_sampled_decision_stands_and_has_a_case(
    rig: Rig, policy: str, p: float, outcome: str, name: str
) -> None:
    await use(rig, policy)
    rig.p["violence"] = p
    made = await rig.decide()
    assert (made["outcome"], made["passed"], made["sampled_by"]) == (outcome, outcome == "pass", [name])
    case = await rig.desk.get(made["case_id"])
    assert (case.kind, case.priority, case.decision_id) == (CaseKind.QUALITY, Severity.LOW, made["id"])
    event = next(one for one in await rig.events() if one["kind"] == "decision.made")
    assert (event["body"]["sampled_by"], event["body"]["outcome"]) == ([name], outcome)
    async with rig.client("review") as client:
        assert (await client.get("/v1/reviews")).json()["cases"][0]["kind"] == "quality"
        for page in ("/review", f"/review/{case.id}"):
            assert "quality control" in (await client.get(page)).text


async def test_what_is_not_sampled_says_so(rig: Rig) -> None:
    rig.p["violence"] = 0.7
    made = await rig.decide()
    assert (made["outcome"], made["sampled_by"]) == ("review", [])
    assert (await rig.desk.get(made["case_id"])).kind is CaseKind.REVIEW
    assert "sampled_by" not in (await rig.events())[0]["body"]
    async with rig.client("review") as client:
        assert "quality control" not in (await client.get("/review")).text


async def test_somebody_who_waits_is_served_before_the_sample(rig: Rig) -> None:
    await use(rig, PASSES)
    sample = await rig.decide()
    rig.p["violence"] = 0.7
    waits = await rig.decide()
    async with rig.client("review") as client:
        taken = [(await client.post("/v1/reviews/claim", json={})).json()["case"]["id"] for _ in range(2)]
    assert taken == [waits["case_id"], sample["case_id"]]


async def test_a_verdict_on_a_pass_counts_as_one_that_was_missed(rig: Rig) -> None:
    await use(rig, PASSES)
    missed = await rig.decide()
    rig.p["violence"] = 0.95
    await rig.decide()
    assert (await judged(rig, missed, "reject")).status_code == 200
    async with rig.client("policy") as client:
        report = await client.post("/v1/policy/backtest", content=POLICY, headers={"Content-Type": "application/yaml"})
    agreement = report.json()["agreement_before"]
    assert (agreement["verdicts"], agreement["recall"]) == (1, 0.0)
    assert (await rig.decisions.find(missed["id"])).outcome.value == "pass"


@pytest.mark.parametrize("verdict", ["pass", "reject"])
async def test_the_picture_stays_while_its_case_is_open_and_if_it_should_not_have_passed(
    rig: Rig, verdict: str
) -> None:
    await use(rig, PASSES)
    made = await rig.decide()
    decision, retention = await rig.decisions.find(made["id"]), SqlRetention(rig.database)
    much_later = decision.created_at + timedelta(days=400)

    async def expired() -> list[str]:
        found, _ = await retention.expired_evidence(
            samples.keeping(), now=much_later, seen_before=much_later, after=None, limit=9
        )
        return [picture.sha256 for picture in found]

    assert await expired() == []
    await judged(rig, made, verdict)
    assert await expired() == ([decision.image.sha256] if verdict == "pass" else [])
