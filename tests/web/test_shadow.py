"""The policy page's section on what is tried beside the live policy."""

import re

from tests.http.rig import POLICY, Rig

HTML = "text/html,application/xhtml+xml"
NASTY = "<script>alert(1)</script>\"'&"
STRICT = POLICY.replace("reject: 0.9", "reject: 0.6") + f"# {NASTY}\n"


async def page(rig: Rig, path: str = "/policy") -> str:
    async with rig.client("policy", accept=HTML) as client:
        answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.text


async def test_without_a_trial_it_says_how_to_begin_one(rig: Rig) -> None:
    shown = await page(rig)
    assert "No shadow policy." in shown
    assert "End the trial" not in shown


async def test_it_shows_what_would_have_changed_and_links_to_decisions(rig: Rig) -> None:
    await rig.shadow.put(STRICT.encode(), author="key-x", why=NASTY)
    rig.p["violence"] = 0.7
    changed = await rig.decide()
    rig.p["violence"] = 0.1
    await rig.decide()
    await rig.comparing.drain()
    shown = await page(rig, "/policy?span=7d")
    assert "2 decisions compared: 1 would have been decided otherwise" in shown
    assert "1 review → reject" in shown
    assert f'href="/decisions/{changed["id"]}"' in shown
    assert shown.count('class="share pass"') == 2
    assert "<script>alert" not in shown
    assert not re.search(r"\sstyle=|<style|\son[a-z]+=|javascript:", shown)
    assert "<img" not in shown.split('id="h-shadow"')[1], "uploads are shown by the guarded component alone"
    assert "<strong>1d</strong>" in await page(rig, "/policy?span=nonsense")


async def test_what_cannot_be_compared_is_said(rig: Rig) -> None:
    new = POLICY.replace("ask: [en]", "ask: [en, zh]").replace(
        'questions: {en: "Does this image show violence? Answer Yes or No."}',
        'questions: {en: "Does this image show violence? Answer Yes or No.", zh: "有暴力吗？"}',
    )
    await rig.shadow.put(new.encode(), author="key-x", why=None)
    rig.p["violence"] = 0.1
    await rig.decide()
    await rig.comparing.drain()
    shown = await page(rig)
    assert "1 cannot be compared" in shown
    assert "<code>scores.violence</code> (1)" in shown


async def test_a_trial_is_ended_on_the_page(rig: Rig) -> None:
    entry = await rig.shadow.put(STRICT.encode(), author="key-x", why=None)
    live = rig.ruleset.current.policy_digest
    async with rig.client("policy", accept=HTML) as client:
        stale = await client.post("/policy/shadow/promote", data={"live": "sha256:0", "shadow": entry.policy_digest})
        assert stale.status_code == 412
        long = await client.post("/policy/shadow/remove", data={"why": "x" * 501})
        assert long.status_code == 400
        form = {"live": live, "shadow": entry.policy_digest, "why": "it held"}
        done = await client.post("/policy/shadow/promote", data=form)
        assert (done.status_code, done.headers["location"]) == (303, "/policy?notice=promoted")
    assert rig.ruleset.current.policy_digest == entry.policy_digest
    await rig.shadow.put(POLICY.encode(), author="key-x", why=None)
    async with rig.client("policy", accept=HTML) as client:
        gone = await client.post("/policy/shadow/remove", data={})
    assert gone.headers["location"] == "/policy?notice=removed"
    assert "No shadow policy is tried any more." in await page(rig, "/policy?notice=removed")


async def test_only_policy_owners_end_it(rig: Rig) -> None:
    await rig.shadow.put(STRICT.encode(), author="key-x", why=None)
    async with rig.client("review", accept=HTML) as client:
        assert (await client.post("/policy/shadow/remove", data={})).status_code == 403
