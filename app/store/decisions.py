"""Decisions with everything needed to make them again."""

from collections.abc import Sequence
from functools import cache, partial
from typing import Any, TypeVar

from pydantic import ValidationError
from sqlalchemy import Connection, Executable, literal, tuple_
from sqlalchemy import case as sql_case
from sqlalchemy import insert as sql_insert
from sqlmodel import col, select

from app.domain import AuditEvent, Decision, DecisionRecord, Findings, Outcome, ReviewCase, UploadContext, Value
from app.errors import IdempotencyConflict, MalformedRequest, NotFound, StoreUnavailable
from app.store.cases import case_columns
from app.store.cursors import page_limit, read_cursor, time_of, write_cursor
from app.store.dialects import insert, known_id, storable
from app.store.outbox import OutboxRows, outbox_rows, put_rows
from app.store.session import Database
from app.store.tables import CaseRow, DecisionCategoryRow, DecisionRow, PictureRow
from app.store.types import UtcDateTime

V = TypeVar("V", bound=Value)

_CURSOR = "decisions"


class SqlDecisionStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, record: DecisionRecord, events: Sequence[AuditEvent], case: ReviewCase | None) -> Decision:
        """Commit decision, findings, pins, audit outbox and review case together; the stored decision.

        A repeated request (same key, idempotency key and request digest) writes nothing and gets the earlier
        decision, also when both arrive at once. Raises IdempotencyConflict, MalformedRequest for text that cannot be
        stored, and StoreUnavailable when nothing could be written.
        """
        if record.idempotency_key is not None and not storable(record.idempotency_key):
            raise MalformedRequest("the idempotency key holds characters that cannot be stored")
        columns, rows = _columns(record), outbox_rows(events)
        try:
            await self._database.transact(partial(_write, record, columns, rows, case))
        except _Repeated:
            pass
        else:
            return record.decision
        earlier = await self._earlier(record)
        if earlier is None:
            raise StoreUnavailable("an earlier decision for this idempotency key was there and is gone")
        return earlier

    async def find(self, decision_id: str, *, key_id: str | None = None) -> Decision:
        """The decision; with `key_id`, only if that key asked for it. Raises NotFound."""
        query = select(DecisionRow.decision).where(DecisionRow.id == known_id("decision", decision_id))
        if key_id is not None:
            query = query.where(DecisionRow.key_id == key_id)
        async with self._database.reading() as session:
            found = (await session.exec(query)).first()
        if found is None:
            raise NotFound("there is no such decision")
        return _value(Decision, found)

    async def find_record(self, decision_id: str) -> DecisionRecord:
        """The decision with its findings and context. Raises NotFound."""
        query = select(DecisionRow).where(DecisionRow.id == known_id("decision", decision_id))
        async with self._database.reading() as session:
            row = (await session.exec(query)).first()
        if row is None:
            raise NotFound("there is no such decision")
        return DecisionRecord(
            decision=_value(Decision, row.decision),
            findings=_value(Findings, row.findings),
            context=_value(UploadContext, row.context),
            key_id=row.key_id,
            media_type=row.media_type,
            idempotency_key=row.idempotency_key,
            request_digest=row.request_digest,
        )

    async def find_idempotent(self, key_id: str, idempotency_key: str, request_digest: str) -> Decision | None:
        """The decision that this key already got for this idempotency key, if any. Raises IdempotencyConflict."""
        if not storable(idempotency_key):
            return None
        query = select(DecisionRow.request_digest, DecisionRow.decision).where(
            DecisionRow.key_id == key_id, DecisionRow.idempotency_key == idempotency_key
        )
        async with self._database.reading() as session:
            found = (await session.exec(query)).first()
        if found is None:
            return None
        earlier_digest, decision = found
        if earlier_digest != request_digest:
            raise IdempotencyConflict("this idempotency key was used for another upload")
        return _value(Decision, decision)

    async def page(
        self,
        *,
        limit: int,
        cursor: str | None = None,
        outcome: Outcome | None = None,
        key_id: str | None = None,
    ) -> tuple[list[Decision], str | None]:
        """The newest first, and the cursor of the next page or None. Raises MalformedRequest for a foreign cursor."""
        query = select(DecisionRow.created_at, DecisionRow.id, DecisionRow.decision)
        if outcome is not None:
            query = query.where(DecisionRow.outcome == outcome.value)
        if key_id is not None:
            query = query.where(DecisionRow.key_id == key_id)
        if cursor is not None:
            moment, last_id = read_cursor(_CURSOR, cursor, [str, str])
            place = tuple_(literal(time_of(moment), UtcDateTime()), literal(last_id))
            query = query.where(tuple_(col(DecisionRow.created_at), col(DecisionRow.id)) < place)
        query = query.order_by(col(DecisionRow.created_at).desc(), col(DecisionRow.id).desc())
        async with self._database.reading() as session:
            rows = (await session.exec(query.limit(page_limit(limit) + 1))).all()
        more = len(rows) > limit
        rows = rows[:limit]
        following = write_cursor(_CURSOR, [rows[-1][0].isoformat(), rows[-1][1]]) if more else None
        return [_value(Decision, text) for _, _, text in rows], following

    async def _earlier(self, record: DecisionRecord) -> Decision | None:
        if record.idempotency_key is None or record.request_digest is None:
            return None
        return await self.find_idempotent(record.key_id, record.idempotency_key, record.request_digest)


class _Repeated(Exception):
    """The idempotency key has a decision already."""


def _write(
    record: DecisionRecord, columns: dict[str, Any], events: OutboxRows, case: ReviewCase | None, connection: Connection
) -> None:
    """Raises _Repeated."""
    dialect, facts, at = connection.dialect.name, record.decision.image, record.decision.created_at
    picture = {"sha256": facts.sha256, "media_type": record.media_type, "size_bytes": facts.size_bytes}
    connection.execute(_see_picture(dialect), picture | {"first_seen_at": at, "last_seen_at": at})
    if connection.execute(_keep(dialect), columns).rowcount == 0:
        raise _Repeated
    if categories := {violation.category for violation in record.decision.violations}:
        rows = [{"decision_id": record.decision.id, "category": category} for category in sorted(categories)]
        connection.execute(sql_insert(DecisionCategoryRow), rows)
    if case is not None:
        connection.execute(sql_insert(CaseRow), case_columns(case))
    put_rows(connection, events)


@cache
def _see_picture(dialect: str) -> Executable:
    """The picture is here, again if retention had removed it."""
    statement = insert(dialect, PictureRow)
    seen_at = col(PictureRow.last_seen_at)
    latest = sql_case((statement.excluded.last_seen_at > seen_at, statement.excluded.last_seen_at), else_=seen_at)
    return statement.on_conflict_do_update(index_elements=["sha256"], set_={"last_seen_at": latest, "deleted_at": None})


@cache
def _keep(dialect: str) -> Executable:
    # The constraint decides between two requests with one idempotency key, not a look beforehand.
    return insert(dialect, DecisionRow).on_conflict_do_nothing(index_elements=["key_id", "idempotency_key"])


def _columns(record: DecisionRecord) -> dict[str, Any]:
    decision = record.decision
    return {
        "id": decision.id,
        "created_at": decision.created_at,
        "outcome": decision.outcome.value,
        "degraded": decision.degraded,
        "key_id": record.key_id,
        "image_sha256": decision.image.sha256,
        "ruleset_digest": decision.pins.ruleset,
        "supersedes": decision.supersedes,
        "media_type": record.media_type,
        "idempotency_key": record.idempotency_key,
        "request_digest": record.request_digest,
        "decision": _json(decision),
        "findings": _json(record.findings),
        "context": _json(record.context),
    }


def _json(value: Value) -> str:
    try:
        return value.model_dump_json()
    except ValueError as error:  # half of a surrogate pair, which JSON can spell and UTF-8 cannot hold
        raise MalformedRequest("the upload's fields hold characters that cannot be stored") from error


def _value(kind: type[V], text: str) -> V:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        # The validation error quotes the row.
        raise StoreUnavailable(f"a stored {kind.__name__} cannot be read by this version") from error
