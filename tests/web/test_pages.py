"""The pages over HTTP: what they answer, escape and withhold."""

import re
from dataclasses import replace
from typing import Any

import httpx
import pytest

from app.domain import EngineState, Status, TextFinding, new_id
from app.errors import NotFound
from tests.http.rig import POLICY, Rig, picture

HTML = "text/html,application/xhtml+xml"
NASTY = "<script>alert(1)</script>\"'&"


async def page(rig: Rig, path: str, key: str | None = "admin") -> httpx.Response:
    async with rig.client(key, accept=HTML) as client:
        return await client.get(path)


@pytest.mark.parametrize("path", ["/", "/review", "/review/case_1", "/decisions/dec_1", "/policy"])
async def test_who_is_not_logged_in_is_sent_to_the_log_in_and_back(rig: Rig, path: str) -> None:
    answer = await page(rig, path, None)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/login?next={path}")


async def test_a_wrong_key_is_told_and_not_repeated(rig: Rig) -> None:
    async with rig.client(None, accept=HTML) as client:
        answer = await client.post(
            "/login", data={"key": "hunter2-wrong", "next": "//evil.test"}, headers={"sec-fetch-site": "same-origin"}
        )
    assert answer.status_code == 401
    assert "This key is not known." in answer.text
    assert "hunter2-wrong" not in answer.text
    assert "evil.test" not in answer.text


async def test_the_log_in_returns_to_where_one_was(rig: Rig) -> None:
    async with rig.client(None, accept=HTML) as client:
        data = {"key": rig.keys.tokens["admin"], "next": "/review"}
        answer = await client.post("/login", data=data, headers={"sec-fetch-site": "same-origin"})
        assert answer.headers["location"] == "/review"
        assert (await client.get("/login")).headers["location"] == "/"


async def test_text_from_outside_is_escaped_everywhere(rig: Rig) -> None:
    rig.p["violence"] = 0.7
    rig.reader.says(f"forged documents {NASTY}")
    decision = await rig.decide(caption=f"forged documents {NASTY}", external_id=NASTY)
    assert decision["outcome"] == "reject"
    shown = (await page(rig, f"/decisions/{decision['id']}")).text
    assert "<script>alert" not in shown
    assert shown.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 3


async def test_a_note_is_escaped(rig: Rig) -> None:
    rig.p["violence"] = 0.7
    case_id = (await rig.decide())["case_id"]
    await rig.desk.claim("key-admin", case_id)
    async with rig.client(accept=HTML) as client:
        form = {"outcome": "pass", "note": NASTY}
        answer = await client.post(f"/review/{case_id}/verdict", data=form)
        assert (answer.status_code, answer.headers["location"]) == (303, "/review?notice=pass")
        shown = (await client.get(f"/review/{case_id}")).text
    assert "<script>alert" not in shown
    assert "&lt;script&gt;" in shown


async def test_nobody_is_told_that_somebody_else_did_what_they_did_themselves(rig: Rig) -> None:
    rig.p["violence"] = 0.7
    case_id = (await rig.decide())["case_id"]
    async with rig.client(accept=HTML) as client:
        early = await client.post(f"/review/{case_id}/verdict", data={"outcome": "pass"})
        await rig.desk.claim("key-admin", case_id)
        await client.post(f"/review/{case_id}/verdict", data={"outcome": "pass"})
        late = await client.post(f"/review/{case_id}/release")
    assert (early.status_code, late.status_code) == (409, 409)
    assert f"You do not have case {case_id}: it is waiting in the queue: claim it first" in early.text
    assert f"You do not have case {case_id}: you decided it" in late.text
    for answer in (early, late):
        assert "omebody else" not in answer.text
        assert "another reviewer" not in answer.text


@pytest.mark.parametrize("form", [{"outcome": "review"}, {}, {"outcome": "pass", "note": "x" * 2001}])
async def test_a_bad_verdict_changes_nothing(rig: Rig, form: dict[str, str]) -> None:
    rig.p["violence"] = 0.7
    case_id = (await rig.decide())["case_id"]
    await rig.desk.claim("key-admin", case_id)
    async with rig.client(accept=HTML) as client:
        answer = await client.post(f"/review/{case_id}/verdict", data=form)
    assert answer.status_code == 400
    assert (await rig.desk.get(case_id)).verdict is None


async def test_pages_carry_no_inline_script_or_style(rig: Rig) -> None:
    rig.p["violence"] = 0.7
    decision = await rig.decide()
    for path in ("/", "/login", "/review", f"/decisions/{decision['id']}", f"/review/{decision['case_id']}", "/nope"):
        text = (await page(rig, path)).text
        assert not re.search(r"\sstyle=|<style|\son[a-z]+=|javascript:", text), path
        assert re.findall(r"<script(?! src=\"/static/)", text) == [], path
        assert not re.search(r"(?:src|href)=\"(?:https?:)?//", text), path


async def test_the_original_is_never_in_a_page(rig: Rig) -> None:
    decision = await rig.decide()
    text = (await page(rig, f"/decisions/{decision['id']}")).text
    assert re.findall(r"<img[^>]+src=\"([^\"]+)\"", text)[1:] == [f"/v1/decisions/{decision['id']}/image?preview=true"]
    assert "data:image" not in text


async def test_only_reviewers_are_offered_the_original(rig: Rig) -> None:
    decision = await rig.decide("moderate")
    assert "Reveal picture" in (await page(rig, f"/decisions/{decision['id']}", "review")).text
    mine = (await page(rig, f"/decisions/{decision['id']}", "moderate")).text
    assert "Reveal picture" not in mine
    assert "/review" not in mine


async def test_an_engine_with_fewer_processes_is_told_of_and_decides_as_ever(rig: Rig) -> None:
    rig.engine_is(detail="gpu 1: the engine process was ended by SIGKILL")
    text = (await page(rig, "/", "moderate")).text
    assert "gpu 1: the engine process was ended by SIGKILL" in text
    assert "The model is not ready" not in text
    assert not (await rig.decide())["degraded"]


async def test_a_degraded_decision_says_what_is_unknown(rig: Rig) -> None:
    rig.engine_is(state=EngineState.FAILED)
    rig.reader.finding = TextFinding(status=Status.TIMEOUT, reason="deadline")
    decision = await rig.decide()
    text = (await page(rig, f"/decisions/{decision['id']}")).text
    assert decision["degraded"]
    for cause in decision["degraded_by"]:
        assert cause.replace("'", "&#39;") in text
    assert "failed: engine_unavailable" in text
    assert "timeout: deadline" in text
    assert "Whether there is text is unknown." in text
    assert "0.00%" not in text


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [(b"", 400, "empty_upload"), (b"not a picture", 415, "not_a_picture"), (picture()[:900], 422, "truncated_picture")],
)
async def test_a_refused_upload_is_explained(rig: Rig, data: bytes, status: int, code: str) -> None:
    async with rig.client(accept=HTML) as client:
        answer = await client.post("/", files={"file": ("a.png", data)})
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert code in answer.text
    assert "Back to the start" in answer.text


async def test_a_busy_service_keeps_its_retry_after_on_pages(rig: Rig) -> None:
    rig.engine_is(queue_depth=99)
    async with rig.client(accept=HTML) as client:
        answer = await client.post("/", files={"file": ("a.png", picture())})
    assert (answer.status_code, "retry-after" in answer.headers) == (429, True)
    assert "The service is busy." in answer.text


async def test_faults_are_pages_for_people_and_json_for_programs(rig: Rig) -> None:
    answer = await page(rig, "/no/such/page")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "There is nothing at this address" in answer.text
    assert "Check the address" not in answer.text
    for address in ("/decisions/dec_none", "/review/case_none"):
        missing = await page(rig, address)
        assert missing.status_code == 404
        assert "Decisions and cases are not deleted when a time to be kept is over, only pictures are." in missing.text
    assert "Decisions and cases" not in (await page(rig, "/policy/versions/sha256:none", "policy")).text
    async with rig.client(accept="*/*") as client:
        assert (await client.get("/no/such/page")).headers["content-type"] == "application/problem+json"
        json_for_browsers = await client.get("/v1/decisions/dec_none", headers={"accept": HTML})
    assert json_for_browsers.headers["content-type"] == "application/problem+json"


async def test_the_log_in_page_shows_nothing_of_the_inside(rig: Rig) -> None:
    rig.engine_is(state=EngineState.FAILED, detail="secret detail", demonstration=True)
    rig.policy_path.write_text(POLICY.replace("version: 1", "version: one"))
    await rig.ruleset.reload()
    assert rig.ruleset.status.problems
    text = (await page(rig, "/login", None)).text
    assert "Demonstration model." in text
    assert "secret detail" not in text
    assert "policies.yaml" not in text


async def test_an_erased_decision_does_not_take_the_queue_with_it(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.p["violence"] = 0.7
    await rig.decide()

    async def erased(decision_id: str) -> None:
        raise NotFound("there is no such decision")

    monkeypatch.setattr(rig.decisions, "find_record", erased)
    answer = await page(rig, "/review")
    assert answer.status_code == 200
    assert "no longer kept" in answer.text


async def test_the_queue_pages_on(rig: Rig) -> None:
    rig.p["violence"] = 0.7
    for _ in range(27):
        await rig.decide()
    first = (await page(rig, "/review")).text
    link = re.search(r'href="(/review\?state=open&amp;cursor=[^"]+)"', first)
    assert link is not None
    second = (await page(rig, link[1].replace("&amp;", "&"))).text
    cases = [re.findall(r'name="case_id" value="(case_\w+)"', text) for text in (first, second)]
    assert (len(cases[0]), len(cases[1]), len(set(cases[0] + cases[1]))) == (25, 2, 27)
    assert "cursor=" not in second


@pytest.mark.parametrize("query", ["?state=lost", "?cursor=nonsense"])
async def test_a_bad_queue_address_is_a_400(rig: Rig, query: str) -> None:
    assert (await page(rig, f"/review{query}")).status_code == 400


async def test_the_policy_page_tells_versions_and_returns_to_one(rig: Rig) -> None:
    first = rig.ruleset.current.digest
    edited = POLICY.replace("reject: 0.9", "reject: 0.6") + f"# {NASTY}\n"
    await rig.ruleset.put(edited.encode(), expected=None, author="key-x", why=NASTY)
    shown = (await page(rig, "/policy", "policy")).text
    assert "<script>alert" not in shown
    assert "&lt;script&gt;alert(1)" in shown
    assert "key-x" in shown
    older = (await page(rig, f"/policy/versions/{first}", "policy")).text
    assert "-thresholds: {review: 0.5, reject: 0.6}" in older
    async with rig.client("policy", accept=HTML) as client:
        answer = await client.post(f"/policy/versions/{first}/activate", data={"why": "back"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/policy?notice=activated")
        long = await client.post(f"/policy/versions/{first}/activate", data={"why": "x" * 501})
        assert long.status_code == 400
    assert rig.ruleset.current.digest == first
    assert "in force again" in (await page(rig, "/policy?notice=activated", "policy")).text
    assert (await page(rig, "/policy/versions/sha256:none", "policy")).status_code == 404


async def as_it_were(rig: Rig, decision_id: str, **changes: Any) -> str:
    """The decision once more, with other findings or another surface; its new id."""
    record = await rig.decisions.find_record(decision_id)
    found = record.decision.findings.model_copy(update=changes.pop("findings", {}))
    update = {"id": new_id("dec"), "case_id": None, "findings": found, **changes}
    await rig.decisions.record(replace(record, decision=record.decision.model_copy(update=update)), [], None)
    return str(update["id"])


async def test_what_was_recalled_is_marked_where_it_stands(rig: Rig) -> None:
    rig.reader.says("a line of text")
    first = (await rig.decide(caption="a caption"))["id"]
    assert "recalled" not in (await page(rig, f"/decisions/{first}")).text
    again = await as_it_were(rig, first, findings={"recalled": ("ocr", "probes.violence")})
    shown = (await page(rig, f"/decisions/{again}")).text
    assert "<code>ocr</code>, <code>probes.violence</code>" in shown
    marked = re.findall(r"<(?:h3|tr)>(?:<th scope=\"row\">)?([\w ]+)(?:(?!</h3>|</tr>).)*recalled</span>", shown, re.S)
    assert [one.strip() for one in marked] == ["violence", "Text in the picture"]


async def test_the_surface_is_shown_and_whether_it_has_rules_of_its_own(rig: Rig) -> None:
    rig.p["violence"] = 0.7
    await rig.decide(surface="chat")
    own = POLICY + "surfaces:\n  avatar:\n    thresholds: {review: 0.6}\n"
    await rig.ruleset.put(own.encode(), expected=None, author="key-x", why=None)
    plain, avatar = await rig.decide(surface="chat"), await rig.decide(surface="avatar")
    assert (plain["surface"], avatar["surface"]) == (None, "avatar")
    shown = (await page(rig, f"/decisions/{plain['id']}")).text
    assert "chat" in shown.split("<dt>Surface</dt>")[1].split("</div>")[0]
    assert "as the whole platform" in shown
    assert "as on" not in shown
    shown = (await page(rig, f"/decisions/{avatar['id']}")).text
    assert "with its own thresholds and rules" in shown
    assert "possible-violence</code>" in shown.split("as on avatar")[0].rsplit("<summary>", 1)[1]
    queue = (await page(rig, "/review")).text
    assert re.findall(r"surface </span>(\w+)<", queue) == ["chat", "chat", "avatar"]
