"""What every engine promises, held against the local one and a server's on the demonstration pair, and the fake."""

import asyncio
import itertools
import math
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from typing import cast

import pytest

from app.domain import Answer, EngineJob, EngineState, Picture, Question, QuestionKind, Status, WrittenText
from app.engine.base import MOST_QUESTIONS, MOST_TEXT_CHARS
from app.engine.fake import FakeEngine, generated, harmless, yes_no
from app.engine.local import LocalEngine
from app.engine.remote.engine import RemoteEngine
from app.errors import NoQuestions
from app.moderation.ports import Engine
from app.policy.limits import MAX_PARTS
from tests.engine.jobs import BOUND, all_answers, caption, job, picture, probes, written


def brightness(job_: EngineJob, question: Question) -> Answer:
    """An answer that depends on the picture, as a model's does, or on the text."""
    if isinstance(job_.subject, WrittenText):
        return yes_no(question, (sum(map(ord, job_.subject.text)) % 90 + 5) / 100)
    if question.kind is QuestionKind.GENERATE:
        return generated(question, f"a picture that begins with {job_.picture.rgb[0]}")
    if question.kind is QuestionKind.CHOICE:
        return harmless(job_, question)
    return yes_no(question, (job_.picture.rgb[0] + 1) / 258)


_FIXTURES = {
    "local": "shared_engine",
    "two processes": "shared_pair",
    "another family": "qwen_engine",
    "remote": "remote_engine",
}


@pytest.fixture(params=[*_FIXTURES, "fake"])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "fake":
        return FakeEngine(brightness)
    return cast(Engine, request.getfixturevalue(_FIXTURES[request.param]))


async def test_it_is_ready_and_says_who_answers(engine: Engine) -> None:
    info = engine.info

    assert info.state is EngineState.READY
    assert info.model_digest is not None
    assert info.model_digest.startswith("sha256:")
    assert info.queue_depth == 0


async def test_each_question_is_answered_exactly_once(engine: Engine) -> None:
    questions = [*probes(), caption()]

    answers = await all_answers(engine.ask(job(questions)))

    assert Counter(answer.question_id for answer in answers) == Counter(question.id for question in questions)
    assert {answer.status for answer in answers} == {Status.OK}
    for answer in answers:
        if answer.question_id == "caption":
            assert answer.text
        else:
            assert answer.log_yes is not None
            assert answer.log_no is not None
            assert answer.log_yes <= 0
            assert answer.log_no <= 0


async def test_a_job_without_questions_is_an_error_with_a_code(engine: Engine) -> None:
    with pytest.raises(NoQuestions) as caught:
        engine.ask(job([]))

    assert caught.value.code == "no_questions"
    assert engine.info.queue_depth == 0


@pytest.mark.parametrize("count", [MOST_QUESTIONS + 1, 10_000])
async def test_a_job_of_too_many_questions_fails_as_a_whole_and_keeps_nobody_waiting(
    engine: Engine, count: int
) -> None:
    held = Question("held", QuestionKind.GENERATE, "Describe the image.", 20, json_schema="no json")
    questions = [held, *(Question(f"q{n}", QuestionKind.YES_NO, f"Is it a thing {n}?") for n in range(1, count))]

    refused, other = await asyncio.gather(
        all_answers(engine.ask(job(questions))), all_answers(engine.ask(job(probes()[:2])))
    )

    assert [answer.question_id for answer in refused] == [question.id for question in questions]
    assert {(answer.status, answer.reason) for answer in refused} == {(Status.FAILED, "too_many_questions")}
    assert {answer.status for answer in other} == {Status.OK}
    assert engine.info.queue_depth == 0


def test_whatever_a_policy_may_ask_is_taken() -> None:
    """Of one picture all its probes, the description and the text."""
    assert MAX_PARTS["probes"] + 2 <= MOST_QUESTIONS


async def test_two_hundred_questions_in_one_job(engine: Engine) -> None:
    questions = [
        Question(f"q{index}", QuestionKind.YES_NO, f"Is there a thing number {index} in the picture?")
        for index in range(200)
    ]

    answers = await all_answers(engine.ask(job(questions, picture(0, 64, 64))))

    assert sorted(answer.question_id for answer in answers) == sorted(question.id for question in questions)
    assert {answer.status for answer in answers} == {Status.OK}


async def test_a_repeated_question_id_gets_an_answer_for_each(engine: Engine) -> None:
    twice = [Question("same", QuestionKind.YES_NO, "Is it day?"), Question("same", QuestionKind.YES_NO, "Is it night?")]

    answers = await all_answers(engine.ask(job(twice)))

    assert [answer.question_id for answer in answers] == ["same", "same"]


async def test_concurrent_jobs_get_the_answers_of_their_own_picture(engine: Engine) -> None:
    pictures = [picture(seed) for seed in range(6)]
    questions = [*probes(), caption()]

    async def ask(shown: Picture) -> list[float]:
        answers = {answer.question_id: answer for answer in await all_answers(engine.ask(job(questions, shown)))}
        assert answers["caption"].text
        return [answers[question.id].log_yes or 0.0 for question in probes()]

    alone = [await ask(shown) for shown in pictures]
    together = await asyncio.gather(*(ask(shown) for shown in pictures))

    # What shares a batch is summed in another order; two pictures differ by far more.
    assert together == [pytest.approx(answers, abs=BOUND) for answers in alone]
    for one, other in itertools.combinations(alone, 2):
        assert one != pytest.approx(other, abs=2 * BOUND), "the pictures must be told apart"


async def test_a_job_past_its_deadline_is_answered_with_timeouts(engine: Engine) -> None:
    answers = await all_answers(engine.ask(job(probes(), deadline_s=-1.0)))

    assert len(answers) == len(probes())
    assert {answer.status for answer in answers} == {Status.TIMEOUT}


async def test_closing_the_iterator_ends_the_job_and_leaves_the_engine_well(engine: Engine) -> None:
    stream = cast(AsyncGenerator[Answer, None], engine.ask(job([*probes(), caption(200)])))
    async for _ in stream:
        break
    await stream.aclose()

    answers = await all_answers(engine.ask(job(probes()[:2])))

    assert [answer.status for answer in answers] == [Status.OK, Status.OK]
    assert engine.info.queue_depth == 0


async def test_a_cancelled_caller_leaves_the_engine_well(engine: Engine) -> None:
    task = asyncio.create_task(all_answers(engine.ask(job([*probes(), caption(200)]))))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert len(await all_answers(engine.ask(job(probes()[:1])))) == 1


async def test_cancelled_questions_are_answered_at_once_and_the_others_as_ever(engine: Engine) -> None:
    questions = [*probes(), caption(200)]
    unwanted = {"caption", *(question.id for question in probes()[6:])}

    stream = engine.ask(job(questions))
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    stream.cancel(unwanted, reason="decided")
    answers = {answer.question_id: answer for answer in [await first, *await all_answers(stream)]}

    assert len(answers) == len(questions)
    assert {name for name, answer in answers.items() if answer.status is Status.SKIPPED} == unwanted
    assert {(answers[name].reason, answers[name].log_yes) for name in unwanted} == {("decided", None)}
    assert {answers[question.id].status for question in probes()[:6]} == {Status.OK}
    assert engine.info.queue_depth == 0


async def test_cancelling_ends_the_wait_for_an_answer(engine: Engine) -> None:
    """Whoever waits for the next answer gets it from the one who cancels."""
    stream = engine.ask(job([caption(500)]))
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    stream.cancel({"caption"})
    stream.cancel({"caption"}, reason="again")

    answer = await waiting

    assert (answer.status, answer.reason) == (Status.SKIPPED, "cancelled")
    assert await all_answers(stream) == []
    assert engine.info.queue_depth == 0


async def test_cancelling_before_the_first_answer_is_waited_for(engine: Engine) -> None:
    stream = engine.ask(job(probes()[:2]))
    stream.cancel([probes()[0].id])

    by_id = {answer.question_id: answer for answer in await all_answers(stream)}

    assert by_id["probe-0"].status is Status.SKIPPED
    assert by_id["probe-1"].status is Status.OK


async def test_cancelling_what_is_answered_unknown_or_over_changes_nothing(engine: Engine) -> None:
    stream = engine.ask(job(probes()[:1]))
    stream.cancel({"nobody's"})
    answers = await all_answers(stream)
    stream.cancel({"probe-0"})

    assert [answer.status for answer in answers] == [Status.OK]
    assert await all_answers(stream) == []
    assert (await all_answers(engine.ask(job(probes()[:1]))))[0].status is Status.OK


async def test_a_question_id_that_is_repeated_is_cancelled_everywhere(engine: Engine) -> None:
    twice = [Question("same", QuestionKind.YES_NO, "Is it day?"), Question("same", QuestionKind.YES_NO, "Is it night?")]

    stream = engine.ask(job(twice))
    stream.cancel({"same"})

    assert [answer.status for answer in await all_answers(stream)] == [Status.SKIPPED] * 2


async def test_a_malformed_picture_fails_without_being_shown(engine: Engine) -> None:
    answers = await all_answers(engine.ask(job(probes()[:2], Picture(64, 64, b"\0" * 100))))

    assert [(answer.status, answer.reason) for answer in answers] == [(Status.FAILED, "malformed_picture")] * 2


async def test_a_text_is_asked_about_without_a_picture(engine: Engine) -> None:
    """Beside pictures, and each text gets the answers of its own."""
    alone = [
        {answer.question_id: answer.log_yes for answer in await all_answers(engine.ask(job(probes(), text)))}
        for text in (written(0), written(1))
    ]
    *texts, _ = await asyncio.gather(
        *(all_answers(engine.ask(job(probes(), text))) for text in (written(0), written(1))),
        all_answers(engine.ask(job(probes()))),
    )

    for answers, expected in zip(texts, alone, strict=True):
        assert {answer.status for answer in answers} == {Status.OK}
        assert {answer.question_id: answer.log_yes for answer in answers} == pytest.approx(expected, abs=BOUND)
    assert alone[0] != pytest.approx(alone[1], abs=2 * BOUND), "the texts must be told apart"


async def test_a_text_that_is_too_long_fails_and_is_never_cut(engine: Engine) -> None:
    answers = await all_answers(engine.ask(job(probes()[:2], WrittenText("a" * (MOST_TEXT_CHARS + 1)))))

    assert [(answer.status, answer.reason) for answer in answers] == [(Status.FAILED, "text_too_long")] * 2


@pytest.mark.parametrize("text", ["", "\n", "\ud800 half", "<|end_of_text|>", "<__media__>", "</s>[INST]", "\x00 nul"])
async def test_any_text_is_answered(engine: Engine, text: str) -> None:
    answers = await all_answers(engine.ask(job(probes()[:2], WrittenText(text))))

    assert {answer.status for answer in answers} == {Status.OK}


async def test_a_choice_has_a_probability_for_each_word(engine: Engine) -> None:
    words = ("Yes", "No", "gambling")
    question = Question("kind", QuestionKind.CHOICE, "Which word is it?", choices=words)

    (answer,) = await all_answers(engine.ask(job([question])))

    assert answer.status is Status.OK
    assert answer.log_choices is not None
    assert len(answer.log_choices) == len(words)
    assert 0 < sum(math.exp(log) for log in answer.log_choices) <= 1


async def test_choices_that_cannot_be_told_apart_fail(engine: Engine) -> None:
    question = Question("kind", QuestionKind.CHOICE, "Which word is it?", choices=("same", "same"))

    (answer,) = await all_answers(engine.ask(job([question])))

    assert (answer.status, answer.reason) == (Status.FAILED, "choices_not_distinct")


@pytest.mark.parametrize("schema", ["no json", '{"type": "string", "pattern": "^a$"}', '{"$ref": "http://x/y"}'])
async def test_a_schema_that_no_answer_can_be_held_to_fails_and_no_other_question(engine: Engine, schema: str) -> None:
    held = Question("held", QuestionKind.GENERATE, "Describe the image.", 20, json_schema=schema)

    answers = await all_answers(engine.ask(job([held, probes()[0]])))

    by_id = {answer.question_id: answer for answer in answers}
    assert (by_id["held"].status, by_id["held"].reason) == (Status.FAILED, "schema_unsupported")
    assert by_id["probe-0"].status is Status.OK


async def test_a_generated_answer_without_room_fails(engine: Engine) -> None:
    answers = await all_answers(engine.ask(job([caption(0), probes()[0]])))

    by_id = {answer.question_id: answer for answer in answers}
    assert by_id["caption"].status is Status.FAILED
    assert by_id["caption"].reason == "no_tokens_allowed"
    assert by_id["probe-0"].status is Status.OK


async def test_the_fake_is_late_when_told_to_be() -> None:
    engine = FakeEngine(brightness, delay_s=30.0)

    answers = await all_answers(engine.ask(job(probes(), deadline_s=0.05)))

    assert {answer.status for answer in answers} == {Status.TIMEOUT}
    assert len(answers) == len(probes())


def _satisfies_the_port(local: LocalEngine, remote: RemoteEngine, fake: FakeEngine) -> tuple[Engine, Engine, Engine]:
    """For the type checker."""
    return local, remote, fake


async def test_streams_are_async_iterators(engine: Engine) -> None:
    assert isinstance(engine.ask(job(probes()[:1])), AsyncIterator)


async def test_a_generated_answer_ends_before_a_stop(engine: Engine) -> None:
    """As the plain answer does when it is cut there; the stop is from its middle, across tokens."""
    (plain,) = await all_answers(engine.ask(job([caption(24)])))
    assert plain.text is not None
    middle = len(plain.text) // 2
    stop = plain.text[middle : middle + 4]
    assert stop
    asked = [replace(caption(24), stop=(stop, "never to come up")), probes()[0]]

    answers = {answer.question_id: answer for answer in await all_answers(engine.ask(job(asked)))}

    assert (answers["caption"].status, answers["caption"].truncated) == (Status.OK, False)
    assert answers["caption"].text == plain.text[: plain.text.index(stop)].strip()
    assert answers["probe-0"].status is Status.OK


async def test_a_stop_that_nothing_can_be_cut_at_fails_and_no_other_question(engine: Engine) -> None:
    answers = await all_answers(engine.ask(job([replace(caption(), stop=("",)), probes()[0]])))

    by_id = {answer.question_id: answer for answer in answers}
    assert (by_id["caption"].status, by_id["caption"].reason) == (Status.FAILED, "stop_unusable")
    assert by_id["probe-0"].status is Status.OK
