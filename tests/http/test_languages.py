"""Reasons in the language that was asked for."""

import json
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.http.languages import best_language, wanted_languages
from tests.http.rig import POLICY, Rig, picture

EN, ZH, DE = "The text offers forbidden goods.", "文字中出售违禁品。", "Der Text bietet verbotene Ware an."
BODY = {"image": {"base64": b64encode(picture()).decode()}, "caption": "办假证"}


@pytest.fixture
async def spoken(rig: Rig) -> Rig:
    """The rig, with one rule that speaks three languages."""
    policy = POLICY.replace(f"{{en: {EN}}}", f"{{en: {EN}, zh: {ZH}, de-AT: {DE}}}").encode()
    await rig.ruleset.put(
        policy, author="key-policy", why="three languages", force=True, expected=rig.ruleset.current.policy_digest
    )
    return rig


async def ask(rig: Rig, language: str | None = None, **headers: str) -> dict[str, Any]:
    if language is not None:
        headers["Accept-Language"] = language
    async with rig.client("moderate") as client:
        answer = await client.post("/v1/moderate", json=BODY, headers=headers)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (None, EN),
        ("zh-TW, en;q=0.5", ZH),
        ("de", DE),
        ("fr, DE-at;q=0.9, zh;q=0.2", DE),
        ("fr", EN),
        ("zh;q=0", EN),
        ("zh;q=much, \\;;,", EN),
    ],
)
async def test_the_reason_is_in_the_language_that_is_asked_for(spoken: Rig, asked: str | None, reason: str) -> None:
    violation = (await ask(spoken, asked))["violations"][0]
    assert violation["reason"] == reason
    assert violation["reasons"] == {"en": EN, "zh": ZH, "de-AT": DE}


async def test_a_repeated_request_gets_the_same_decision_in_its_own_language(spoken: Rig) -> None:
    key = {"Idempotency-Key": "one"}
    first, again, other = await ask(spoken, "zh", **key), await ask(spoken, "zh", **key), await ask(spoken, **key)
    assert again == first
    assert (first["violations"][0]["reason"], other["violations"][0]["reason"]) == (ZH, EN)
    for answer in (first, other):
        answer["violations"][0].pop("reason")
    assert other == first


async def test_what_is_stored_speaks_the_policys_language_and_is_read_in_any(spoken: Rig) -> None:
    made = await ask(spoken, "zh")
    assert (await spoken.decisions.find(made["id"])).violations[0].reason == EN
    async with spoken.client("moderate", **{"Accept-Language": "zh"}) as client:
        one = (await client.get(f"/v1/decisions/{made['id']}")).json()
        page = (await client.get("/v1/decisions")).json()
    assert one == made
    assert page["decisions"] == [made]


async def test_a_decision_from_before_there_were_languages_keeps_its_reason(spoken: Rig) -> None:
    made = await ask(spoken)
    text = (await spoken.decisions.find(made["id"])).model_dump(mode="json")
    del text["violations"][0]["reasons"]
    decision = (await spoken.decisions.find(made["id"])).model_validate(text)
    assert (decision.violations[0].reason, decision.violations[0].reasons) == (EN, {})


def test_the_most_wanted_is_first_and_equals_keep_their_order() -> None:
    assert wanted_languages("a;q=0.1, b, c;q=1.0, d;q=0.5") == ("b", "c", "d", "a")
    assert wanted_languages("fr, *;q=0.5, en;q=0.1") == ("fr",)
    assert wanted_languages("x;q=2, y;q=nan, z;q=-1") == ()


@pytest.mark.parametrize(
    ("wanted", "given_", "best"),
    [
        (["zh-hant-tw"], ["zh", "zh-Hant"], "zh-Hant"),
        (["zh"], ["en", "zh-Hans", "zh-Hant"], "zh-Hans"),
        (["zh-hant"], ["zh-Hans"], None),
        (["z"], ["zh"], None),
        ([], ["en"], None),
    ],
)
def test_languages_are_met_from_the_particular_to_the_general(
    wanted: list[str], given_: list[str], best: str | None
) -> None:
    assert best_language(wanted, given_) == best


@settings(max_examples=60)
@given(st.text(alphabet="azAZ-,;=q.019* é\t", max_size=1200))
def test_any_header_is_taken(header: str) -> None:
    wanted = wanted_languages(header)
    assert all(wanted)
    assert best_language(wanted, ["az", "en"]) in ("az", "en", None)


async def test_a_statement_is_in_the_answer_and_not_in_the_audit_log(rig: Rig) -> None:
    words = f"{{ground: terms, clause: Terms 4.2, facts: {{en: {DE}, zh: {ZH}}}}}"
    reason = f"    reason: {{en: {EN}}}\n"
    policy = POLICY.replace(reason, f"{reason}    statement: {words}\n").encode()
    await rig.ruleset.put(policy, author="key-policy", why=None, force=True, expected=None)
    made = await ask(rig, "zh")
    assert made["violations"][0]["statement"] == {
        "ground": "terms",
        "clause": "Terms 4.2",
        "facts": {"en": DE, "zh": ZH},
        "redress": None,
        "automated": True,
    }
    assert (await rig.decisions.find(made["id"])).model_dump(mode="json")["violations"][0]["statement"]["automated"]
    logged = json.dumps(await rig.events(), ensure_ascii=False)
    assert "contraband-for-sale" in logged
    assert not [text for text in (DE, ZH, "Terms 4.2") if text in logged]
