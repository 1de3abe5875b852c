"""A policy is tried, reported and promoted over HTTP, beside uploads that nobody of it disturbs."""

from typing import Any

import httpx

from tests.http.rig import CONTRABAND, POLICY, Rig, picture

STRICT = POLICY.replace("reject: 0.9", "reject: 0.6")
NEW_PROBE = POLICY.replace(
    "\nscores:",
    '\n  smoke:\n    category: violence\n    questions: {en: "Does this image show smoke? Answer Yes or No."}\nscores:',
).replace("  violence: {max: [probes.violence.p]}", "  violence: {max: [probes.violence.p, probes.smoke.p]}")
PATH = "/v1/policy/shadow"


async def put(rig: Rig, text: str, **params: str) -> httpx.Response:
    async with rig.client("policy") as client:
        return await client.put(PATH, content=text, params=params)


async def report(rig: Rig, since: str = "7d") -> dict[str, Any]:
    await rig.comparing.drain()
    async with rig.client("policy") as client:
        answer = await client.get(f"{PATH}/report", params={"since": since})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_a_policy_is_tried_and_what_it_would_change_is_told(rig: Rig) -> None:
    answer = await put(rig, STRICT, why="too mild")
    assert (answer.status_code, answer.json()["why"], answer.json()["problems"]) == (200, "too mild", [])
    async with rig.client("policy") as client:
        shown = await client.get(PATH)
    assert shown.text == STRICT
    assert shown.headers["etag"] == f'"{answer.json()["policy_digest"]}"'
    decided = {}
    for p in (0.1, 0.55, 0.7, 0.95):
        rig.p["violence"] = p
        decided[p] = await rig.decide()
    assert [one["outcome"] for one in decided.values()] == ["pass", "review", "review", "reject"]
    told = await report(rig)
    policy = told["policy"]
    assert (policy["compared"], policy["changed"], policy["not_comparable"], told["unrecorded"]) == (4, 1, 0, 0)
    assert policy["table"]["review"] == {"pass": 0, "review": 1, "reject": 1}
    rule = policy["by_rule"][0]
    assert (rule["rule"], rule["fired"], rule["changes"]) == ("graphic-violence", 2, {"review>reject": 1})
    assert rule["examples"] == [{"decision": decided[0.7]["id"], "before": "review", "after": "reject"}]
    assert told["rules"] is None
    assert (await rig.decide())["pins"]["policy"] == rig.ruleset.current.policy_digest


async def test_shadow_rules_are_told_of_without_a_shadow_policy(rig: Rig) -> None:
    tried = POLICY.replace("  - id: contraband-for-sale\n", "  - id: contraband-for-sale\n    mode: shadow\n")
    await rig.ruleset.put(tried.encode(), expected=None, author="key", why=None)
    rig.reader.says("forged documents")
    assert (await rig.decide())["outcome"] == "pass"
    told = await report(rig)
    assert told["policy"] is None
    assert told["rules"]["changed"] == 1
    assert told["rules"]["by_rule"][0]["changes"] == {"pass>reject": 1}


async def test_what_was_not_asked_is_counted_apart(rig: Rig) -> None:
    await put(rig, NEW_PROBE)
    rig.p["violence"] = 0.1
    await rig.decide()
    assert [question.id for job in rig.engine.jobs for question in job.questions if "smoke" in question.id] == []
    policy = (await report(rig))["policy"]
    assert (policy["compared"], policy["not_comparable"], policy["missing"]) == (1, 1, {"scores.violence": 1})
    assert policy["reviews_a_day"]["decisions"] == 0


async def test_a_repeated_request_is_compared_once(rig: Rig) -> None:
    await put(rig, STRICT)
    async with rig.client("moderate", **{"Idempotency-Key": "a"}) as client:
        for _ in range(3):
            await client.post("/v1/moderate", files={"file": ("a.png", picture())})
    assert (await report(rig))["policy"]["compared"] == 1


async def test_promoting_takes_an_if_match_and_ends_the_trial(rig: Rig) -> None:
    entry = (await put(rig, STRICT)).json()
    async with rig.client("policy") as client:
        assert (await client.post(f"{PATH}/promote")).json()["code"] == "precondition_required"
        wrong = await client.post(f"{PATH}/promote", headers={"If-Match": '"sha256:0"'})
        assert (wrong.status_code, wrong.json()["code"]) == (412, "policy_conflict")
        tag = (await client.get("/v1/policy")).headers["etag"]
        other = await client.post(f"{PATH}/promote", headers={"If-Match": tag}, params={"digest": "sha256:0"})
        assert (other.status_code, other.json()["current"]) == (412, entry["policy_digest"])
        params = {"digest": entry["policy_digest"], "why": "it held"}
        done = await client.post(f"{PATH}/promote", headers={"If-Match": tag}, params=params)
        assert (done.status_code, done.json()["policy_digest"], done.json()["why"]) == (
            200,
            entry["policy_digest"],
            "it held",
        )
        assert (await client.get(PATH)).status_code == 404
        assert (await client.post(f"{PATH}/promote", headers={"If-Match": "*"})).status_code == 404
    rig.p["violence"] = 0.7
    assert (await rig.decide())["outcome"] == "reject"
    kinds = [event["kind"] for event in await rig.events()]
    assert kinds[:3] == ["policy.shadow_set", "policy.activated", "policy.shadow_removed"]


async def test_failing_policy_tests_stop_a_promotion_and_no_trial(rig: Rig) -> None:
    cases = "cases:\n  - {name: strong, given: {probes.violence.p: 0.7}, expect: review}\n"
    rig.policy_path.with_name("policies.test.yaml").write_text(cases)
    assert (await put(rig, STRICT)).status_code == 200
    async with rig.client("policy") as client:
        refused = await client.post(f"{PATH}/promote", headers={"If-Match": "*"})
        assert (refused.status_code, refused.json()["code"]) == (422, "policy_tests_failed")
        forced = await client.post(f"{PATH}/promote", headers={"If-Match": "*"}, params={"force": "true"})
    assert forced.json()["forced"] is True


async def test_it_is_taken_away(rig: Rig) -> None:
    await put(rig, STRICT)
    async with rig.client("policy") as client:
        assert (await client.delete(PATH, params={"why": "enough"})).status_code == 204
        assert (await client.delete(PATH)).status_code == 404
        assert (await client.get(PATH)).json()["code"] == "not_found"
    await rig.decide()
    assert (await report(rig))["policy"] is None


async def test_bad_input_is_refused_and_changes_nothing(rig: Rig) -> None:
    await put(rig, STRICT)
    assert (await put(rig, STRICT.replace("probes.violence.p", "probes.violance.p"))).json()["code"] == "policy_invalid"
    assert (await put(rig, STRICT, why="x" * 501)).status_code == 400
    async with rig.client("policy") as client:
        assert (await client.put(PATH, json={})).status_code == 415
        assert (await client.get(f"{PATH}/report", params={"since": "yesterday"})).status_code == 400
        assert (await client.get(PATH)).text == STRICT
    for key in ("moderate", "review", "audit"):
        async with rig.client(key) as client:
            assert (await client.get(f"{PATH}/report")).status_code == 403
            assert (await client.put(PATH, content=STRICT)).status_code == 403


async def test_a_shadow_policy_that_lost_its_list_says_so(rig: Rig) -> None:
    await put(rig, STRICT)
    live = POLICY[: POLICY.index("  - id: contraband-for-sale")]
    rig.policy_path.write_text(live)
    (rig.policy_path.parent / "rules" / "contraband.txt").unlink()
    (rig.policy_path.parent / "rules" / "others.txt").write_text(CONTRABAND)
    assert await rig.ruleset.reload()
    await rig.shadow.follow()
    told = await report(rig)
    assert "contraband" in told["shadow"]["problems"][0]["message"]
    assert (await rig.decide())["outcome"] == "pass"
    assert (await report(rig))["policy"]["compared"] == 0
