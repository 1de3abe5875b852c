"""The client of a model that somebody else's server runs."""

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import replace
from typing import NoReturn

import structlog

from app.domain import Answer, EngineInfo, EngineJob, EngineState, Status
from app.engine.answers import AnswerStream
from app.engine.base import Reason, unanswered
from app.engine.mistakes import job_mistake, mistake, require_questions
from app.engine.remote.asking import Asking
from app.engine.remote.blame import TELLING, Blame, blame
from app.engine.remote.breaker import Breaker
from app.engine.remote.client import Client
from app.engine.remote.config import RemoteConfig
from app.engine.remote.doubt import Doubt
from app.engine.remote.faults import RemoteFault
from app.engine.remote.job import RemoteJob
from app.engine.remote.shown import Shown, shown
from app.engine.remote.slots import Slots
from app.engine.remote.trial import look, try_server
from app.engine.standing import Standing
from app.metrics import ENGINE_LOST, ENGINE_QUEUE_DEPTH, ENGINE_SPARED_REQUESTS

_log = structlog.get_logger(__name__)

#: How much later than a job's deadline its last answers may come: the requests' own timeouts are on their way then.
_ANSWER_GRACE_S = 0.1
#: With less of yes and no in the answer to its trial, a model is hardly one for probes.
_LEAST_MASS = 0.5
#: With fewer questions left there is nothing to save by finding out whose fault it is.
_LEAST_LEFT = 2


class RemoteEngine:
    """A server with OpenAI's chat completions, watched and tried again. Satisfies `app.moderation.ports.Engine`.

    Of each job one question goes alone, so that the server holds the picture and all that precedes the question when
    the others come. While the server is down, questions fail at once.
    """

    def __init__(self, config: RemoteConfig) -> None:
        self._config = config
        self._standing = Standing(config.model or "remote", demonstration=config.demonstration)
        self._numbers = itertools.count(1)
        self._jobs: set[RemoteJob] = set()
        self._slots = Slots(config.concurrency)
        self._breaker = Breaker(config.failures_to_open, config.failure_window_s)
        self._broken = asyncio.Event()
        self._model: str | None = None
        self._client: Client | None = None
        self._asking: Asking | None = None
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def info(self) -> EngineInfo:
        return replace(self._standing.info, queue_depth=self._depth())

    async def start(self) -> None:
        """Returns at once; `info.state` says when the server answers. A server that does not is a state, not an
        exception."""
        if self._supervisor is not None:
            return
        if self._config.cleartext:
            _log.warning("pictures go to the server unencrypted", action="engine.cleartext", url=self._config.url)
        self._client = Client(self._config)
        self._asking = Asking(self._config, self._client, self._breaker, self._opened)
        self._standing.become(EngineState.STARTING, f"{self._config.url} is being tried")
        self._supervisor = asyncio.create_task(self._supervise(), name="remote engine")

    async def wait_ready(self, timeout_s: float) -> EngineInfo:
        """The info of the ready engine. Raises EngineUnavailable with the reason as soon as the server is found to be
        down, or when nothing is known by then."""
        await self._standing.wait_ready(timeout_s)
        return self.info

    def ask(self, job: EngineJob) -> AnswerStream:
        """See `app.moderation.ports.Engine.ask`."""
        require_questions(job)
        remote = RemoteJob(next(self._numbers), job)
        return AnswerStream(self._answers(remote), remote.cancel)

    async def aclose(self) -> None:
        supervisor, self._supervisor = self._supervisor, None
        self._standing.become(EngineState.STOPPED, None)
        for job in self._jobs:
            job.end(Status.FAILED, Reason.ENGINE_UNAVAILABLE)
        if supervisor is not None:
            supervisor.cancel()
            await asyncio.gather(supervisor, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    async def _answers(self, job: RemoteJob) -> AsyncGenerator[Answer]:
        self._admit(job)
        working = asyncio.create_task(self._work(job))
        try:
            while True:
                try:
                    answer = await job.next(max(0.0, job.remaining_s) + _ANSWER_GRACE_S)
                except TimeoutError:
                    job.end(Status.TIMEOUT, Reason.DEADLINE)
                    continue
                if answer is None:
                    return
                yield answer
        finally:
            self._jobs.discard(job)
            self._count()
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    def _admit(self, job: RemoteJob) -> None:
        """Ends at once what cannot be asked."""
        wrong_job = job_mistake(job.job)
        if wrong_job is not None:
            _log.error("a job is refused", action="engine.refuse", job=job.job.id, reason=wrong_job.value)
            job.end(Status.FAILED, wrong_job)
        elif self._standing.is_over:
            job.end(Status.FAILED, Reason.ENGINE_UNAVAILABLE)
        elif job.remaining_s <= 0:
            job.end(Status.TIMEOUT, Reason.DEADLINE)
        for number, question in list(job.open.items()):
            wrong = mistake(question)
            if wrong is not None:
                job.give(number, unanswered(question, Status.FAILED, wrong))
        if job.open:
            self._jobs.add(job)
        self._count()

    async def _work(self, job: RemoteJob) -> None:
        try:
            while self._standing.info.state is EngineState.STARTING and job.open:
                await self._standing.change()
            if job.open:
                await self._ask_all(job, await asyncio.to_thread(shown, job.job.subject))
        except Exception:
            _log.exception("a job failed", action="engine.job_failed", job=job.job.id)
        job.end(Status.FAILED, Reason.ENGINE_FAULT)

    async def _ask_all(self, job: RemoteJob, subject: Shown) -> None:
        seen = blamed = False
        if len(job.open) > _LEAST_LEFT:
            # It is looked into what the first fault is of.
            job.doubt = Doubt(0)
        while job.open and not seen:
            alone = await self._together(job, job.order[:1], subject)
            seen = any(map(_has_seen, alone))
            if not blamed and len(job.open) >= _LEAST_LEFT and any(answer.reason in TELLING for answer in alone):
                blamed = True
                seen = await self._takes(job, subject, alone[0])
        await self._together(job, job.order, subject)

    async def _takes(self, job: RemoteJob, subject: Shown, first: Answer) -> bool:
        """Whether the server has seen the picture, or the text. Ends the job where it answers nothing about it: each
        question would be refused as the first was."""
        async with self._slots.taken((job.job.priority, job.number)):
            if self._ready is None:
                return False
            verdict = await blame(*self._ready, subject, job.job.deadline_at)
        job.doubt = Doubt(None if verdict is Blame.SERVER else 1)
        if verdict is Blame.SUBJECT:
            ENGINE_SPARED_REQUESTS.inc(len(job.open))
            _log.warning(
                "the server answers nothing about a picture or text",
                action="engine.subject_refused",
                job=job.job.id,
                reason=first.reason,
                not_asked=len(job.open),
            )
            job.end(first.status, first.reason or Reason.ENGINE_REFUSED)
        return verdict is Blame.QUESTION

    @property
    def _ready(self) -> tuple[Asking, str] | None:
        """Whom to ask for which model, while that may be done."""
        if self._standing.info.state is not EngineState.READY or self._model is None or self._asking is None:
            return None
        return self._asking, self._model

    async def _together(self, job: RemoteJob, numbers: Sequence[int], subject: Shown) -> list[Answer]:
        """Without those of questions that were given up meanwhile."""
        async with asyncio.TaskGroup() as group:
            tasks = {number: group.create_task(self._ask(job, number, subject)) for number in numbers}
            for number, task in tasks.items():
                job.begin(number, task)
        return [task.result() for task in tasks.values() if not task.cancelled()]

    async def _ask(self, job: RemoteJob, number: int, subject: Shown) -> Answer:
        question = job.open[number]
        async with self._slots.taken((job.job.priority, job.number)):
            if self._ready is None:
                answer = unanswered(question, Status.FAILED, Reason.ENGINE_UNAVAILABLE)
            else:
                asking, model = self._ready
                answer = await asking.answer(model, question, subject, job.job.deadline_at, job.doubt)
        job.give(number, answer)
        return answer

    async def _supervise(self) -> NoReturn:
        pauses = self._pauses()
        while True:
            try:
                await self._try()
                pauses = self._pauses()
                await self._watch()
            except RemoteFault as fault:
                self._down(fault.detail)
            except Exception as error:
                _log.exception("the watch over the server failed", action="engine.supervise")
                self._down(f"the watch over the server failed: {type(error).__name__}")
            else:
                continue
            await asyncio.sleep(next(pauses))

    async def _try(self) -> None:
        """Raises RemoteFault when the server does not do what is asked of it."""
        assert self._client is not None  # noqa: S101 - made before the supervisor
        # What was chosen once stays: decisions say which model made them.
        config = replace(self._config, model=self._model or self._config.model)
        try:
            served = await try_server(config, self._client)
        except RemoteFault as fault:
            if not fault.again:
                raise
            # One lost connection is no outage.
            served = await try_server(config, self._client)
        self._model = served.model
        self._broken.clear()
        self._breaker.reset()
        self._standing.info = replace(
            self._standing.info, name=served.model, served_as=served.model, model_digest=self._config.model_digest
        )
        self._standing.become(EngineState.READY, None)
        _log.info(
            "the server is ready",
            action="engine.ready",
            model=served.model,
            model_digest=self._config.model_digest,
            url=self._config.url,
            top_logprobs=served.top_logprobs,
            top_logprobs_asked=self._config.top_logprobs,
            concurrency=self._config.concurrency,
        )
        if served.mass < _LEAST_MASS:
            _log.warning(
                "the model answers a yes/no question with something else: does it think first, or in other words?",
                action="engine.trial_unclear",
                model=served.model,
                mass=round(served.mass, 4),
            )

    async def _watch(self) -> None:
        """Until the breaker opens, so that the server is tried again at once: a few questions that it fails at are no
        outage. Raises RemoteFault when a server of which nothing is heard is not there any more."""
        assert self._client is not None  # noqa: S101 - made before the supervisor
        while True:
            answered = self._breaker.successes
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._config.look_every_s):
                    await self._broken.wait()
                    return
            if self._breaker.successes == answered:
                await look(self._config, self._client, self._model)

    def _pauses(self) -> Iterator[float]:
        """Each twice the one before, up to the longest; less a part of chance, for the sake of a fleet's server."""
        pause_s = self._config.first_pause_s
        while True:
            yield random.uniform(pause_s / 2, pause_s)  # noqa: S311 - no secret
            pause_s = min(self._config.longest_pause_s, pause_s * 2)

    def _opened(self, detail: str) -> None:
        """The breaker, by too many failures."""
        self._down(detail)
        self._broken.set()

    def _down(self, detail: str) -> None:
        if self._standing.info.state is EngineState.READY:
            ENGINE_LOST.inc()
        self._breaker.trip()
        self._standing.become(EngineState.FAILED, detail)
        _log.error("the server is not asked any more", action="engine.down", detail=detail)

    def _depth(self) -> int:
        return sum(bool(job.open) for job in self._jobs)

    def _count(self) -> None:
        ENGINE_QUEUE_DEPTH.set(self._depth())


def _has_seen(answer: Answer) -> bool:
    """That the server looked at what was asked about."""
    return answer.status is Status.OK or answer.reason == Reason.INCONCLUSIVE_LOGPROBS
