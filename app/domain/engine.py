"""What is asked of the resident model and what it answers."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from app.domain.images import Picture
from app.domain.words import Status
from app.domain.writing import WrittenText


class QuestionKind(StrEnum):
    YES_NO = "yes_no"
    CHOICE = "choice"
    GENERATE = "generate"


@dataclass(frozen=True, slots=True)
class Question:
    """`prompt` is plain text: control tokens in it are never parsed. `max_tokens` bounds a generated answer; `choices`
    are the words that a choice is between, two at least, none the beginning of another. `json_schema` is the text of a
    JSON Schema that a generated answer meets: docs/engine.md says which part of the language; the answer is then
    compact JSON, whole or not at all. A generated answer ends before the first of the texts in `stop`: a few, not
    empty, and not beside a schema."""

    id: str
    kind: QuestionKind
    prompt: str
    max_tokens: int = 0
    choices: tuple[str, ...] = ()
    json_schema: str | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """One question's end. A yes/no answer that is ok has both logarithms (natural, over the whole vocabulary); a
    choice has one for each of its words, in their order: that the answer begins with it. A generated one has `text`,
    with `truncated` when `max_tokens` ended it."""

    question_id: str
    status: Status
    reason: str | None = None
    log_yes: float | None = None
    log_no: float | None = None
    text: str | None = None
    truncated: bool = False
    log_choices: tuple[float, ...] | None = None


class Priority(IntEnum):
    """Which jobs the engine takes first: the smaller."""

    SYNCHRONOUS = 0
    BULK = 1


@dataclass(frozen=True, slots=True)
class EngineJob:
    """One picture, or one text without a picture, and everything asked of it. `deadline_at` is on `time.monotonic()`'s
    clock, in seconds."""

    id: str
    subject: Picture | WrittenText
    questions: tuple[Question, ...]
    deadline_at: float
    priority: Priority = Priority.SYNCHRONOUS

    @property
    def picture(self) -> Picture:
        """Raises TypeError for a job about a text."""
        if not isinstance(self.subject, Picture):
            raise TypeError(f"job {self.id} is about a text")
        return self.subject


class EngineState(StrEnum):
    """Overdue is a process that owes an answer and has said nothing for longer than it ever takes: it may come back, or
    be found to hang."""

    STARTING = "starting"
    READY = "ready"
    OVERDUE = "overdue"
    RESTARTING = "restarting"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class EngineProcessInfo:
    """One process of an engine that has any; `jobs` are those that it has been given and has not finished."""

    name: str
    state: EngineState
    detail: str | None = None
    restarts: int = 0
    jobs: int = 0


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """Who answers. Digests are `sha256:` of the files and None until they are known; `queue_depth` counts jobs that
    wait or run; `detail` says why the engine, or one of its `processes`, is not ready; it is ready while one of them
    is. `served_as` is what a remote server calls the model: its
    word for which one it is, and no proof."""

    name: str
    state: EngineState
    demonstration: bool
    model_digest: str | None = None
    projector_digest: str | None = None
    detail: str | None = None
    restarts: int = 0
    queue_depth: int = 0
    served_as: str | None = None
    processes: tuple[EngineProcessInfo, ...] = ()

    @property
    def degraded(self) -> bool:
        """Ready with fewer processes than it should have."""
        return self.state is EngineState.READY and self.detail is not None

    @property
    def model_pin(self) -> str | None:
        """What a decision is pinned to: the digest, or else the server's word, which no digest is equal to."""
        if self.model_digest is not None or self.served_as is None:
            return self.model_digest
        return f"unverified:{self.served_as}"
