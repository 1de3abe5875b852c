"""What the pipeline needs of the rooms it may not import. Engines and stores satisfy these by shape."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol, Self

from app.domain import Answer, AuditEvent, Decision, DecisionRecord, EngineInfo, EngineJob, Image, Outcome, ReviewCase
from app.policy.ruleset import Ruleset


class Answers(Protocol):
    """The answers to one job, as they come; an async iterator."""

    def __aiter__(self) -> Self: ...

    async def __anext__(self) -> Answer: ...

    def cancel(self, question_ids: Collection[str], *, reason: str = "cancelled") -> None:
        """Nobody wants these any more: those that have no answer yet are answered at once with `skipped` and the
        reason, and the engine spends nothing more on them. Ids that are answered or not the job's are passed over.
        Does not wait; may be called at any time, also while somebody waits for the next answer."""
        ...

    async def aclose(self) -> None:
        """Cancel everything that is left, without answers."""
        ...


class Engine(Protocol):
    """The resident model."""

    @property
    def info(self) -> EngineInfo: ...

    def ask(self, job: EngineJob) -> Answers:
        """Answers as they come, each question exactly once, none after the job's deadline (plus a small grace): what
        is not answered by then is answered with `timeout`, what a dead engine cannot answer with `failed` and a
        reason. Never raises for a fault of the engine; closing the iterator cancels what is left. Raises NoQuestions
        for a job that asks nothing; one that asks too much gets `failed: too_many_questions` for each question."""
        ...


class DecisionStore(Protocol):
    async def record(self, record: DecisionRecord, events: Sequence[AuditEvent], case: ReviewCase | None) -> Decision:
        """Commit decision, findings, pins, audit outbox and review case together; the stored decision.

        When `record.idempotency_key` is already used by the same API key with the same `request_digest`, nothing is
        written and the earlier decision comes back. Raises IdempotencyConflict when the digest differs, and
        StoreUnavailable when nothing could be written.
        """
        ...

    async def find(self, decision_id: str, *, key_id: str | None = None) -> Decision:
        """The decision; with `key_id`, only if that key asked for it. Raises NotFound."""
        ...

    async def find_record(self, decision_id: str) -> DecisionRecord:
        """The decision with its findings and context. Raises NotFound."""
        ...

    async def find_idempotent(self, key_id: str, idempotency_key: str, request_digest: str) -> Decision | None:
        """The decision that this key already got for this idempotency key, if any. Raises IdempotencyConflict."""
        ...

    async def page(
        self,
        *,
        limit: int,
        cursor: str | None = None,
        outcome: Outcome | None = None,
        key_id: str | None = None,
    ) -> tuple[list[Decision], str | None]:
        """The newest first, and the cursor of the next page or None. Raises MalformedRequest for a foreign cursor."""
        ...


class Beside(Protocol):
    """What is done with a decision that is made, apart from the answer."""

    def offer(
        self, record: DecisionRecord, ruleset: Ruleset, image: Image, *, pixels: Callable[[], Awaitable[Image]]
    ) -> None:
        """Returns at once and never raises. `ruleset` is the one that decided; `pixels` decodes the picture again,
        for an `image` that has none."""
        ...


class EvidenceStore(Protocol):
    """Uploaded pictures by SHA-256 (hex). Writing the same picture twice is not an error."""

    async def put(self, image: Image, data: bytes) -> None: ...

    async def get(self, sha256: str) -> bytes:
        """The upload's own bytes. Raises NotFound, also when retention removed it."""
        ...

    async def preview(self, sha256: str) -> bytes:
        """The grey, blurred JPEG. Raises NotFound."""
        ...


class AuditOutbox(Protocol):
    async def append(self, events: Sequence[AuditEvent]) -> None:
        """For what happens outside a decision: a policy activation, a picture that was viewed."""
        ...
