"""What is wrong with a question before any model is asked. Pure."""

import itertools
from collections.abc import Sequence

from app.domain import Question, QuestionKind
from app.engine.base import Reason


def mistake(question: Question) -> Reason | None:
    if question.kind is QuestionKind.GENERATE and question.max_tokens < 1:
        return Reason.NO_TOKENS_ALLOWED
    if question.kind is QuestionKind.CHOICE and not _are_distinct(question.choices):
        return Reason.CHOICES_NOT_DISTINCT
    return None


def _are_distinct(choices: Sequence[str]) -> bool:
    """As the local engine sees it with a token for each character."""
    return len(choices) > 1 and all(
        one and not other.startswith(one) for one, other in itertools.permutations(choices, 2)
    )
