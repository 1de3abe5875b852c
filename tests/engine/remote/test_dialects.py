"""What vLLM, SGLang and llama-server make of one protocol, by their sources (docs/engine.md): none of them runs."""

import math
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.domain import Answer, EngineState, Status
from app.errors import EngineUnavailable
from tests.engine.jobs import all_answers, caption, job, probes
from tests.engine.remote.scripted import YES, Request, Script, agreeable, asking, http, listed, models, serving

ONE = probes()[:1]


def said(
    message: dict[str, Any], finish: str | None = "stop", *, logprobs: Any = None, usage: Any = None, **more: Any
) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish, "logprobs": logprobs}
    return http(200, {"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice], "usage": usage, **more})


def entry(token: str, p: float, **more: Any) -> dict[str, Any]:
    return {"token": token, "logprob": math.log(p), "bytes": list(token.encode()), **more}


TOP = [("Yes", 0.7), ("No", 0.2), ("\ufffd", 0.0999)]

#: Each as its server writes it: fields of its own, and the sampled token beside the list.
YES_NO = {
    "vLLM": said(
        {"content": "Yes", "refusal": None, "annotations": None, "reasoning": None},
        "length",
        logprobs={"content": [entry("Yes", 0.7) | {"top_logprobs": [entry(*one) for one in TOP]}]},
        usage={"prompt_tokens": 90, "total_tokens": 91, "completion_tokens": 1, "prompt_tokens_details": None},
        prompt_logprobs=None,
        kv_transfer_params=None,
        service_tier=None,
    ),
    "SGLang": said(
        {"content": "Yes", "reasoning_content": None, "tool_calls": None},
        "length",
        logprobs={"content": [entry("Yes", 0.7) | {"top_logprobs": [entry(*one) for one in TOP]}]},
        usage={"prompt_tokens": 90, "total_tokens": 91, "completion_tokens": 1, "reasoning_tokens": 0},
        metadata={"weight_version": "default"},
    ),
    "llama-server": said(
        {"content": "Yes"},
        "length",
        logprobs={
            "content": [
                entry("Yes", 0.7, id=9, top_logprobs=[entry(token, p, id=n) for n, (token, p) in enumerate(TOP)])
            ]
        },
        usage={"completion_tokens": 1, "prompt_tokens": 90, "total_tokens": 91},
        timings={"prompt_n": 90, "predicted_n": 1},
        system_fingerprint="b1-0",
    ),
}


async def answer_of(answer: bytes, *questions: Any, **changes: Any) -> tuple[Answer, list[str]]:
    """To one question, and what the server was asked."""
    async with serving(lambda _: answer) as server, asking(server.config(**changes)) as engine:
        (found,) = await all_answers(engine.ask(job(list(questions) or ONE)))
        return found, server.questions


@pytest.mark.parametrize("answer", YES_NO.values(), ids=YES_NO.keys())
async def test_yes_and_no_are_read_in_every_dialect(answer: bytes) -> None:
    found, _ = await answer_of(answer)

    assert found.status is Status.OK
    assert [found.log_yes, found.log_no] == pytest.approx([math.log(0.7), math.log(0.2)])


@pytest.mark.parametrize("content", ["", None], ids=["empty", "null"])
async def test_no_word_at_all_is_an_answer(content: str | None) -> None:
    """To what the picture says, say. SGLang counts the token that ends it, and wrote null for it until lately."""
    found, _ = await answer_of(said({"content": content}, usage={"completion_tokens": 1}), caption())

    assert (found.status, found.text, found.truncated) == (Status.OK, "", False)


@pytest.mark.parametrize(
    ("message", "finish", "usage"),
    [
        ({"content": None}, "stop", None),
        ({"content": None}, "stop", {"completion_tokens": 16}),
        ({"content": None}, "length", {"completion_tokens": 1}),
        ({"content": None, "refusal": "no"}, "stop", {"completion_tokens": 1}),
        ({"content": None, "tool_calls": [{"id": "1"}]}, "stop", {"completion_tokens": 1}),
    ],
    ids=["nothing known", "words elsewhere", "cut", "refusal", "tool"],
)
async def test_null_is_no_answer_where_something_was_said(message: dict[str, Any], finish: str, usage: Any) -> None:
    found, _ = await answer_of(said(message, finish, usage=usage), caption())

    assert (found.status, found.reason, found.text) == (Status.FAILED, "malformed_answer", None)


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
@pytest.mark.parametrize("content", ["", None, "\n\n"])
async def test_thoughts_that_took_all_tokens_are_no_answer(field: str, content: str | None) -> None:
    """Cut short, they leave an empty text that would say: there is nothing in this picture."""
    answer = said({"content": content, field: "The user wants"}, "length", usage={"completion_tokens": 16})

    found, _ = await answer_of(answer, caption())

    assert (found.status, found.reason, found.text) == (Status.FAILED, "only_thought", None)


async def test_what_comes_after_a_thought_is_an_answer() -> None:
    found, _ = await answer_of(said({"content": "a cat", "reasoning_content": "It has whiskers."}), caption())

    assert (found.status, found.text) == (Status.OK, "a cat")


@pytest.mark.parametrize("finish", ["abort", "error"])
@pytest.mark.parametrize("question", [*ONE, caption()], ids=["yes/no", "text"])
async def test_what_a_server_gave_up_is_asked_again_and_never_half_an_answer(finish: str, question: Any) -> None:
    given_up = said({"content": "a pla"}, finish, logprobs={"content": []})

    found, asked = await answer_of(given_up, question)

    assert (found.status, found.reason, found.text) == (Status.FAILED, "engine_fault", None)
    assert len(asked) == 4


SAID = {
    "vLLM": {"error": {"message": "at most 20", "type": "BadRequestError", "param": "logprobs", "code": 400}},
    "SGLang": {"object": "error", "message": "at most 20", "type": "BadRequestError", "param": None, "code": 400},
    "llama-server": {"error": {"code": 400, "message": "at most 20", "type": "invalid_request_error"}},
    "FastAPI": {"detail": [{"type": "value_error", "loc": ["body", "top_logprobs"], "msg": "at most 20"}]},
}


@pytest.mark.parametrize("body", SAID.values(), ids=SAID.keys())
async def test_the_operator_is_told_in_the_servers_own_words(body: dict[str, Any]) -> None:
    def script(request: Request) -> bytes:
        return models() if request.method == "GET" else http(400, body)

    async with serving(script, everything=True) as server, asking(server.config(), ready=False) as engine:
        with pytest.raises(EngineUnavailable) as raised:
            await engine.wait_ready(30.0)
    assert raised.value.detail.endswith("(400): at most 20")


def trial(answer: bytes) -> Script:
    return lambda request: models() if request.method == "GET" else answer


async def test_a_server_that_lists_its_choice_as_certain_is_none() -> None:
    """vLLM with `--logprobs-mode processed_logprobs`, where the model's own defaults leave one token."""
    certain = listed(Yes=0.0, No=-9999.0, a=-9999.0)

    async with serving(trial(certain), everything=True) as server, asking(server.config(), ready=False) as engine:
        with pytest.raises(EngineUnavailable, match="as certain instead of the model's logprobs"):
            await engine.wait_ready(30.0)


@pytest.mark.parametrize(
    ("answer", "warned"), [(listed(**YES), False), (listed(**{"<think>": -0.001, "Yes": -7.0}), True)]
)
async def test_a_model_that_answers_its_trial_with_something_else_is_warned_of(answer: bytes, warned: bool) -> None:
    with capture_logs() as lines:
        async with serving(trial(answer), everything=True) as server, asking(server.config()) as engine:
            assert engine.info.state is EngineState.READY
    assert ("engine.trial_unclear" in {line["action"] for line in lines}) is warned


async def test_a_request_that_a_proxy_lost_patience_with_is_sent_again() -> None:
    left = [http(408)]

    def script(request: Request) -> bytes:
        return left.pop() if left else agreeable(request)

    async with serving(script) as server, asking(server.config()) as engine:
        (found,) = await all_answers(engine.ask(job(ONE)))
    assert found.status is Status.OK
    assert len(server.questions) == 2
