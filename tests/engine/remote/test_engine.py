"""The remote engine against a server that answers well, late, or not at all."""

import asyncio
import time
from collections.abc import Callable

import pytest

from app.domain import EngineJob, EngineState, Priority, Question, QuestionKind, Status
from app.engine.remote.engine import RemoteEngine
from app.errors import EngineUnavailable
from tests.engine.jobs import all_answers, caption, job, picture, probes
from tests.engine.remote.scripted import (
    MODEL,
    Request,
    agreeable,
    asking,
    completion,
    http,
    models,
    serving,
    until,
)


async def counted(count: Callable[[], int], wanted: int) -> None:
    await until(lambda: count() == wanted)


class Gate:
    """Answers when it is opened."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()

    async def __call__(self, request: Request) -> bytes:
        await self.opened.wait()
        return agreeable(request)


async def test_the_first_question_goes_alone_and_the_others_together_within_the_bound() -> None:
    first, others = Gate(), Gate()

    async def script(request: Request) -> bytes:
        return await (first if request.question == probes()[0].prompt else others)(request)

    async with serving(script) as server, asking(server.config(concurrency=4)) as engine:
        asked = asyncio.ensure_future(all_answers(engine.ask(job([caption(), *probes()]))))
        await until(lambda: server.under_way == 1)
        await asyncio.sleep(0.05)
        assert server.questions == [probes()[0].prompt], "a yes/no question, and nothing else before it is answered"
        first.opened.set()
        await until(lambda: server.under_way == 4)
        await asyncio.sleep(0.05)
        others.opened.set()
        answers = await asked
        assert {answer.status for answer in answers} == {Status.OK}
        assert server.questions[-1] == caption().prompt, "what is cheap and decides most comes first"
        assert server.most_at_once == 4


async def test_every_request_begins_with_the_same_picture_and_asks_for_the_likeliest() -> None:
    async with serving() as server, asking(server.config(top_logprobs=20)) as engine:
        await all_answers(engine.ask(job([probes()[0], caption(7)])))
        bodies = [request.json for request in server.requests if request.method == "POST" and not request.is_trial]
    beginnings = {(body["model"], str(body["messages"][0]["content"][0])) for body in bodies}
    assert len(beginnings) == 1
    assert bodies[0]["messages"][0]["content"][0]["image_url"]["url"].startswith("data:image/png;base64,")
    assert (bodies[0]["max_tokens"], bodies[0]["logprobs"], bodies[0]["top_logprobs"]) == (1, True, 20)
    assert (bodies[1]["max_tokens"], "logprobs" in bodies[1]) == (7, False)
    assert {body["temperature"] for body in bodies} == {0}


async def test_answers_come_as_the_server_gives_them() -> None:
    gate = Gate()

    async def script(request: Request) -> bytes:
        return await gate(request) if request.question == caption().prompt else agreeable(request)

    async with serving(script) as server, asking(server.config()) as engine:
        stream = engine.ask(job([probes()[0], caption()]))
        assert (await anext(stream)).question_id == "probe-0"
        gate.opened.set()
        assert (await anext(stream)).text == "a plain picture"


async def test_each_question_is_timed_out_for_itself() -> None:
    gate = Gate()

    async def script(request: Request) -> bytes:
        return await gate(request) if request.question == caption().prompt else agreeable(request)

    async with serving(script) as server, asking(server.config()) as engine:
        began = time.monotonic()
        await all_answers(engine.ask(job(probes()[:1])))
        # As patient as this machine is slow at the moment.
        patience_s = 3 + 20 * (time.monotonic() - began)
        answers = await all_answers(engine.ask(job([probes()[0], caption()], deadline_s=patience_s)))
        assert [(answer.question_id, answer.status, answer.reason) for answer in answers] == [
            ("probe-0", Status.OK, None),
            ("caption", Status.TIMEOUT, "deadline"),
        ]
        await until(lambda: server.under_way == 0)
        assert engine.info.state is EngineState.READY, "somebody's short deadline is not the server's fault"


async def test_a_request_has_a_bound_of_its_own() -> None:
    async with serving(Gate()) as server, asking(server.config(timeout_s=2.0)) as engine:
        answers = await all_answers(engine.ask(job(probes()[:1])))
        assert [(answer.status, answer.reason) for answer in answers] == [(Status.TIMEOUT, "engine_timeout")]


async def test_closing_the_answers_hangs_up() -> None:
    gate = Gate()
    async with serving(gate) as server, asking(server.config()) as engine:
        stream = engine.ask(job(probes()))
        waiting = asyncio.ensure_future(anext(stream))
        await until(lambda: server.under_way == 1)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await stream.aclose()
        await until(lambda: server.hung_up == 1)
        assert engine.info.queue_depth == 0
        assert len(server.questions) == 1


async def test_hanging_up_often_leaves_room_for_the_next() -> None:
    gate = Gate()
    async with serving(gate) as server, asking(server.config(concurrency=1)) as engine:
        for number in range(1, 21):
            waiting = asyncio.ensure_future(all_answers(engine.ask(job(probes()[:1]))))
            await counted(lambda: len(server.questions), number)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            await counted(lambda: server.hung_up, number)
        gate.opened.set()
        assert [answer.status for answer in await all_answers(engine.ask(job(probes()[:1])))] == [Status.OK]


async def test_cancelling_one_question_hangs_up_on_it_alone() -> None:
    gate = Gate()

    async def script(request: Request) -> bytes:
        return agreeable(request) if request.question == probes()[0].prompt else await gate(request)

    async with serving(script) as server, asking(server.config()) as engine:
        stream = engine.ask(job([*probes()[:2], caption()]))
        await anext(stream)
        await until(lambda: server.under_way == 2)
        stream.cancel({"caption"}, reason="decided")
        answer = await anext(stream)
        assert (answer.question_id, answer.status, answer.reason) == ("caption", Status.SKIPPED, "decided")
        await until(lambda: server.hung_up == 1)
        gate.opened.set()
        assert [answer.status for answer in await all_answers(stream)] == [Status.OK]


async def test_the_question_that_goes_first_may_be_cancelled() -> None:
    gate = Gate()

    async def script(request: Request) -> bytes:
        return await gate(request) if request.question == probes()[0].prompt else agreeable(request)

    async with serving(script) as server, asking(server.config()) as engine:
        stream = engine.ask(job(probes()[:3]))
        waiting = asyncio.ensure_future(anext(stream))
        await until(lambda: server.under_way == 1)
        stream.cancel({"probe-0"})
        assert (await waiting).status is Status.SKIPPED
        assert [answer.status for answer in await all_answers(stream)] == [Status.OK] * 2


async def test_synchronous_jobs_go_before_bulk() -> None:
    gate = Gate()

    def with_priority(priority: Priority, text: str) -> EngineJob:
        question = Question(text, QuestionKind.YES_NO, text)
        return EngineJob(text, picture(), (question,), time.monotonic() + 60, priority)

    async with serving(gate) as server, asking(server.config(concurrency=1)) as engine:
        asked = [asyncio.ensure_future(all_answers(engine.ask(with_priority(Priority.BULK, "first"))))]
        await until(lambda: server.under_way == 1)
        for priority, text in ((Priority.BULK, "bulk"), (Priority.SYNCHRONOUS, "upload")):
            asked.append(asyncio.ensure_future(all_answers(engine.ask(with_priority(priority, text)))))
        await asyncio.sleep(0.1)
        gate.opened.set()
        await asyncio.gather(*asked)
        assert server.questions == ["first", "upload", "bulk"]


async def test_a_job_that_comes_while_the_server_is_tried_waits_for_it() -> None:
    gate = Gate()
    async with serving(gate, everything=True) as server, asking(server.config(), ready=False) as engine:
        asked = asyncio.ensure_future(all_answers(engine.ask(job(probes()[:1]))))
        await until(lambda: server.under_way == 1)
        assert engine.info.state is EngineState.STARTING
        gate.opened.set()
        assert [answer.status for answer in await asked] == [Status.OK]


async def test_many_failures_open_the_breaker_and_a_trial_closes_it() -> None:
    broken = True

    def script(request: Request) -> bytes:
        return http(500) if broken else agreeable(request)

    async with serving(script, everything=True) as server:
        broken = False
        async with asking(server.config(failures_to_open=3)) as engine:
            broken = True
            answers = await all_answers(engine.ask(job(probes())))
            assert [answer.reason for answer in answers] == ["engine_fault"] * 3 + ["engine_unavailable"] * 9
            assert len(server.questions) == 5, "two tell that it was not the picture's fault, and then all count"
            assert engine.info.state is EngineState.FAILED
            assert "500" in (engine.info.detail or "")
            asked = len(server.questions)
            refused = await all_answers(engine.ask(job(probes()[:2])))
            assert [(answer.status, answer.reason) for answer in refused] == [(Status.FAILED, "engine_unavailable")] * 2
            assert len(server.questions) == asked, "a server that is down is not asked for people"
            broken = False
            await until(lambda: engine.info.state is EngineState.READY)
            assert [answer.status for answer in await all_answers(engine.ask(job(probes()[:1])))] == [Status.OK]


async def test_a_server_that_fails_at_all_but_its_trial_is_back_at_once() -> None:
    def script(_: Request) -> bytes:
        return http(500)

    async with serving(script) as server, asking(server.config(failures_to_open=3, first_pause_s=3600)) as engine:
        await all_answers(engine.ask(job(probes()[:3])))
        await until(lambda: engine.info.state is EngineState.READY)


async def test_successes_between_failures_keep_it_closed() -> None:
    def script(request: Request) -> bytes:
        return http(500) if "weapons" in request.question or "alcohol" in request.question else agreeable(request)

    async with serving(script) as server, asking(server.config(failures_to_open=2, concurrency=1)) as engine:
        for _ in range(3):
            answers = await all_answers(engine.ask(job(probes()[:5])))
            assert [answer.status for answer in answers].count(Status.FAILED) == 2
        assert engine.info.state is EngineState.READY


async def test_a_server_that_is_not_there_is_a_state_and_is_found_when_it_comes() -> None:
    async with serving() as server:
        config = server.config()
    async with asking(config, ready=False) as engine:
        with pytest.raises(EngineUnavailable, match="cannot be reached"):
            await engine.wait_ready(30.0)
        assert {answer.reason for answer in await all_answers(engine.ask(job(probes())))} == {"engine_unavailable"}
        async with serving(port=server.port):
            await until(lambda: engine.info.state is EngineState.READY)


async def test_a_server_of_which_nothing_is_heard_is_looked_after() -> None:
    async with serving() as server:
        config = server.config(look_every_s=0.05)
        engine = RemoteEngine(config)
        await engine.start()
        await engine.wait_ready(30.0)
    try:
        await until(lambda: engine.info.state is EngineState.FAILED)
    finally:
        await engine.aclose()


async def test_a_server_that_comes_to_serve_another_model_is_not_asked() -> None:
    name = MODEL

    def script(request: Request) -> bytes:
        return models(name) if request.method == "GET" else agreeable(request)

    async with serving(script, everything=True) as server, asking(server.config(look_every_s=0.05)) as engine:
        name = "org/other"
        await until(lambda: engine.info.state is EngineState.FAILED)
        assert "does not serve 'org/model'" in (engine.info.detail or "")
        assert engine.info.model_pin == "unverified:org/model"


@pytest.mark.parametrize(
    ("wanted", "served", "problem"),
    [
        (None, ("a", "b"), "serves several models: set PORTCULLIS_ENGINE_MODEL (it has a, b)"),
        ("c", ("a", "b"), "does not serve 'c' (it has a, b)"),
    ],
)
async def test_the_model_must_be_there(wanted: str | None, served: tuple[str, ...], problem: str) -> None:
    def script(request: Request) -> bytes:
        return models(*served) if request.method == "GET" else agreeable(request)

    async with serving(script, everything=True) as server, asking(server.config(model=wanted), ready=False) as engine:
        with pytest.raises(EngineUnavailable) as raised:
            await engine.wait_ready(30.0)
        assert problem in raised.value.detail


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (completion("Yes"), "answers without top_logprobs"),
        (
            http(400, {"error": {"message": "logprobs must be \x1b[31m≤ 20"}}),
            "refuses the request (400): logprobs must be",
        ),
        (http(401), "refuses the key (401)"),
        (http(404), "no such path or model (404)"),
        (http(307, Location="http://127.0.0.1:1/"), "redirects are not followed"),
        (http(200, b"<html>"), "no chat completion"),
        (http(503), "the server answers 503"),
    ],
)
async def test_what_a_server_cannot_do_is_said_when_it_is_tried(answer: bytes, problem: str) -> None:
    def script(request: Request) -> bytes:
        return models() if request.method == "GET" else answer

    async with serving(script, everything=True) as server, asking(server.config(), ready=False) as engine:
        with pytest.raises(EngineUnavailable) as raised:
            await engine.wait_ready(30.0)
        assert problem in raised.value.detail
        assert raised.value.detail.isprintable()


async def test_a_server_that_stops_telling_logarithms_is_no_engine_any_more() -> None:
    dumb = False

    def script(request: Request) -> bytes:
        return completion("Yes") if dumb and request.method == "POST" else agreeable(request)

    async with serving(script, everything=True) as server, asking(server.config(failures_to_open=2)) as engine:
        dumb = True
        answers = await all_answers(engine.ask(job(probes()[:2])))
        assert [(answer.status, answer.reason) for answer in answers] == [(Status.FAILED, "no_logprobs")] * 2
        assert engine.info.state is EngineState.FAILED


async def test_nothing_is_asked_of_an_engine_that_is_closed() -> None:
    async with serving() as server:
        engine = RemoteEngine(server.config())
        assert {answer.reason for answer in await all_answers(engine.ask(job(probes())))} == {"engine_unavailable"}
        await engine.start()
        await engine.wait_ready(30.0)
        await engine.aclose()
        assert engine.info.state is EngineState.STOPPED
        assert {answer.reason for answer in await all_answers(engine.ask(job(probes())))} == {"engine_unavailable"}


async def test_closing_ends_who_waits() -> None:
    async with serving(Gate()) as server:
        engine = RemoteEngine(server.config())
        await engine.start()
        await engine.wait_ready(30.0)
        asked = asyncio.ensure_future(all_answers(engine.ask(job(probes()[:3]))))
        await until(lambda: server.under_way == 1)
        await engine.aclose()
        assert {answer.reason for answer in await asked} == {"engine_unavailable"}


async def test_one_lost_connection_is_no_outage() -> None:
    lost = [b""]

    def script(request: Request) -> bytes:
        return lost.pop() if lost and request.method == "POST" else agreeable(request)

    async with serving(script, everything=True) as server, asking(server.config()) as engine:
        assert engine.info.state is EngineState.READY
