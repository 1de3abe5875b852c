"""A question as the scheduler sees it. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.domain import QuestionKind
from app.engine.worker.protocol import AskedQuestion


@dataclass(frozen=True, slots=True)
class Prepared:
    """A question as tokens, after the picture. `cells` is the most it takes of the context, its answer included."""

    number: int
    kind: QuestionKind
    tokens: tuple[int, ...]
    max_tokens: int

    @property
    def cells(self) -> int:
        return len(self.tokens) + self.max_tokens


def prepare(question: AskedQuestion, tokens: Sequence[int]) -> Prepared:
    generates = question.kind is QuestionKind.GENERATE
    return Prepared(question.number, question.kind, tuple(tokens), question.max_tokens if generates else 0)


def ordered(questions: Iterable[Prepared]) -> list[Prepared]:
    """Yes/no questions first: they are cheap and decide most. Within a kind the order stays."""
    return sorted(questions, key=lambda question: question.kind is not QuestionKind.YES_NO)
