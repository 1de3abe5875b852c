"""What is wrong with a question before any model is asked. Pure."""

import itertools
from collections.abc import Sequence

from app.domain import Question, QuestionKind
from app.engine.base import Reason
from app.engine.schema import schema_grammar
from app.errors import SchemaUnsupported


def mistake(question: Question) -> Reason | None:
    if question.kind is QuestionKind.GENERATE and question.max_tokens < 1:
        return Reason.NO_TOKENS_ALLOWED
    if question.kind is QuestionKind.CHOICE and not _are_distinct(question.choices):
        return Reason.CHOICES_NOT_DISTINCT
    return schema_mistake(question)


def schema_mistake(question: Question) -> Reason | None:
    """Its schema is none that an answer can be held to, or nothing is generated that it could hold."""
    if question.json_schema is None:
        return None
    if question.kind is not QuestionKind.GENERATE:
        return Reason.SCHEMA_UNSUPPORTED
    try:
        schema_grammar(question.json_schema)
    except SchemaUnsupported:
        return Reason.SCHEMA_UNSUPPORTED
    return None


def _are_distinct(choices: Sequence[str]) -> bool:
    """As the local engine sees it with a token for each character."""
    return len(choices) > 1 and all(
        one and not other.startswith(one) for one, other in itertools.permutations(choices, 2)
    )
