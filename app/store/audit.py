"""The audit log: an outbox that anything may append to, and one chain that a sealer extends."""

from collections.abc import Sequence

import structlog
from pydantic import ValidationError
from sqlalchemy import BigInteger, LargeBinary, cast, delete, func
from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from app.audit.chain import GENESIS, ChainPoint, ChainReport, SealedEntry, check_head, link_all, verify
from app.domain import AuditEvent
from app.errors import AuditBroken
from app.metrics import AUDIT_SEALED
from app.store.dialects import insert
from app.store.outbox import put_events
from app.store.session import Database
from app.store.tables import EntryRow, HeadRow, OutboxRow

log = structlog.get_logger(__name__)

#: Entries read at once while verifying: a few milliseconds of hashing between two turns of the event loop.
_VERIFY_BATCH = 500
#: Below any number: an entry that somebody slipped in before the first is looked at too.
_BEFORE_ALL = -(2**63)

# The casts are for SQLite, where a hand that tampers may leave text in any column: it is read as the bytes that it is,
# and named by `verify`.
_ENTRY = (
    col(EntryRow.seq),
    cast(col(EntryRow.prev), LargeBinary),
    cast(col(EntryRow.hash), LargeBinary),
    cast(col(EntryRow.body), LargeBinary),
)
_HEAD = (cast(col(HeadRow.seq), BigInteger), cast(col(HeadRow.hash), LargeBinary))


class SqlAuditLog:
    """Events are numbered when they are sealed, not when they are written: a number taken in a transaction that
    commits late, or never, would leave gaps and change the order afterwards."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, events: Sequence[AuditEvent]) -> None:
        async with self._database.writing() as session:
            await put_events(session, events)

    async def seal(self, *, limit: int) -> int:
        """Seal up to `limit` waiting events in one transaction; how many left the outbox.

        Sealers take turns at the lock on the head's row, on however many nodes they run. Raises AuditBroken, leaving
        everything in the outbox, when the last entry is not the one that the head names.
        """
        async with self._database.writing() as session:
            head = await _locked_head(session)
            rows = (await session.exec(select(OutboxRow).order_by(col(OutboxRow.position)).limit(limit))).all()
            if not rows:
                return 0
            await _require_end(session, head)
            fresh = await _not_sealed_yet(session, rows)
            entries = link_all(head, [_event(row) for row in fresh])
            if entries:
                await _write(session, entries, [row.event_id for row in fresh])
            positions = [row.position for row in rows]
            await session.exec(delete(OutboxRow).where(col(OutboxRow.position).in_(positions)))
        AUDIT_SEALED.inc(len(entries))
        return len(rows)

    async def pending(self) -> int:
        async with self._database.reading() as session:
            return (await session.exec(select(func.count()).select_from(OutboxRow))).one()

    async def entries(self, *, after_seq: int = 0, limit: int) -> list[SealedEntry]:
        query = select(*_ENTRY).where(EntryRow.seq > after_seq).order_by(col(EntryRow.seq)).limit(limit)
        async with self._database.reading() as session:
            return [SealedEntry(*row) for row in (await session.exec(query)).all()]

    async def head(self) -> ChainPoint:
        """Raises AuditBroken when the record of the chain's end is gone."""
        head = await self._head()
        if head is None:
            raise AuditBroken("the head of the audit chain is not there")
        return head

    async def verify(self) -> ChainReport:
        """Read the whole chain, also while it is extended, and name the first problem."""
        report = ChainReport(0, GENESIS)
        after_seq = _BEFORE_ALL
        while True:
            # The head is read before the entries: if then nothing follows, it cannot have been extended meanwhile.
            head = await self._head()
            batch = await self.entries(after_seq=after_seq, limit=_VERIFY_BATCH)
            if not batch:
                return check_head(report, head)
            checked = verify(batch, start=report.point)
            report = ChainReport(report.checked + checked.checked, checked.point, checked.problem)
            if report.problem is not None:
                return report
            after_seq = report.point.seq

    async def _head(self) -> ChainPoint | None:
        async with self._database.reading() as session:
            row = (await session.exec(select(*_HEAD))).first()
        return None if row is None else ChainPoint(*row)


async def _locked_head(session: AsyncSession) -> ChainPoint:
    # SQLite has no FOR UPDATE and needs none: its writing transactions begin immediately.
    row = (await session.exec(select(*_HEAD).with_for_update())).first()
    if row is None:
        raise AuditBroken("the head of the audit chain is not there; nothing is sealed until that is cleared up")
    return ChainPoint(*row)


async def _require_end(session: AsyncSession, head: ChainPoint) -> None:
    last = (await session.exec(select(*_ENTRY).order_by(col(EntryRow.seq).desc()).limit(1))).first()
    end = GENESIS if last is None else SealedEntry(*last).point
    if end != head:
        raise AuditBroken(
            f"the audit chain ends at entry {end.seq}, but its head names entry {head.seq}; nothing is sealed until "
            "that is cleared up"
        )


async def _not_sealed_yet(session: AsyncSession, rows: Sequence[OutboxRow]) -> list[OutboxRow]:
    """An append that was repeated because its answer was lost may bring an event that was sealed meanwhile."""
    ids = [row.event_id for row in rows]
    sealed = set((await session.exec(select(EntryRow.event_id).where(col(EntryRow.event_id).in_(ids)))).all())
    if sealed:
        log.warning("events were sealed already", action="audit_repeated", events=sorted(sealed))
    return [row for row in rows if row.event_id not in sealed]


async def _write(session: AsyncSession, entries: Sequence[SealedEntry], event_ids: Sequence[str]) -> None:
    rows = [
        {"seq": entry.seq, "event_id": event_id, "prev": entry.prev, "hash": entry.hash, "body": entry.body}
        for entry, event_id in zip(entries, event_ids, strict=True)
    ]
    await session.exec(insert(session, EntryRow), params=rows)
    end = entries[-1]
    await session.exec(update(HeadRow).values(seq=end.seq, hash=end.hash))


def _event(row: OutboxRow) -> AuditEvent:
    try:
        return AuditEvent.model_validate_json(row.event)
    except ValidationError as error:
        raise AuditBroken(
            f"the waiting event {row.event_id} was damaged; nothing is sealed until that is cleared up"
        ) from error
