"""What a server refuses for the picture's sake, and what for a question's."""

import asyncio
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from app.domain import EngineState, Question, QuestionKind, Status, WrittenText
from app.engine.base import ModelFiles
from app.engine.remote.config import RemoteConfig, server_url
from app.engine.remote.grey import grey
from tests.engine.jobs import all_answers, caption, job, picture, probes
from tests.engine.remote.scripted import Request, Script, agreeable, asking, completion, http, serving, until
from tests.engine.remote.servers import llama_cpp_server

BARE = "?"


def spared() -> float:
    return REGISTRY.get_sample_value("portcullis_engine_spared_requests_total") or 0.0


def at(picture_answer: bytes) -> Script:
    """Answers this about every picture but the one that servers are tried with."""

    def script(request: Request) -> bytes:
        return agreeable(request) if grey() in request.body else picture_answer

    return script


def lost() -> float:
    return REGISTRY.get_sample_value("portcullis_engine_lost_total") or 0.0


REFUSALS = {
    "vLLM": http(400, {"error": {"message": "too long", "type": "BadRequestError", "param": None, "code": 400}}),
    "SGLang": http(400, {"object": "error", "message": "no picture", "type": "BadRequestError", "code": 400}),
    "llama-server": http(400, {"error": {"code": 400, "message": "too large", "type": "exceed_context_size_error"}}),
    "FastAPI": http(422, {"detail": [{"loc": ["body"], "msg": "not so"}]}),
    "a proxy": http(413, b"<html>too large</html>"),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
async def test_a_picture_that_is_refused_costs_two_requests(refusal: bytes) -> None:
    before = spared()
    async with serving(at(refusal)) as server, asking(server.config()) as engine:
        answers = await all_answers(engine.ask(job([*probes(), caption()])))

        assert [(answer.status, answer.reason) for answer in answers] == [(Status.FAILED, "engine_refused")] * 13
        assert server.questions == [probes()[0].prompt, BARE]
        assert spared() - before == 12
        assert engine.info.state is EngineState.READY


async def test_the_barest_question_has_nothing_that_could_be_refused_by_itself() -> None:
    async with serving(at(http(400))) as server, asking(server.config()) as engine:
        await all_answers(engine.ask(job(probes())))
    first, bare = (request.json for request in server.requests if request.method == "POST" and not request.is_trial)
    assert bare["messages"][0]["content"][0] == first["messages"][0]["content"][0]
    assert bare.keys() == {"model", "messages", "temperature", "top_p", "stream", "max_tokens"}
    assert bare["max_tokens"] == 1


async def test_a_question_that_is_refused_fails_alone() -> None:
    def script(request: Request) -> bytes:
        return http(400) if request.question == probes()[0].prompt else agreeable(request)

    async with serving(script) as server, asking(server.config()) as engine:
        answers = {answer.question_id: answer for answer in await all_answers(engine.ask(job(probes())))}

    assert answers.pop("probe-0").reason == "engine_refused"
    assert {answer.status for answer in answers.values()} == {Status.OK}
    assert server.questions[:2] == [probes()[0].prompt, BARE]
    assert sorted(server.questions) == sorted([BARE, *(question.prompt for question in probes())])


async def test_questions_that_are_refused_one_and_all_cost_one_more_request() -> None:
    def script(request: Request) -> bytes:
        return agreeable(request) if request.question == BARE else http(400)

    async with serving(script) as server, asking(server.config()) as engine:
        answers = await all_answers(engine.ask(job(probes())))

    assert {answer.reason for answer in answers} == {"engine_refused"}
    assert len(server.questions) == len(probes()) + 1


@pytest.mark.parametrize("unsure", [http(503), http(429), http(404), http(401), b""])
async def test_what_cannot_be_told_loses_no_answer(unsure: bytes) -> None:
    def script(request: Request) -> bytes:
        if request.question == BARE:
            return unsure
        return http(400) if request.question == probes()[0].prompt else agreeable(request)

    async with serving(script) as server, asking(server.config(attempts=1)) as engine:
        answers = {answer.question_id: answer for answer in await all_answers(engine.ask(job(probes())))}

    assert answers.pop("probe-0").reason == "engine_refused"
    assert {answer.status for answer in answers.values()} == {Status.OK}
    assert server.questions.count(BARE) == 1


async def test_for_one_question_that_is_left_nothing_more_is_asked() -> None:
    async with serving(at(http(400))) as server, asking(server.config()) as engine:
        await all_answers(engine.ask(job(probes()[:2])))
    assert server.questions == [question.prompt for question in probes()[:2]]


async def test_a_picture_that_a_server_fails_at_takes_it_from_nobody_else() -> None:
    """Not by a handful of failures that open the breaker: one upload could do that again and again."""
    async with serving(at(http(500))) as server, asking(server.config(failures_to_open=3)) as engine:
        for _ in range(3):
            answers = await all_answers(engine.ask(job(probes())))
            assert [(answer.status, answer.reason) for answer in answers] == [(Status.FAILED, "engine_fault")] * 12
            assert engine.info.state is EngineState.READY
    assert server.questions == [probes()[0].prompt, BARE, BARE] * 3


@pytest.mark.parametrize(("questions", "at_once"), [(1, 3), (12, 1), (12, 3), (12, 8)])
@pytest.mark.parametrize("fault", [http(500), completion("a pla", finish="abort")], ids=["500", "given up"])
async def test_with_the_defaults_no_picture_opens_the_breaker(fault: bytes, questions: int, at_once: int) -> None:
    """One of a single question counts once; where it is looked into whose fault it is, not even many at once do."""
    before = lost()
    async with serving(at(fault)) as server, asking(server.config()) as engine:
        jobs = [engine.ask(job(probes()[:questions], picture(seed))) for seed in range(at_once)]
        answers = await asyncio.gather(*map(all_answers, jobs))

    assert {answer.reason for one in answers for answer in one} == {"engine_fault"}
    assert lost() == before


async def test_with_the_defaults_a_server_that_fails_at_any_picture_is_given_up() -> None:
    before = lost()
    async with serving(lambda _: http(500)) as server, asking(server.config()) as engine:
        await all_answers(engine.ask(job(probes())))

    assert lost() > before


async def test_a_server_that_fails_at_any_picture_is_down_and_nobody_blames_one() -> None:
    before = spared()
    async with serving(lambda _: http(500)) as server, asking(server.config(failures_to_open=99)) as engine:
        answers = await all_answers(engine.ask(job(probes())))
    assert {answer.reason for answer in answers} == {"engine_fault"}
    assert sorted(server.questions) == sorted([BARE, BARE, *(question.prompt for question in probes())])
    assert spared() == before


async def test_a_text_that_is_refused_costs_two_requests() -> None:
    async with serving(lambda _: http(400)) as server, asking(server.config()) as engine:
        answers = await all_answers(engine.ask(job(probes(), WrittenText("hello"))))
    assert {answer.reason for answer in answers} == {"engine_refused"}
    assert len([request for request in server.requests if request.method == "POST" and b"hello" in request.body]) == 2


async def test_who_goes_while_a_picture_is_looked_into_hangs_up() -> None:
    async def script(request: Request) -> bytes:
        if request.question == BARE:
            await asyncio.Event().wait()
        return http(400)

    async with serving(script) as server, asking(server.config(concurrency=1)) as engine:
        stream = engine.ask(job(probes()))
        assert (await anext(stream)).reason == "engine_refused"
        waiting = asyncio.ensure_future(all_answers(stream))
        await until(lambda: server.under_way == 1)
        stream.cancel({question.id for question in probes()})
        assert {answer.status for answer in await waiting} == {Status.SKIPPED}
        await until(lambda: server.hung_up == 1)
        assert engine._slots.free == 1


class TestRealServer:
    """`llama_cpp.server` says 500 of all that is too long for it."""

    LONG = Question("long", QuestionKind.YES_NO, "Is this a dog? " * 200)

    async def test_a_picture_too_large_for_its_context_costs_three_requests_and_no_trust(
        self, demo: ModelFiles, tmp_path: Path
    ) -> None:
        log = tmp_path / "log.txt"
        with llama_cpp_server(demo, log, n_ctx="256") as url:
            async with asking(RemoteConfig(url=server_url(url), words=demo.words)) as engine:
                tried = log.read_text().count("POST /v1/chat/completions")
                large = await all_answers(engine.ask(job([*probes(), caption()], picture(0, 640, 640))))
                assert [(answer.status, answer.reason) for answer in large] == [(Status.FAILED, "engine_fault")] * 13
                assert log.read_text().count("POST /v1/chat/completions") - tried == 3
                small = await all_answers(engine.ask(job(probes()[:6], picture(0, 64, 64))))
                assert {answer.status for answer in small} == {Status.OK}

    async def test_a_question_too_long_for_its_context_fails_alone(self, demo: ModelFiles, tmp_path: Path) -> None:
        with llama_cpp_server(demo, tmp_path / "log.txt", n_ctx="256") as url:
            async with asking(RemoteConfig(url=server_url(url), words=demo.words)) as engine:
                asked = job([self.LONG, *probes()[:6]], picture(0, 64, 64))
                answers = {answer.question_id: answer for answer in await all_answers(engine.ask(asked))}
        assert answers.pop("long").reason == "engine_fault"
        assert {answer.status for answer in answers.values()} == {Status.OK}
