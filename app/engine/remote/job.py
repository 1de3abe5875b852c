"""A job that somebody waits for, on its way to a server and back."""

import asyncio
import time
from collections import deque
from collections.abc import Collection

from app.domain import Answer, EngineJob, Question, QuestionKind, Status
from app.engine.base import unanswered
from app.engine.remote.doubt import Doubt

_ORDER = (QuestionKind.YES_NO, QuestionKind.CHOICE, QuestionKind.GENERATE)


class RemoteJob:
    """Holds that each question is answered exactly once, whoever answers it and however often."""

    def __init__(self, number: int, job: EngineJob) -> None:
        self.number = number
        self.job = job
        self.open: dict[int, Question] = dict(enumerate(job.questions))
        self.doubt = Doubt(1)
        self._tasks: dict[int, asyncio.Task[Answer]] = {}
        self._answers: deque[Answer] = deque()
        self._news = asyncio.Event()

    @property
    def remaining_s(self) -> float:
        return self.job.deadline_at - time.monotonic()

    @property
    def order(self) -> list[int]:
        """Of what is open: yes/no questions first, then choices, which are cheap and decide most."""
        return sorted(self.open, key=lambda number: (_ORDER.index(self.open[number].kind), number))

    def begin(self, number: int, task: asyncio.Task[Answer]) -> None:
        """From here on the task goes when its question does."""
        self._tasks[number] = task
        task.add_done_callback(lambda _: self._tasks.pop(number, None))

    def give(self, number: int, answer: Answer) -> None:
        if self.open.pop(number, None) is not None:
            self._answers.append(answer)
            self._news.set()

    def end(self, status: Status, reason: str) -> None:
        """Answer everything that is still open in the same way."""
        for number, question in list(self.open.items()):
            self._end(number, unanswered(question, status, reason))

    def cancel(self, question_ids: Collection[str], reason: str) -> None:
        """Answer those of these that are still open: nobody wants them any more."""
        unwanted = frozenset(question_ids)
        for number, question in list(self.open.items()):
            if question.id in unwanted:
                self._end(number, unanswered(question, Status.SKIPPED, reason))

    async def next(self, timeout_s: float) -> Answer | None:
        """The next answer; None when all were given. Raises TimeoutError."""
        while not self._answers:
            if not self.open:
                return None
            self._news.clear()
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        return self._answers.popleft()

    def _end(self, number: int, answer: Answer) -> None:
        self.give(number, answer)
        if number in self._tasks:
            self._tasks[number].cancel()
