"""An upload goes in, a reasoned decision comes out: over HTTP, through every room, with nothing replaced."""

import io
import json
import threading
import time

import httpx
import pytest
import skimage
from PIL import Image

from tests.service.conftest import READY_WITHIN_S, SAMPLES, Service, wait_until


def innocent_page() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(skimage.data.page()).save(buffer, "PNG")
    return buffer.getvalue()


def never_seen() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(skimage.data.camera()[:200, :300]).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_picture_with_a_listed_term_is_rejected_with_term_list_line_and_box(service: Service) -> None:
    response = service.moderate(SAMPLES / "forged-papers.png")
    assert response.status_code == 200, response.text
    decision = response.json()
    assert (decision["outcome"], decision["passed"], decision["degraded"]) == ("reject", False, False)
    match = decision["findings"]["keywords"]["matches"][0]
    assert match["list"] == "contraband"
    assert match["term"] == "fake passport"
    line = decision["findings"]["ocr"]["lines"][match["line"]]
    assert "fake passport" in line["text"].lower()
    start, stop = match["span"]
    assert line["text"][start:stop] == match["matched"]
    assert match["box"] == line["box"]
    (left, top), _, (right, bottom), _ = match["box"]
    assert 0 <= left < right <= decision["image"]["width"]
    assert 0 <= top < bottom <= decision["image"]["height"]


def test_an_innocent_page_of_text_is_passed(service: Service) -> None:
    decision = service.moderate(innocent_page()).json()
    assert decision["outcome"] == "pass", json.dumps(decision, indent=1)[:4000]
    assert len(decision["findings"]["ocr"]["text"]) > 100
    assert decision["violations"] == []


def test_every_probe_was_really_asked(service: Service) -> None:
    decision = service.moderate(SAMPLES / "bakery.png").json()
    probes = decision["findings"]["probes"]
    assert probes
    assert all(probe["status"] == "ok" and probe["mass"] > 0.9 for probe in probes.values()), probes
    assert len({round(probe["p"], 6) for probe in probes.values()}) > 1
    assert decision["findings"]["scene"]["status"] == "ok"
    assert decision["demo"] is True


def test_the_decision_can_be_read_again(service: Service) -> None:
    decision = service.moderate(SAMPLES / "bakery.png").json()
    with service.client() as client:
        assert client.get(f"/v1/decisions/{decision['id']}").json() == decision


def test_a_repeated_request_gets_the_first_answer(service: Service) -> None:
    picture = {"file": ("a.png", (SAMPLES / "bakery.png").read_bytes())}
    with service.client() as client:
        headers = {"Idempotency-Key": "upload-17"}
        first = client.post("/v1/moderate", files=picture, headers=headers).json()
        assert client.post("/v1/moderate", files=picture, headers=headers).json() == first
        other = client.post("/v1/moderate", files=picture, data={"caption": "else"}, headers=headers)
    assert other.status_code == 409
    assert other.json()["code"] == "idempotency_conflict"


def test_a_listed_term_in_the_caption_counts_too(service: Service) -> None:
    decision = service.moderate(SAMPLES / "bakery.png", caption="selling FAKE  PASSPORT, dm me").json()
    assert decision["outcome"] == "reject"
    assert decision["findings"]["keywords"]["matches"][0]["source"] == "caption"


def test_killing_the_engine_during_a_request_costs_nobody_an_answer(service: Service) -> None:
    service.wait_ready()
    answers: list[httpx.Response] = []
    uploads = [threading.Thread(target=lambda: answers.append(service.moderate(innocent_page()))) for _ in range(4)]
    for upload in uploads:
        upload.start()
    time.sleep(0.05)
    killed = service.engine_process()
    killed.kill()
    for upload in uploads:
        upload.join(timeout=60)
    assert [answer.status_code for answer in answers] == [200] * 4
    for answer in answers:
        decision = answer.json()
        assert decision["degraded"] or all(p["status"] == "ok" for p in decision["findings"]["probes"].values())
        assert decision["outcome"] == ("review" if decision["degraded"] else "pass")
    service.wait_ready()
    assert service.engine_process().pid != killed.pid
    after = service.moderate(innocent_page()).json()
    assert (after["outcome"], after["degraded"]) == ("pass", False)
    with service.client() as client:
        for answer in answers:
            assert client.get(f"/v1/decisions/{answer.json()['id']}").status_code == 200
        assert "portcullis_engine_restarts_total 1.0" in client.get("/metrics").text


def test_what_the_model_has_not_answered_by_the_deadline_is_review_never_pass(service: Service) -> None:
    service.wait_ready()
    engine = service.engine_process()
    engine.suspend()
    try:
        with service.client() as client:
            # One that nobody has sent before: what is known of a picture is not asked again.
            files = {"file": ("a.png", never_seen())}
            decision = client.post("/v1/moderate", params={"wait": "3"}, files=files).json()
            wait_until(lambda: not client.get("/readyz").is_success, "readiness tells of it", READY_WITHIN_S)
            told = client.get("/readyz").json()
    finally:
        engine.resume()
    assert told["engine"] in {"overdue", "restarting"}
    service.wait_ready()
    assert (decision["outcome"], decision["degraded"]) == ("review", True)
    assert "probes.violence: timeout" in " ".join(decision["degraded_by"])


def test_saving_the_policy_changes_the_next_decision_without_a_restart(service: Service) -> None:
    before = service.moderate(SAMPLES / "bakery.png").json()
    assert before["outcome"] == "pass"
    (service.rules_dir / "scams.txt").write_text(
        (service.rules_dir / "scams.txt").read_text() + "\nfresh bread every morning\n"
    )
    wait_until(
        lambda: service.moderate(SAMPLES / "bakery.png").json()["pins"]["ruleset"] != before["pins"]["ruleset"],
        "the new list decides",
    )
    after = service.moderate(SAMPLES / "bakery.png").json()
    assert after["outcome"] != "pass"
    assert after["findings"]["keywords"]["matches"][0]["list"] == "scams"


def test_a_broken_policy_changes_nothing_and_is_named(service: Service) -> None:
    good = service.policy.read_text()
    ruleset = service.moderate(SAMPLES / "bakery.png").json()["pins"]["ruleset"]
    service.policy.write_text(good + "\nrules: [oops\n")
    try:
        with service.client() as client:
            wait_until(
                lambda: (
                    "policies.yaml" in client.get("/v1/status").text
                    and '"problems":[]' not in client.get("/v1/status").text
                ),
                "the status names the broken file",
            )
        assert service.moderate(SAMPLES / "bakery.png").json()["pins"]["ruleset"] == ruleset
        checked = service.command("policy", "check")
        assert checked.returncode == 1
        assert "policies.yaml:" in checked.stdout
        assert "policy_rejected" in service.log()
    finally:
        service.policy.write_text(good)


def test_a_case_goes_from_review_to_verdict(service: Service) -> None:
    with service.client() as client:
        opened = service.moderate(SAMPLES / "bakery.png", caption="真人百家乐").json()
        assert opened["outcome"] == "review"
        assert client.get("/v1/reviews", params={"state": "open"}).json()["cases"]
        claimed = client.post("/v1/reviews/claim", json={"case_id": opened["case_id"]}).json()["case"]
        assert (claimed["state"], claimed["decision_id"]) == ("claimed", opened["id"])
        verdict = client.post(f"/v1/reviews/{opened['case_id']}/verdict", json={"outcome": "pass", "note": "a page"})
        assert verdict.status_code == 200, verdict.text
        assert verdict.json()["case"]["state"] == "decided"


def test_the_log_is_sealed_and_verifies(service: Service) -> None:
    made = service.moderate(SAMPLES / "bakery.png").json()["id"]
    with service.client() as client:
        wait_until(
            lambda: made in client.get("/v1/audit", params={"limit": 200}).text or _in_log(client, made), "sealed"
        )
        assert client.get("/v1/audit/verify").json()["sound"] is True
    verified = service.command("audit", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def _in_log(client: httpx.Client, subject: str) -> bool:
    after = 0
    while True:
        entries = client.get("/v1/audit", params={"after": after, "limit": 200}).json()["entries"]
        if any(subject in json.dumps(entry) for entry in entries):
            return True
        if not entries:
            return False
        after = entries[-1]["seq"]


def test_nothing_secret_or_seen_is_logged(service: Service) -> None:
    service.moderate(SAMPLES / "forged-papers.png", caption="a caption nobody else writes")
    log = service.log()
    assert service.key not in log
    assert "a caption nobody else writes" not in log
    assert "fake passport" not in log.lower().replace("forged-papers", "")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_operations_answer_without_a_key(service: Service, path: str) -> None:
    assert httpx.get(f"{service.url}{path}").status_code == 200
