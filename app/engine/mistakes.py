"""What is wrong with a job, or with one of its questions, before any model is asked. Pure."""

import itertools
from collections.abc import Sequence

from app.domain import EngineJob, Picture, Question, QuestionKind, WrittenText
from app.engine.base import MOST_QUESTIONS, MOST_TEXT_CHARS, Reason
from app.engine.schema import schema_grammar
from app.engine.stopping import stop_mistake
from app.errors import NoQuestions, SchemaUnsupported

_RGB_BYTES = 3


def require_questions(job: EngineJob) -> None:
    """Raises NoQuestions: of such a job there is no answer that could say so."""
    if not job.questions:
        raise NoQuestions(f"job {job.id} asks nothing")


def job_mistake(job: EngineJob) -> Reason | None:
    """Why none of its questions can be asked."""
    return Reason.TOO_MANY_QUESTIONS if len(job.questions) > MOST_QUESTIONS else _unsound(job.subject)


def mistake(question: Question) -> Reason | None:
    if question.kind is QuestionKind.GENERATE and question.max_tokens < 1:
        return Reason.NO_TOKENS_ALLOWED
    if question.kind is QuestionKind.CHOICE and not _are_distinct(question.choices):
        return Reason.CHOICES_NOT_DISTINCT
    return form_mistake(question)


def form_mistake(question: Question) -> Reason | None:
    """What is wrong with the form that its answer is to have."""
    return schema_mistake(question) or stop_mistake(question)


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


def _unsound(subject: Picture | WrittenText) -> Reason | None:
    """A picture must hold the pixels it says: the engine would read foreign memory for the rest."""
    if isinstance(subject, WrittenText):
        return Reason.TEXT_TOO_LONG if len(subject.text) > MOST_TEXT_CHARS else None
    sides = subject.width, subject.height
    sound = min(sides) > 0 and len(subject.rgb) == sides[0] * sides[1] * _RGB_BYTES
    return None if sound else Reason.MALFORMED_PICTURE


def _are_distinct(choices: Sequence[str]) -> bool:
    """As the local engine sees it with a token for each character."""
    return len(choices) > 1 and all(
        one and not other.startswith(one) for one, other in itertools.permutations(choices, 2)
    )
