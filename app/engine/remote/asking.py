"""One question to the server: again where that may help, never beyond the deadline."""

import asyncio
import random
import time
from collections.abc import Callable

import structlog

from app.domain import Answer, Question, Status
from app.engine.base import Reason, unanswered
from app.engine.remote.breaker import Breaker
from app.engine.remote.client import Client
from app.engine.remote.config import RemoteConfig
from app.engine.remote.doubt import Doubt
from app.engine.remote.faults import RemoteFault
from app.engine.remote.reading import read_answer
from app.engine.remote.shown import Shown
from app.engine.remote.wire import Completion, read_completion, request_body
from app.metrics import ENGINE_PROMPT_TOKENS, ENGINE_REQUESTS

_log = structlog.get_logger(__name__)

COMPLETIONS = "/chat/completions"
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
#: Who asks for an answer within less must not make the server look dead.
_PATIENT_S = 5.0


class Asking:
    """`opened` is called with the reason when the failures have opened the breaker."""

    def __init__(self, config: RemoteConfig, client: Client, breaker: Breaker, opened: Callable[[str], None]) -> None:
        self._config = config
        self._client = client
        self._breaker = breaker
        self._opened = opened

    async def answer(self, model: str, question: Question, subject: Shown, deadline_at: float, doubt: Doubt) -> Answer:
        """`deadline_at` is on `time.monotonic()`'s clock. Raises nothing for a fault of the server."""
        body = request_body(model, question, subject, top_logprobs=self._config.top_logprobs)
        try:
            completion = await self._completion(body, deadline_at, doubt)
        except RemoteFault as fault:
            return unanswered(question, fault.status, fault.reason)
        _count(completion)
        answer = read_answer(question, completion, self._config.words, self._config.top_logprobs)
        if answer.reason in {Reason.NO_LOGPROBS, Reason.MALFORMED_ANSWER, Reason.NON_FINITE}:
            self._harmed(f"the server's answers are of no use: {answer.reason}")
        else:
            self._breaker.succeeded()
        ENGINE_REQUESTS.labels(answer.reason or "ok").inc()
        return answer

    async def fault(
        self, model: str, question: Question, subject: Shown, deadline_at: float, doubt: Doubt
    ) -> RemoteFault | None:
        """Why the server does not answer what nobody asked; None when it does, whatever it says. As `answer` else."""
        body = request_body(model, question, subject, top_logprobs=self._config.top_logprobs)
        try:
            _count(await self._completion(body, deadline_at, doubt))
        except RemoteFault as fault:
            return fault
        self._breaker.succeeded()
        ENGINE_REQUESTS.labels("ok").inc()
        return None

    async def _completion(self, body: bytes, deadline_at: float, doubt: Doubt) -> Completion:
        attempt = 0
        while True:
            attempt += 1
            if self._breaker.open:
                raise RemoteFault(Reason.ENGINE_UNAVAILABLE, "the server is not asked after many failures")
            try:
                return _whole(read_completion(await self._post(body, deadline_at)))
            except RemoteFault as fault:
                ENGINE_REQUESTS.labels(fault.reason.value).inc()
                if fault.harm and (fault.reason is not Reason.ENGINE_FAULT or doubt.counts()):
                    self._harmed(fault.detail)
                pause_s = _pause_s(attempt, fault.retry_after_s)
                late = time.monotonic() + pause_s >= deadline_at
                if not fault.again or attempt >= self._config.attempts or late:
                    _log.warning(
                        "a question was not answered",
                        action="engine.question_failed",
                        reason=fault.reason.value,
                        detail=fault.detail,
                        attempts=attempt,
                    )
                    raise
            await asyncio.sleep(pause_s)

    async def _post(self, body: bytes, deadline_at: float) -> bytes:
        began = time.monotonic()
        remaining_s = deadline_at - began
        try:
            return await self._client.post(COMPLETIONS, body, timeout_s=min(remaining_s, self._config.timeout_s))
        except TimeoutError as error:
            reason = Reason.DEADLINE if remaining_s <= self._config.timeout_s else Reason.ENGINE_TIMEOUT
            harm = time.monotonic() - began >= min(_PATIENT_S, self._config.timeout_s)
            raise RemoteFault(reason, "the server did not answer in time", status=Status.TIMEOUT, harm=harm) from error

    def _harmed(self, detail: str) -> None:
        if self._breaker.failed():
            self._opened(detail)


def _whole(completion: Completion) -> Completion:
    """Raises RemoteFault for one that the server gave up on its way, with a 200."""
    if completion.given_up:
        raise RemoteFault(Reason.ENGINE_FAULT, "the server gave the request up", again=True, harm=True)
    return completion


def _count(completion: Completion) -> None:
    read, cached = completion.prompt_tokens
    ENGINE_PROMPT_TOKENS.labels("no").inc(read)
    ENGINE_PROMPT_TOKENS.labels("yes").inc(cached)


def _pause_s(attempt: int, asked_s: float | None) -> float:
    """At least what the server asked for. The rest is chance, so that those it refused do not come back together."""
    longest_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** (attempt - 1))
    return (asked_s or 0.0) + random.uniform(longest_s / 2, longest_s)  # noqa: S311 - no secret
