"""The queue, the policy, the log and operations over HTTP: each a thin way into its room."""

import json
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from app.domain import EngineProcessInfo, EngineState
from tests.http.rig import CONTRABAND, POLICY, Rig


async def uncertain(rig: Rig) -> str:
    rig.p["violence"] = 0.7
    decision = await rig.decide()
    assert decision["outcome"] == "review"
    return str(decision["case_id"])


async def post(client: httpx.AsyncClient, path: str, body: Any = None) -> tuple[int, Any]:
    answer = await client.post(path, json=body)
    return answer.status_code, answer.json()


async def test_a_case_from_claim_to_verdict(rig: Rig) -> None:
    case_id = await uncertain(rig)
    async with rig.client("review") as client:
        listed = (await client.get("/v1/reviews", params={"state": "open"})).json()
        assert [case["id"] for case in listed["cases"]] == [case_id]
        _, claimed = await post(client, "/v1/reviews/claim", {})
        assert (claimed["case"]["id"], claimed["case"]["claimed_by"]) == (case_id, "key-review")
        status, renewed = await post(client, f"/v1/reviews/{case_id}/renew")
        assert (status, renewed["case"]["state"]) == (200, "claimed")
        verdict = {"outcome": "reject", "note": "a fight"}
        status, decided = await post(client, f"/v1/reviews/{case_id}/verdict", verdict)
        assert (status, decided["case"]["verdict"]["outcome"], decided["case"]["state"]) == (200, "reject", "decided")
        assert (await client.get(f"/v1/reviews/{case_id}")).json() == decided
        assert (await client.get("/v1/reviews", params={"state": "open"})).json() == {"cases": [], "next_cursor": None}
    kinds = [event["kind"] for event in await rig.events()]
    assert kinds == ["decision.made", "case.claimed", "case.decided"]


async def test_an_empty_queue_gives_no_case(rig: Rig) -> None:
    async with rig.client("review") as client:
        assert await post(client, "/v1/reviews/claim", {}) == (200, {"case": None})


async def test_two_reviewers_never_hold_one_case(rig: Rig) -> None:
    case_id = await uncertain(rig)
    async with rig.client("review") as first, rig.client("review-2") as second:
        assert (await post(first, "/v1/reviews/claim", {"case_id": case_id}))[0] == 200
        status, problem = await post(second, "/v1/reviews/claim", {"case_id": case_id})
        assert (status, problem["code"]) == (409, "case_not_claimable")
        for action, body in (("renew", None), ("release", None), ("verdict", {"outcome": "pass"})):
            status, problem = await post(second, f"/v1/reviews/{case_id}/{action}", body)
            assert (status, problem["code"]) == (409, "lease_lost")
        assert (await post(first, f"/v1/reviews/{case_id}/release"))[0] == 200
        assert (await post(second, "/v1/reviews/claim", {}))[1]["case"]["id"] == case_id


async def test_a_second_verdict_is_a_conflict(rig: Rig) -> None:
    case_id = await uncertain(rig)
    async with rig.client("review") as client:
        await post(client, "/v1/reviews/claim", {})
        await post(client, f"/v1/reviews/{case_id}/verdict", {"outcome": "pass"})
        assert (await post(client, f"/v1/reviews/{case_id}/verdict", {"outcome": "pass"}))[0] == 200
        status, problem = await post(client, f"/v1/reviews/{case_id}/verdict", {"outcome": "reject"})
        assert (status, problem["code"]) == (409, "case_conflict")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/reviews/claim", {"case": "x"}),
        ("/v1/reviews/claim", {"case_id": 5}),
        ("/v1/reviews/claim", []),
        ("/v1/reviews/case_x/verdict", {"outcome": "review"}),
        ("/v1/reviews/case_x/verdict", {}),
        ("/v1/reviews/case_x/verdict", {"outcome": "pass", "note": "x" * 2001}),
        ("/v1/reviews/case_x/verdict", {"outcome": "pass", "note": "a\x00b"}),
        ("/v1/reviews/case_x/verdict", {"outcome": "pass", "why": "x"}),
    ],
)
async def test_a_bad_review_request_is_a_400(rig: Rig, path: str, body: Any) -> None:
    async with rig.client("review") as client:
        status, problem = await post(client, path, body)
        assert (status, problem["code"]) == (400, "malformed_request"), problem
        broken = await client.post(path, content=b"{", headers={"content-type": "application/json"})
        assert (broken.status_code, broken.json()["code"]) == (400, "malformed_request")


async def test_the_policy_is_given_as_it_was_written(rig: Rig) -> None:
    async with rig.client("policy") as client:
        answer = await client.get("/v1/policy")
        again = await client.get("/v1/policy", headers={"if-none-match": answer.headers["etag"]})
        other = await client.get("/v1/policy", headers={"if-none-match": '"sha256:else"'})
    assert answer.text == POLICY
    assert answer.headers["content-type"].startswith("application/yaml")
    assert answer.headers["etag"] == f'"{rig.ruleset.current.policy_digest}"'
    assert answer.headers["portcullis-ruleset"] == rig.ruleset.current.digest
    assert (again.status_code, again.content) == (304, b"")
    assert other.status_code == 200


async def test_a_policy_is_checked_with_the_lists_of_the_moment(rig: Rig) -> None:
    broken = POLICY.replace("scores.violence >= thresholds.reject", "scores.violance >= thresholds.reject")
    async with rig.client("policy") as client:
        good = await client.post("/v1/policy/check", content=POLICY, headers={"content-type": "application/yaml"})
        bad = await client.post("/v1/policy/check", content=broken)
    assert good.json() == {"ok": True, "problems": [], "retention": None}
    assert (bad.status_code, bad.json()["ok"]) == (200, False)
    problem = bad.json()["problems"][0]
    assert POLICY.splitlines()[problem["line"] - 1].strip() == "when: scores.violence >= thresholds.reject"
    assert "violance" in problem["message"]
    assert rig.ruleset.current.source == POLICY


async def _put(client: httpx.AsyncClient, policy: str, if_match: str | None, **query: str) -> httpx.Response:
    headers = {"content-type": "application/yaml"} | ({} if if_match is None else {"if-match": if_match})
    return await client.put("/v1/policy", content=policy, headers=headers, params=query)


async def test_a_policy_that_is_put_decides_and_can_be_taken_back(rig: Rig) -> None:
    rig.p["violence"] = 0.7
    assert (await rig.decide())["outcome"] == "review"
    async with rig.client("policy") as client:
        read = await client.get("/v1/policy")
        stricter = POLICY.replace("reject: 0.9", "reject: 0.6")
        answer = await _put(client, stricter, read.headers["etag"], why="stricter: 更严")
        assert answer.status_code == 200, answer.text
        assert (answer.json()["seq"], answer.json()["author"], answer.json()["why"]) == (
            2,
            "key-policy",
            "stricter: 更严",
        )
        assert (await client.get("/v1/policy")).text == stricter
        assert (await rig.decide())["outcome"] == "reject"
        late = await _put(client, POLICY, read.headers["etag"])
        assert (late.status_code, late.json()["code"]) == (412, "policy_conflict")
        assert "+thresholds: {review: 0.5, reject: 0.6}" in late.json()["diff"]
        history = (await client.get("/v1/policy/versions")).json()
        assert [(one["seq"], one["source"]) for one in history["versions"]] == [(2, "api"), (1, "start")]
        first = history["versions"][1]["digest"]
        assert (await client.get(f"/v1/policy/versions/{first}")).text == POLICY
        back = await client.post(f"/v1/policy/versions/{first}/activate", json={"why": "oops"})
        assert (back.status_code, back.json()["source"], back.json()["digest"]) == (200, "rollback", first)
    assert (await rig.decide())["outcome"] == "review"
    changes = [event for event in await rig.events() if event["kind"] == "policy.activated"]
    assert [(one["actor"], one["body"]["why"]) for one in changes] == [
        ("key-policy", "stricter: 更严"),
        ("key-policy", "oops"),
    ]


async def test_a_put_without_its_base_or_with_mistakes_changes_nothing(rig: Rig) -> None:
    before = rig.ruleset.current.digest
    async with rig.client("policy") as client:
        assert (await _put(client, POLICY, None)).status_code == 428
        assert (await _put(client, POLICY, "sha256:x")).status_code == 400
        assert (await _put(client, POLICY, '"sha256:x"')).status_code == 412
        broken = await _put(client, "version: 2", "*")
        assert (broken.status_code, broken.json()["code"]) == (422, "policy_invalid")
        assert (await _put(client, POLICY, "*", why="x" * 501)).status_code == 400
        assert (await client.put("/v1/policy", json={}, headers={"if-match": "*"})).status_code == 415
        gone = await client.post("/v1/policy/versions/sha256:none/activate", json={})
        assert (gone.status_code, gone.json()["code"]) == (404, "not_found")
    assert rig.ruleset.current.digest == before


async def test_failing_policy_tests_refuse_a_put_unless_forced(rig: Rig) -> None:
    cases = "cases:\n- name: some violence\n  given: {probes.violence.p: 0.7}\n  expect: review\n"
    rig.policy_path.with_name("policies.test.yaml").write_text(cases)
    stricter = POLICY.replace("reject: 0.9", "reject: 0.6")
    async with rig.client("policy") as client:
        refused = await _put(client, stricter, "*")
        assert (refused.status_code, refused.json()["code"]) == (422, "policy_tests_failed")
        [problem] = refused.json()["problems"]
        assert problem["message"] == "“some violence” is reject by graphic-violence, and should be review"
        forced = await _put(client, stricter, "*", force="true")
        assert (forced.status_code, forced.json()["forced"]) == (200, True)
    assert (await rig.events())[-1]["body"]["forced"] is True


async def test_a_backtest_tells_what_a_policy_would_have_decided(rig: Rig) -> None:
    rig.p["violence"] = 0.7
    decision = await rig.decide()
    stricter = POLICY.replace("reject: 0.9", "reject: 0.6")
    async with rig.client("policy") as client:
        answer = await client.post("/v1/policy/backtest", content=stricter, params={"since": "1h"})
        assert answer.status_code == 200, answer.text
        report = answer.json()
        assert (report["decisions"], report["flips"]) == (1, 1)
        assert (report["before"]["review"], report["after"]["reject"]) == (1, 1)
        assert report["by_rule"][0]["rule"] == "graphic-violence"
        assert report["by_rule"][0]["examples"][0]["decision"] == decision["id"]
        assert (await client.get("/v1/policy")).text == POLICY
        wrong = await client.post("/v1/policy/backtest", content=stricter, params={"since": "yesterday"})
        assert (wrong.status_code, wrong.json()["field"]) == (400, "since")
        assert (await client.post("/v1/policy/backtest", content="version: 2")).status_code == 422


async def test_the_history_comes_in_pages(rig: Rig) -> None:
    async with rig.client("policy") as client:
        for high in (0.91, 0.92):
            await _put(client, POLICY.replace("reject: 0.9", f"reject: {high}"), "*")
        first = (await client.get("/v1/policy/versions", params={"limit": 2})).json()
        rest = (await client.get("/v1/policy/versions", params={"limit": 2, "before": first["next_before"]})).json()
    assert [one["seq"] for one in first["versions"] + rest["versions"]] == [3, 2, 1]
    assert rest["next_before"] is None


async def test_a_policy_check_takes_yaml_alone(rig: Rig) -> None:
    async with rig.client("policy") as client:
        assert (await client.post("/v1/policy/check", json={})).status_code == 415
        latin = await client.post("/v1/policy/check", content=b"a: \xff")
        huge = await client.post("/v1/policy/check", content=b"#" * (3 << 20))
        empty = await client.post("/v1/policy/check")
    assert (latin.status_code, huge.status_code) == (400, 413)
    assert empty.json()["ok"] is False


async def test_a_policy_whose_line_ends_curl_took_out_is_said_to_be_that(rig: Rig) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    async with rig.client("policy") as client:
        flat = await client.post("/v1/policy/check", content=POLICY.replace("\n", ""), headers=form)
        kept = await client.post("/v1/policy/check", content=POLICY, headers=form)
        as_json = json.dumps(yaml.safe_load(POLICY))
        one_line = await client.post("/v1/policy/check", content=as_json, headers=form)
    assert flat.status_code == 400
    assert "--data-binary" in flat.json()["detail"]
    assert kept.json()["ok"]
    assert len(as_json) > 200
    assert one_line.json()["ok"]


async def test_the_log_can_be_read_and_checked(rig: Rig) -> None:
    for _ in range(3):
        await rig.decide()
    events = await rig.events()
    assert [event["kind"] for event in events] == ["decision.made"] * 3
    async with rig.client("audit") as client:
        first = (await client.get("/v1/audit", params={"limit": 2})).json()
        rest = (await client.get("/v1/audit", params={"after": first["next_after"]})).json()
        report = (await client.get("/v1/audit/verify")).json()
    assert [entry["seq"] for entry in first["entries"] + rest["entries"]] == [1, 2, 3, 4]
    assert rest["next_after"] is None
    assert rest["entries"][0]["prev"] == first["entries"][1]["hash"]
    assert (report["sound"], report["checked"], report["problem"]) == (True, 4, None)
    assert report["hash"] == rest["entries"][1]["hash"]


async def test_alive_and_ready(rig: Rig) -> None:
    async with rig.client(None) as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["status"], ready.json()["engine"]) == (200, "ready", "ready")
        rig.engine_is(detail="gpu 1: /srv/secret.gguf is missing")
        degraded = await client.get("/readyz")
        assert (degraded.status_code, degraded.json()["engine"]) == (200, "degraded")
        assert degraded.json()["components"]["engine"] == "ready"
        assert "secret" not in degraded.text
        rig.engine_is(state=EngineState.OVERDUE, detail="model file /srv/secret.gguf is missing")
        rig.not_ready.update(engine="model file /srv/secret.gguf is missing", store="no connection")
        answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["components"] == {"engine": "not_ready", "store": "not_ready", "policy": "ready"}
    assert answer.json()["engine"] == "overdue"
    assert "engine, store" in answer.json()["detail"]
    assert "secret" not in answer.text
    assert int(answer.headers["retry-after"]) > 0


async def test_status_says_why(rig: Rig) -> None:
    rig.not_ready["engine"] = "loading the model"
    process = EngineProcessInfo("gpu 0", EngineState.STARTING, "loading the model", jobs=1)
    rig.engine_is(
        demonstration=True, state=EngineState.STARTING, detail="loading the model", restarts=2, processes=(process,)
    )
    rig.policy_path.write_text(POLICY.replace("then: reject", "then: pass"))
    assert await rig.ruleset.reload() is False
    async with rig.client("policy") as client:
        status = (await client.get("/v1/status")).json()
    assert (status["version"], status["demo"], status["ready"]) == ("1.2.3", True, False)
    assert status["components"]["engine"] == "loading the model"
    assert (status["engine"]["state"], status["engine"]["restarts"]) == ("starting", 2)
    assert status["engine"]["degraded"] is False
    assert status["engine"]["processes"] == [
        {"name": "gpu 0", "state": "starting", "detail": "loading the model", "restarts": 0, "jobs": 1}
    ]
    assert status["ruleset"]["digest"] == rig.ruleset.current.digest
    assert status["ruleset"]["problems"][0]["line"] > 1
    assert status["ruleset"]["failed_at"]


async def test_metrics_group_requests_by_route(rig: Rig) -> None:
    async with rig.client() as client:
        for path in ("/v1/decisions/dec_a", "/v1/decisions/dec_b", "/no/such/page", "/v1/decisions/dec_a/image"):
            await client.get(path)
        text = (await client.get("/metrics")).text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    routes = {sample.labels["route"] for sample in families["portcullis_http_requests"].samples}
    assert {"/v1/decisions/{decision_id}", "/v1/decisions/{decision_id}/image", "unmatched"} <= routes
    assert not any("dec_" in route or "no/such" in route for route in routes)
    assert "portcullis_decisions" in families


async def test_the_lists_digest_is_in_the_pins(rig: Rig) -> None:
    assert CONTRABAND
    assert set((await rig.decide())["pins"]["lists"]) == {"contraband"}
