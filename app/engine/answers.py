"""The answers to one job, as every engine of ours hands them out."""

from collections.abc import AsyncGenerator, Callable, Collection
from typing import Self

from app.domain import Answer
from app.engine.base import Reason

#: Takes question ids and the reason why nobody wants them any more.
Cancel = Callable[[Collection[str], str], None]


class AnswerStream:
    """An engine's generator of answers, and its way to cancel single questions. Satisfies
    `app.moderation.ports.Answers`. Nothing is asked before the first answer is waited for."""

    def __init__(self, answers: AsyncGenerator[Answer], cancel: Cancel) -> None:
        self._answers = answers
        self._cancel = cancel

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Answer:
        return await anext(self._answers)

    def cancel(self, question_ids: Collection[str], *, reason: str = Reason.CANCELLED) -> None:
        self._cancel(question_ids, reason)

    async def aclose(self) -> None:
        await self._answers.aclose()
