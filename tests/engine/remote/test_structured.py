"""Generated JSON from a server that may or may not have held to the schema."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import Question, QuestionKind, Status
from app.engine.remote.engine import RemoteEngine
from app.engine.remote.structured import held_to, response_format
from app.engine.schema import schema_grammar
from tests.engine.jobs import all_answers, job
from tests.engine.remote.scripted import asking, completion, serving

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["cat", "dog", 1]},
        "count": {"type": "integer", "minimum": 0, "maximum": 9},
        "sure": {"type": ["boolean", "null"]},
        "parts": {
            "type": "array",
            "items": {"anyOf": [{"type": "string", "maxLength": 3}, {"type": "number"}]},
            "maxItems": 2,
        },
    },
}
TEXT = json.dumps(SCHEMA)
GOOD = {"kind": "cat", "count": 2, "sure": None, "parts": ["ear", 1.5]}


def said(**changes: Any) -> str | None:
    return held_to(json.dumps(GOOD | changes), TEXT)


def test_the_schema_is_one_that_engines_take() -> None:
    assert schema_grammar(TEXT)


def test_an_answer_is_compact_and_in_the_schemas_order() -> None:
    spread = json.dumps(dict(reversed(GOOD.items())), indent=2)
    assert held_to(f"\n{spread}\n", TEXT) == '{"kind":"cat","count":2,"sure":null,"parts":["ear",1.5]}'


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "cow"},
        {"kind": True},
        {"count": 10},
        {"count": 1.0},
        {"count": True},
        {"sure": 0},
        {"parts": ["four"]},
        {"parts": [1, 2, 3]},
        {"parts": [None]},
        {"parts": {}},
        {"more": 1},
    ],
)
def test_what_does_not_meet_it_is_no_answer(changes: dict[str, Any]) -> None:
    assert said(**changes) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The answer is {}",
        json.dumps({"kind": "cat"}),
        json.dumps(GOOD)[:-1],
        json.dumps(GOOD).replace("1.5", "NaN"),
        json.dumps(GOOD).replace("1.5", "1e999"),
        json.dumps(GOOD).replace('"ear"', '"\\ud800"'),
        json.dumps(GOOD)[:-1] + ', "kind": "dog"}',
        "[" * 100_000,
    ],
)
def test_what_is_not_json_is_no_answer(text: str) -> None:
    assert held_to(text, TEXT) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(0, 20) | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*GOOD, "x"]), inner, max_size=4),
        max_leaves=8,
    )
)
def test_whatever_comes_either_meets_it_or_is_none(value: Any) -> None:
    found = held_to(json.dumps(value), TEXT)
    assert found is None or json.loads(found).keys() == GOOD.keys()


def test_a_server_is_asked_for_all_properties_and_no_others() -> None:
    asked = response_format(json.dumps({"type": "array", "items": SCHEMA}))["json_schema"]
    items = asked["schema"]["items"]
    assert asked["strict"] is True
    assert items["required"] == list(SCHEMA["properties"])
    assert items["additionalProperties"] is False


@pytest.mark.parametrize(
    ("text", "status", "reason"),
    [
        (json.dumps(GOOD), Status.OK, None),
        ("no json", Status.FAILED, "schema_not_met"),
        (json.dumps(GOOD)[:9], Status.FAILED, "schema_not_met"),
    ],
)
async def test_an_engine_gives_only_what_meets_it(text: str, status: Status, reason: str | None) -> None:
    question = Question("q", QuestionKind.GENERATE, "What is it?", 64, json_schema=TEXT)
    async with serving(lambda _: completion(text)) as server, asking(server.config()) as engine:
        (answer,) = await all_answers(engine.ask(job([question])))
        assert server.requests[-1].json["response_format"] == response_format(TEXT)
    assert (answer.status, answer.reason) == (status, reason)


async def test_a_server_that_cannot_hold_to_it_gives_no_answer(remote_engine: RemoteEngine) -> None:
    """llama-cpp-python's own server knows `json_object` alone."""
    question = Question("q", QuestionKind.GENERATE, "Describe the image.", 8, json_schema=TEXT)
    (answer,) = await all_answers(remote_engine.ask(job([question])))
    assert (answer.status, answer.text) == (Status.FAILED, None)
    assert answer.reason in {"engine_refused", "engine_fault", "schema_not_met"}
