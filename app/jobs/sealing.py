"""Seal what waits in the audit outbox."""

from app.audit.ports import AuditLog

#: Large enough that the cost of a transaction is shared, small enough that no other writer waits long for it.
_BATCH = 200


async def seal_audit(log: AuditLog) -> int:
    """Seal until nothing waits; how many events were sealed. Raises AuditBroken and StoreUnavailable."""
    sealed = 0
    if await log.pending() == 0:
        return sealed  # without taking the writer's turn
    while True:
        taken = await log.seal(limit=_BATCH)
        sealed += taken
        if taken < _BATCH:
            return sealed
