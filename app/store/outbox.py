"""Put audit events beside what they tell of, in the same transaction."""

from collections.abc import Sequence

from sqlmodel.ext.asyncio.session import AsyncSession

from app.audit.chain import canonical_event
from app.domain import AuditEvent
from app.store.dialects import insert
from app.store.tables import OutboxRow


async def put_events(session: AsyncSession, events: Sequence[AuditEvent]) -> None:
    """Events that wait already are left as they are. Raises ValueError for an event that could not be sealed: it is
    refused here, where it is made, and never stops the sealer."""
    if not events:
        return
    rows = [{"event_id": event.id, "event": canonical_event(event).decode()} for event in events]
    await session.exec(insert(session, OutboxRow).values(rows).on_conflict_do_nothing(index_elements=["event_id"]))
