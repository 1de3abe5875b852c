"""A question as the scheduler sees it. Pure."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.domain import QuestionKind
from app.engine.worker.protocol import AskedQuestion

_ORDER = (QuestionKind.YES_NO, QuestionKind.CHOICE, QuestionKind.GENERATE)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A question as tokens, after the picture, and so the words of a choice. `cells` is the most it takes of the
    context, its answer included."""

    number: int
    kind: QuestionKind
    tokens: tuple[int, ...]
    max_tokens: int
    choices: tuple[tuple[int, ...], ...] = ()
    grammar: str | None = None
    stop: tuple[bytes, ...] = ()

    @property
    def cells(self) -> int:
        return len(self.tokens) + max((len(choice) - 1 for choice in self.choices), default=self.max_tokens)


def prepare(question: AskedQuestion, tokens: Sequence[int], choices: Sequence[Sequence[int]] = ()) -> Prepared:
    generates = question.kind is QuestionKind.GENERATE
    return Prepared(
        number=question.number,
        kind=question.kind,
        tokens=tuple(tokens),
        max_tokens=question.max_tokens if generates else 0,
        choices=tuple(tuple(choice) for choice in choices),
        grammar=question.grammar if generates else None,
        stop=tuple(stop.encode() for stop in question.stop) if generates else (),
    )


def are_distinct(choices: Sequence[Sequence[int]]) -> bool:
    """Whether these are two or more, and none begins as another does: then an answer begins with one of them at most,
    and their probabilities add up."""
    spelled = sorted(tuple(choice) for choice in choices)
    return len(spelled) > 1 and all(one and other[: len(one)] != one for one, other in itertools.pairwise(spelled))


def ordered(questions: Iterable[Prepared]) -> list[Prepared]:
    """Yes/no questions first, then choices: they are cheap and decide most. Within a kind the order stays."""
    return sorted(questions, key=lambda question: _ORDER.index(question.kind))
