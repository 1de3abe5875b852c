"""A job that somebody waits for, on its way through the engine."""

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import Collection
from functools import cached_property

from app.domain import Answer, EngineJob, Picture, Priority, Question, Status
from app.engine.base import unanswered
from app.engine.mistakes import form_mistake
from app.engine.quoting import quoted
from app.engine.schema import schema_grammar
from app.engine.worker.protocol import Answered, Ask, AskedQuestion

#: A clock that runs away must not become a deadline of years.
_LONGEST_S = 3600.0
#: One byte of so many; a prime, so that it is no column of the picture.
_SAMPLED = 1009


class PendingJob:
    """Holds that each question is answered exactly once, whoever answers it and however often."""

    def __init__(self, number: int, job: EngineJob) -> None:
        self.number = number
        self.job = job
        self.crashes = 0
        #: The place of the process that died over it last.
        self.died_at: str | None = None
        #: It is to be asked alone, as far as was looked.
        self.suspect = False
        #: The process has begun with its picture.
        self.started = False
        #: The engine itself answered everything, and this life of the process nothing too late.
        self.complete = False
        #: This life of the process answered, nothing too late, and nothing was left but what nobody wanted any more.
        self.fruitful = False
        self._late = False
        self.open: dict[int, Question] = dict(enumerate(job.questions))
        self._cancelled = False
        self._answers: deque[Answer] = deque()
        self._news = asyncio.Event()

    @cached_property
    def fingerprint(self) -> bytes:
        """Of its picture or text: megabytes to hash, so only for who needs it."""
        subject = self.job.subject
        return hashlib.sha256(subject.rgb if isinstance(subject, Picture) else quoted(subject).encode()).digest()

    @cached_property
    def likeness(self) -> int | None:
        """Equal for equal pictures, at next to no cost, and seldom for others; None for a text."""
        return hash(self.payload[::_SAMPLED]) if isinstance(self.job.subject, Picture) else None

    @property
    def payload(self) -> bytes:
        """The pixels, where it is about a picture."""
        return self.job.subject.rgb if isinstance(self.job.subject, Picture) else b""

    @property
    def urgent(self) -> bool:
        """Somebody waits for it: it is no bulk job."""
        return self.job.priority <= Priority.SYNCHRONOUS

    @property
    def urgency(self) -> tuple[bool, bool, int, int]:
        """The smallest goes first: what somebody waits for, then what was already in work, by priority and by age."""
        return not self.urgent, not self.crashes, self.job.priority, self.number

    def begin(self) -> None:
        """Another life of the process is given it."""
        self.started = self.fruitful = self._late = False

    @property
    def remaining_s(self) -> float:
        return min(self.job.deadline_at - time.monotonic(), _LONGEST_S)

    def ask(self) -> Ask:
        """What is still to be asked. A lone surrogate, which no tokenizer takes, becomes a question mark."""
        subject = self.job.subject
        return Ask(
            job=self.number,
            width=subject.width if isinstance(subject, Picture) else 0,
            height=subject.height if isinstance(subject, Picture) else 0,
            text=None if isinstance(subject, Picture) else quoted(subject),
            remaining_s=max(0.0, self.remaining_s),
            priority=self.job.priority,
            questions=tuple(
                AskedQuestion(
                    number=number,
                    kind=question.kind,
                    prompt=question.prompt.encode("utf-8", "replace").decode(),
                    max_tokens=question.max_tokens,
                    choices=tuple(choice.encode("utf-8", "replace").decode() for choice in question.choices),
                    grammar=None if question.json_schema is None else schema_grammar(question.json_schema),
                    stop=question.stop,
                )
                for number, question in self.open.items()
            ),
        )

    def deliver(self, answered: Answered) -> None:
        question = self.open.pop(answered.number, None)
        if question is not None:
            self._put(
                Answer(
                    question_id=question.id,
                    status=answered.status,
                    reason=answered.reason,
                    log_yes=answered.log_yes,
                    log_no=answered.log_no,
                    text=answered.text,
                    truncated=answered.truncated,
                    log_choices=answered.log_choices,
                )
            )
            # Of what was not looked at in time nobody knows what it does.
            self._late = self._late or answered.status is Status.TIMEOUT
            self.complete = not (self._late or self.open or self._cancelled)
            self.fruitful = not self._late

    def refuse_mistakes(self) -> None:
        """Those of its questions that no model need be asked to be known as wrong."""
        for number, question in list(self.open.items()):
            wrong = form_mistake(question)
            if wrong is not None:
                self._put(unanswered(self.open.pop(number), Status.FAILED, wrong))

    def cancel(self, question_ids: Collection[str], reason: str) -> tuple[int, ...]:
        """Answer those of these that are still open: nobody wants them any more. Their numbers."""
        unwanted = frozenset(question_ids)
        numbers = tuple(number for number, question in self.open.items() if question.id in unwanted)
        for number in numbers:
            self._put(unanswered(self.open.pop(number), Status.SKIPPED, reason))
        self._cancelled = self._cancelled or bool(numbers)
        return numbers

    def end(self, status: Status, reason: str) -> None:
        """Answer everything that is still open in the same way."""
        for question in self.open.values():
            self._put(unanswered(question, status, reason))
        self._cut_off()

    def abandon(self) -> None:
        """Nobody waits any more."""
        self._cut_off()
        self._answers.clear()
        self._news.set()

    async def next(self, timeout_s: float) -> Answer | None:
        """The next answer; None when all were given. Raises TimeoutError."""
        while not self._answers:
            if not self.open:
                return None
            self._news.clear()
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        return self._answers.popleft()

    def _cut_off(self) -> None:
        self.fruitful = self.fruitful and not self.open
        self.open.clear()

    def _put(self, answer: Answer) -> None:
        self._answers.append(answer)
        self._news.set()
