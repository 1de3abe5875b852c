"""What happens to jobs when the engine process dies, hangs or cannot start. All with the real process."""

import asyncio
import contextlib
import hashlib
import os
import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from app.domain import Answer, EngineJob, EngineState, Picture, Priority, Question, QuestionKind, Status
from app.engine.base import MOST_QUESTIONS, EngineConfig, ModelFiles
from app.engine.local import LocalEngine
from app.engine.runtime import Runtime
from app.errors import EngineUnavailable
from tests.engine.conftest import START_S
from tests.engine.jobs import all_answers, job, picture, probes


def many(count: int = 400) -> list[Question]:
    """So many that the process can be stopped between two groups of them."""
    return [Question(f"q{index}", QuestionKind.YES_NO, f"Is thing {index} in the picture?") for index in range(count)]


def pid_of(engine: LocalEngine) -> int:
    """Of its only process."""
    (pid,) = engine.pids
    return pid


async def answers_with_kills(engine: LocalEngine, stream: AsyncIterator[Answer], kills: int) -> list[Answer]:
    """All answers; the process is killed over one of each of its lives, `kills` times."""
    answers: list[Answer] = []
    killed: set[int] = set()
    async for answer in stream:
        answers.append(answer)
        for pid in set(engine.pids) - killed:
            if len(killed) < kills:
                killed.add(pid)
                os.kill(pid, signal.SIGKILL)
    return answers


def started(files: ModelFiles, **changes: float) -> LocalEngine:
    return LocalEngine(replace(EngineConfig(files=files, runtime=Runtime(threads=1, context_tokens=2048)), **changes))


@pytest.fixture
def copied(demo: ModelFiles, tmp_path: Path) -> ModelFiles:
    """The pair in a folder of its own, with no digest known beforehand."""
    model, projector = tmp_path / "model.gguf", tmp_path / "mmproj.gguf"
    shutil.copy(demo.model, model)
    shutil.copy(demo.projector, projector)
    return replace(demo, model=model, projector=projector, model_digest=None, projector_digest=None)


async def test_a_job_whose_process_is_killed_is_asked_again_and_answered(own_engine: LocalEngine) -> None:
    restarts = REGISTRY.get_sample_value("portcullis_engine_restarts_total") or 0.0
    first = pid_of(own_engine)

    answers = await answers_with_kills(own_engine, own_engine.ask(job(many())), kills=1)

    assert sorted(answer.question_id for answer in answers) == sorted(question.id for question in many())
    assert {answer.status for answer in answers} == {Status.OK}
    assert pid_of(own_engine) != first
    assert own_engine.info.restarts == 1
    assert REGISTRY.get_sample_value("portcullis_engine_restarts_total") == restarts + 1


async def test_a_picture_that_kills_twice_fails_and_is_kept_out(own_engine: LocalEngine) -> None:
    deadly = picture(3)

    answers = await answers_with_kills(own_engine, own_engine.ask(job(many(), deadly)), kills=2)

    assert len(answers) == len(many())
    assert {(answer.status, answer.reason) for answer in answers} == {
        (Status.OK, None),
        (Status.FAILED, "engine_crash"),
    }
    await own_engine.wait_ready(START_S)
    survivor = pid_of(own_engine)
    again = await all_answers(own_engine.ask(job(probes(), deadly)))
    assert {(answer.status, answer.reason) for answer in again} == {(Status.FAILED, "engine_crash")}
    other = await all_answers(own_engine.ask(job(probes(), picture(4))))
    assert {answer.status for answer in other} == {Status.OK}
    assert pid_of(own_engine) == survivor


async def test_what_drafts_come_to_is_counted(shared_engine: LocalEngine) -> None:
    def counted() -> list[float]:
        name = "portcullis_engine_draft_tokens_total"
        return [REGISTRY.get_sample_value(name, {"said": said}) or 0.0 for said in ("yes", "no")]

    held = Question("held", QuestionKind.GENERATE, "Which?", 30, json_schema='{"const": "abcdefghijklmnop"}')
    before = counted()
    # What the last one came to is said after its answer.
    for seed in range(12):
        (answer,) = await all_answers(shared_engine.ask(job([held], picture(seed))))
        assert answer.status is Status.OK
    after = counted()

    assert after[0] > before[0] + 10
    assert before[1] <= after[1] < before[1] + 100


async def test_as_many_questions_as_a_job_may_have_are_answered(shared_engine: LocalEngine) -> None:
    answers = await all_answers(shared_engine.ask(job(many(MOST_QUESTIONS))))

    assert [answer.status for answer in answers] == [Status.OK] * MOST_QUESTIONS


async def test_jobs_that_wait_survive_the_death_of_the_process(own_engine: LocalEngine) -> None:
    waiting = [asyncio.create_task(all_answers(own_engine.ask(job(probes(), picture(seed))))) for seed in range(4)]
    await asyncio.sleep(0)
    os.kill(pid_of(own_engine), signal.SIGKILL)

    for answers in await asyncio.gather(*waiting):
        assert {answer.status for answer in answers} == {Status.OK}
        assert len(answers) == len(probes())


async def kill_over(engine: LocalEngine, deadly: Picture) -> None:
    """Until cancelled: a process that has begun with this picture dies."""
    while True:
        for supervisor in engine._supervisors:
            life = supervisor._life
            if life is not None and any(one.started and one.job.subject == deadly for one in life._flight):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(life.pid, signal.SIGKILL)
        await asyncio.sleep(0.001)


async def test_the_picture_that_kills_is_found_among_those_in_work(own_engine: LocalEngine) -> None:
    """All that were in work die with it once; asked again each by itself, the others are answered."""
    deadly = picture(2)
    killer = asyncio.create_task(kill_over(own_engine, deadly))
    try:
        pictures = [picture(seed) for seed in range(6)]
        jobs = [own_engine.ask(job(many(400 if shown == deadly else 60), shown)) for shown in pictures]
        answered = await asyncio.gather(*map(all_answers, jobs))
    finally:
        killer.cancel()
        await asyncio.gather(killer, return_exceptions=True)

    for shown, answers in zip(pictures, answered, strict=True):
        reasons = {answer.reason for answer in answers}
        assert ("engine_crash" in reasons) == (shown == deadly)
        assert reasons <= {None, "engine_crash"}
    kept_out = [
        shown for shown in pictures if own_engine._dispatch.quarantine.holds(hashlib.sha256(shown.rgb).digest())
    ]
    assert kept_out == [deadly]


async def test_what_is_urgent_overtakes_what_waits(own_engine: LocalEngine) -> None:
    bulk = [replace(job(many(60), picture(seed)), priority=Priority.BULK) for seed in range(14)]
    ended: list[str] = []

    async def ask(asked: EngineJob) -> None:
        await all_answers(own_engine.ask(asked))
        ended.append(asked.id)

    running = [asyncio.create_task(ask(asked)) for asked in bulk]
    await asyncio.sleep(0)
    urgent = job(probes()[:1], picture(20))
    await asyncio.gather(ask(urgent), *running)

    assert len(ended) == 15
    assert ended.index(urgent.id) < 10


async def test_a_process_killed_while_idle_is_replaced(own_engine: LocalEngine) -> None:
    os.kill(pid_of(own_engine), signal.SIGKILL)

    answers = await all_answers(own_engine.ask(job(probes())))

    assert {answer.status for answer in answers} == {Status.OK}


async def test_a_process_that_hangs_costs_timeouts_and_is_replaced(demo: ModelFiles) -> None:
    engine = started(demo, hang_grace_s=0.2)
    await engine.start()
    try:
        await engine.wait_ready(START_S)
        hung = pid_of(engine)
        os.kill(hung, signal.SIGSTOP)

        late = await all_answers(engine.ask(job(probes(), deadline_s=0.3)))
        after = await all_answers(engine.ask(job(probes(), picture(1))))

        assert len(late) == len(probes())
        assert {(answer.status, answer.reason) for answer in late} == {(Status.TIMEOUT, "deadline")}
        assert {answer.status for answer in after} == {Status.OK}
        assert pid_of(engine) != hung
        assert engine.info.restarts == 1
    finally:
        await engine.aclose()


async def test_questions_that_the_process_has_already_can_be_given_up(own_engine: LocalEngine) -> None:
    """It is stopped, so that nothing is answered before."""
    os.kill(pid_of(own_engine), signal.SIGSTOP)
    stream = own_engine.ask(job(many(40)))
    first = asyncio.ensure_future(anext(stream))
    while not any(own_engine._dispatch.flights):  # noqa: ASYNC110 - it says so through nothing else
        await asyncio.sleep(0.001)

    stream.cancel({question.id for question in many(40)[1:]}, reason="decided")
    os.kill(pid_of(own_engine), signal.SIGCONT)
    answers = [await first, *await all_answers(stream)]

    assert [answer.reason for answer in answers].count("decided") == 39
    assert [answer.question_id for answer in answers if answer.status is Status.OK] == ["q0"]
    after = await all_answers(own_engine.ask(job(probes())))
    assert {answer.status for answer in after} == {Status.OK}
    assert own_engine.info.restarts == 0


async def test_a_short_deadline_ends_what_is_not_done_and_spares_the_process(own_engine: LocalEngine) -> None:
    before = pid_of(own_engine)

    answers = await all_answers(own_engine.ask(job(many(MOST_QUESTIONS), deadline_s=0.05)))

    assert sorted(answer.question_id for answer in answers) == sorted(question.id for question in many(MOST_QUESTIONS))
    assert Status.TIMEOUT in {answer.status for answer in answers}
    assert {answer.status for answer in answers} <= {Status.OK, Status.TIMEOUT}
    after = await all_answers(own_engine.ask(job(probes())))
    assert {answer.status for answer in after} == {Status.OK}
    assert pid_of(own_engine) == before


async def test_a_deadline_that_passes_in_the_queue_is_a_timeout(own_engine: LocalEngine) -> None:
    running = asyncio.create_task(all_answers(own_engine.ask(job(many(MOST_QUESTIONS)))))
    await asyncio.sleep(0)

    waited = await all_answers(own_engine.ask(job(probes(), picture(1), deadline_s=0.05)))

    assert {(answer.status, answer.reason) for answer in waited} == {(Status.TIMEOUT, "deadline")}
    assert own_engine.info.queue_depth == 1
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_closing_the_engine_ends_jobs_and_later_ones_fail_at_once(demo_config: EngineConfig) -> None:
    engine = LocalEngine(demo_config)
    await engine.start()
    await engine.wait_ready(START_S)
    running = asyncio.create_task(all_answers(engine.ask(job(many(MOST_QUESTIONS)))))
    waiting = asyncio.create_task(all_answers(engine.ask(job(probes(), picture(1)))))
    await asyncio.sleep(0.01)

    await engine.aclose()

    assert len(await running) == MOST_QUESTIONS
    assert {(answer.status, answer.reason) for answer in await waiting} == {(Status.FAILED, "engine_unavailable")}
    late = await all_answers(engine.ask(job(probes())))
    assert {answer.reason for answer in late} == {"engine_unavailable"}
    assert engine.info.state is EngineState.STOPPED
    assert engine.pids == ()


async def test_closing_at_any_moment_leaves_no_process_behind(demo_config: EngineConfig) -> None:
    """While it starts, just after it was killed, and while it works."""
    for moment in ("starting", "killed", "working"):
        engine = LocalEngine(demo_config)
        await engine.start()
        pid = None
        if moment != "starting":
            await engine.wait_ready(START_S)
            pid = pid_of(engine)
        running = asyncio.create_task(all_answers(engine.ask(job(many()))))
        await asyncio.sleep(0.01)
        if moment == "killed" and pid is not None:
            os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.001)

        await engine.aclose()

        assert len(await running) == len(many())
        if pid is not None:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


async def test_a_missing_file_is_said_and_healed_without_a_restart(copied: ModelFiles) -> None:
    hidden = copied.projector.with_name("elsewhere.gguf")
    copied.projector.rename(hidden)
    engine = started(replace(copied, missing_hint="put it there"))
    await engine.start()
    try:
        with pytest.raises(EngineUnavailable, match=r"mmproj\.gguf not found: put it there"):
            await engine.wait_ready(START_S)
        assert engine.info.state is EngineState.FAILED
        answers = await all_answers(engine.ask(job(probes())))
        assert {(answer.status, answer.reason) for answer in answers} == {(Status.FAILED, "engine_unavailable")}

        hidden.rename(copied.projector)
        async with asyncio.timeout(START_S):
            while engine.info.state is not EngineState.READY:  # noqa: ASYNC110 - it says so through nothing else
                await asyncio.sleep(0.05)

        assert {answer.status for answer in await all_answers(engine.ask(job(probes())))} == {Status.OK}
        assert engine.info.detail is None
    finally:
        await engine.aclose()


async def cut(files: ModelFiles) -> str:
    os.truncate(files.projector, files.projector.stat().st_size - 4096)
    return "is cut"


async def foreign(files: ModelFiles) -> str:
    files.model.write_bytes(b"not a model at all" * 100)
    return "is no GGUF file"


async def swapped(files: ModelFiles) -> str:
    shutil.copy(files.model, files.projector)
    return r"is a model \('deepseek2'\) where the projector should be"


async def unknown_to_llama(files: ModelFiles) -> str:
    files.projector.write_bytes(files.projector.read_bytes().replace(b"youtuvl", b"youtuvx"))
    return "llama.cpp cannot load the projector"


@pytest.mark.parametrize("spoil", [cut, foreign, swapped, unknown_to_llama])
async def test_a_corrupt_file_is_said_and_questions_fail_at_once(copied: ModelFiles, spoil: object) -> None:
    assert callable(spoil)
    sentence = await spoil(copied)
    engine = started(copied)
    await engine.start()
    try:
        with pytest.raises(EngineUnavailable, match=sentence):
            await engine.wait_ready(START_S)
        assert engine.info.state is EngineState.FAILED
        answers = await all_answers(engine.ask(job(probes())))
        assert {answer.reason for answer in answers} == {"engine_unavailable"}
    finally:
        await engine.aclose()


async def test_a_file_other_than_the_catalogue_names_is_refused(copied: ModelFiles) -> None:
    engine = started(replace(copied, model_digest=f"sha256:{'0' * 64}"))
    await engine.start()
    try:
        with pytest.raises(EngineUnavailable, match="is not the file the catalogue names"):
            await engine.wait_ready(START_S)
    finally:
        await engine.aclose()


async def test_a_model_that_is_not_loaded_in_time_is_tried_again_then_given_up(demo: ModelFiles) -> None:
    engine = started(demo, start_timeout_s=0.01)
    await engine.start()
    try:
        with pytest.raises(EngineUnavailable, match=r"not loaded within 0\.01 s"):
            await engine.wait_ready(START_S)
        assert engine.info.state is EngineState.FAILED
    finally:
        await engine.aclose()


async def test_an_engine_that_was_never_started_fails_every_question(demo_config: EngineConfig) -> None:
    answers = await all_answers(LocalEngine(demo_config).ask(job(probes())))

    assert {(answer.status, answer.reason) for answer in answers} == {(Status.FAILED, "engine_unavailable")}
