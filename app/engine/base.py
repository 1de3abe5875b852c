"""What the real and the fake engine share: what they are given, and how a question ends that was not answered."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from app.domain import Answer, Question, Status
from app.engine.places import Place
from app.engine.runtime import Runtime

#: No engine is asked about a longer text: who has one splits it. Characters, and as many tokens in the local engine,
#: where strange characters take several each.
MOST_TEXT_CHARS = 2048
MOST_TEXT_TOKENS = 2048
#: Of one job. The largest policy has 500 probes (`app.policy.limits`), and description and text are asked beside them:
#: whatever a policy may ask is taken. 64 are asked at once, so that is eight rounds of the model's sequences, and half
#: a second of tokenizing the first time; thousands would end late and keep everybody else waiting meanwhile.
MOST_QUESTIONS = 512


class Reason(StrEnum):
    """Why a question has no answer; the text of `Answer.reason`."""

    DEADLINE = "deadline"
    ENGINE_UNAVAILABLE = "engine_unavailable"
    ENGINE_CRASH = "engine_crash"
    ENGINE_FAULT = "engine_fault"
    NON_FINITE = "non_finite"
    QUESTION_TOO_LONG = "question_too_long"
    PICTURE_TOO_LARGE = "picture_too_large_for_context"
    MALFORMED_PICTURE = "malformed_picture"
    TEXT_TOO_LONG = "text_too_long"
    TOO_MANY_QUESTIONS = "too_many_questions"
    NO_TOKENS_ALLOWED = "no_tokens_allowed"
    CHOICES_NOT_DISTINCT = "choices_not_distinct"
    CANCELLED = "cancelled"
    SCHEMA_UNSUPPORTED = "schema_unsupported"
    SCHEMA_NOT_MET = "schema_not_met"
    STOP_UNUSABLE = "stop_unusable"
    ENGINE_BUSY = "engine_busy"
    # Of a server that answers over HTTP:
    ENGINE_REFUSED = "engine_refused"
    ENGINE_TIMEOUT = "engine_timeout"
    MALFORMED_ANSWER = "malformed_answer"
    NO_LOGPROBS = "no_logprobs"
    INCONCLUSIVE_LOGPROBS = "inconclusive_logprobs"
    ONLY_THOUGHT = "only_thought"


@dataclass(frozen=True, slots=True)
class ChatForm:
    """The constant text around picture and question, or around a text and a question about it. Control tokens in these
    three are parsed as such; the marks of the picture itself (`<|vision_start|>` and the like) are llama.cpp's to add.
    """

    before_picture: str
    after_picture: str
    after_question: str


@dataclass(frozen=True, slots=True)
class AnswerWords:
    """What counts as yes and as no, in every asked language and in the variants a tokenizer tells apart."""

    yes: tuple[str, ...]
    no: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model ready to be started. `name` is for people and decisions. Without `chat_form` it is that of the model's
    own template. Digests are `sha256:…` where the catalogue
    knows them: a file that differs is refused. `missing_hint` says how to get files that are not there."""

    name: str
    model: Path
    projector: Path
    chat_form: ChatForm | None
    words: AnswerWords
    picture_tokens: int
    demonstration: bool
    model_digest: str | None = None
    projector_digest: str | None = None
    missing_hint: str = ""


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """There is a process at each of the `places`. In each of them so many pictures and questions are in work at once
    at most; `remembered_bytes` bounds the encodings that it keeps for new questions on a picture. `most_waiting` jobs
    of a priority wait for them at most, each with its picture; one more is refused.

    `hang_grace_s` is how long after a job's deadline the process may stay silent before it is killed; None leaves that
    to what the process measures (`app.engine.patience`). Callers get their timeouts at the deadline all the same.
    """

    files: ModelFiles
    runtime: Runtime = field(default_factory=Runtime)
    places: tuple[Place, ...] = (Place("process 1"),)
    parallel_questions: int = 64
    parallel_pictures: int = 16
    remembered_bytes: int = 64 * 1024 * 1024
    most_waiting: int = 2048
    start_timeout_s: float = 300.0
    hang_grace_s: float | None = None


def unanswered(question: Question, status: Status, reason: str) -> Answer:
    return Answer(question_id=question.id, status=status, reason=reason)
