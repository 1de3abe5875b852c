"""Put audit events beside what they tell of, in the same transaction."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Executable
from sqlmodel.ext.asyncio.session import AsyncSession

from app.audit.chain import canonical_event
from app.domain import AuditEvent
from app.store.dialects import insert
from app.store.tables import OutboxRow

#: What an event is in the outbox, by column.
OutboxRows = Sequence[dict[str, Any]]


async def put_events(session: AsyncSession, events: Sequence[AuditEvent]) -> None:
    """Events that wait already are left as they are. Raises ValueError for an event that could not be sealed: it is
    refused here, where it is made, and never stops the sealer."""
    rows = outbox_rows(events)
    await session.run_sync(lambda inner: put_rows(inner.connection(), rows))


def outbox_rows(events: Sequence[AuditEvent]) -> OutboxRows:
    """For `put_rows`. Raises ValueError for an event that could not be sealed."""
    return [{"event_id": event.id, "event": canonical_event(event).decode()} for event in events]


def put_rows(connection: Connection, rows: OutboxRows) -> None:
    """Events that wait already are left as they are."""
    if rows:
        connection.execute(_put(connection.dialect.name), rows)


@cache
def _put(dialect: str) -> Executable:
    return insert(dialect, OutboxRow).on_conflict_do_nothing(index_elements=["event_id"])
