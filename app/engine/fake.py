"""An engine without a model, for tests and for trying the service: it answers by a script and keeps the contract."""

import asyncio
import contextlib
import inspect
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Coroutine, Sequence
from dataclasses import replace

from app.domain import Answer, EngineInfo, EngineJob, EngineState, Question, QuestionKind, Status
from app.engine.answers import AnswerStream
from app.engine.base import Reason, unanswered
from app.engine.mistakes import job_mistake, mistake, require_questions
from app.engine.stopping import cut_at_stop
from app.errors import EngineError

#: Says what a question's answer is. It may wait (to be late) or raise an EngineError (to fail with its code).
Script = Callable[[EngineJob, Question], Answer | Awaitable[Answer]]


def yes_no(question: Question, p: float, *, mass: float = 0.999) -> Answer:
    """The answer of a model that says yes with probability `p` of `mass`. `p` strictly between 0 and 1."""
    return Answer(
        question_id=question.id, status=Status.OK, log_yes=math.log(p * mass), log_no=math.log((1 - p) * mass)
    )


def generated(question: Question, text: str, *, truncated: bool = False) -> Answer:
    return Answer(question_id=question.id, status=Status.OK, text=text, truncated=truncated)


def chosen(question: Question, probabilities: Sequence[float]) -> Answer:
    """The answer of a model that begins with each of the words so often. Each strictly between 0 and 1."""
    logs = tuple(math.log(p) for p in probabilities)
    return Answer(question_id=question.id, status=Status.OK, log_choices=logs)


def harmless(_job: EngineJob, question: Question) -> Answer:
    """No to every probe, no preference in a choice, and a bland description."""
    if question.kind is QuestionKind.CHOICE:
        return chosen(question, [0.999 / len(question.choices)] * len(question.choices))
    return yes_no(question, 0.01) if question.kind is QuestionKind.YES_NO else generated(question, "a plain picture")


class FakeEngine:
    """`delay_s` passes before each answer. `info` is what the engine says of itself; set it to play a failing one:
    while its state is not READY every question fails."""

    def __init__(self, script: Script = harmless, *, delay_s: float = 0.0, info: EngineInfo | None = None) -> None:
        self.info = info or EngineInfo(
            name="fake",
            state=EngineState.READY,
            demonstration=False,
            model_digest=f"sha256:{'0' * 64}",
            projector_digest=f"sha256:{'0' * 64}",
        )
        self.jobs: list[EngineJob] = []
        self._script = script
        self._delay_s = delay_s

    def ask(self, job: EngineJob) -> AnswerStream:
        require_questions(job)
        unwanted = _Unwanted()
        return AnswerStream(self._answers(job, unwanted), unwanted.add)

    async def _answers(self, job: EngineJob, unwanted: "_Unwanted") -> AsyncGenerator[Answer]:
        self.jobs.append(job)
        late = False
        for question in job.questions:
            answer = unwanted.answer(question)
            if answer is None and late:
                answer = unanswered(question, Status.TIMEOUT, Reason.DEADLINE)
            if answer is None:
                answer = await unwanted.unless_added(question, self._answer(job, question))
            yield answer
            late = late or answer.status is Status.TIMEOUT

    async def _answer(self, job: EngineJob, question: Question) -> Answer:
        if self.info.state is not EngineState.READY:
            return unanswered(question, Status.FAILED, Reason.ENGINE_UNAVAILABLE)
        wrong = job_mistake(job) or mistake(question)
        if wrong is not None:
            return unanswered(question, Status.FAILED, wrong)
        remaining_s = job.deadline_at - time.monotonic()
        if remaining_s <= 0:
            return unanswered(question, Status.TIMEOUT, Reason.DEADLINE)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(remaining_s):
                return await self._scripted(job, question)
        return unanswered(question, Status.TIMEOUT, Reason.DEADLINE)

    async def _scripted(self, job: EngineJob, question: Question) -> Answer:
        await asyncio.sleep(self._delay_s)
        try:
            answer = self._script(job, question)
            return _stopped(question, await answer if inspect.isawaitable(answer) else answer)
        except EngineError as error:
            return unanswered(question, Status.FAILED, error.code)


def _stopped(question: Question, answer: Answer) -> Answer:
    if answer.text is None:
        return answer
    text, stopped = cut_at_stop(answer.text, question.stop)
    return replace(answer, text=text.strip(), truncated=False) if stopped else answer


class _Unwanted:
    """What was cancelled of a job: question ids with the reasons."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}
        self._under_way: tuple[Question, asyncio.Task[Answer]] | None = None

    def add(self, question_ids: Collection[str], reason: str) -> None:
        for question_id in question_ids:
            self._reasons.setdefault(question_id, reason)
        if self._under_way is not None and self.answer(self._under_way[0]) is not None:
            self._under_way[1].cancel()

    def answer(self, question: Question) -> Answer | None:
        reason = self._reasons.get(question.id)
        return None if reason is None else unanswered(question, Status.SKIPPED, reason)

    async def unless_added(self, question: Question, answering: Coroutine[None, None, Answer]) -> Answer:
        """The answer, or that the question is unwanted as soon as it is."""
        task = asyncio.create_task(answering)
        self._under_way = question, task
        try:
            await asyncio.wait((task,))
            return self.answer(question) or task.result()
        finally:
            self._under_way = None
            task.cancel()
