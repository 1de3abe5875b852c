"""The log as the rest of the service sees it. The store satisfies it by shape."""

from collections.abc import Sequence
from typing import Protocol

from app.audit.chain import ChainPoint, ChainReport, SealedEntry
from app.domain import AuditEvent


class AuditLog(Protocol):
    """Events are appended to an outbox (mostly in the transaction of what they tell) and sealed into the chain soon
    after, in the order they are found there."""

    async def append(self, events: Sequence[AuditEvent]) -> None:
        """Put events into the outbox; one that is there already is left as it is. Raises StoreUnavailable."""
        ...

    async def seal(self, *, limit: int) -> int:
        """Seal up to `limit` waiting events; how many were taken from the outbox (0: none wait).

        Raises AuditBroken, leaving everything in the outbox, when the chain's end is not what the head names.
        """
        ...

    async def pending(self) -> int:
        """How many events wait to be sealed."""
        ...

    async def entries(self, *, after_seq: int = 0, limit: int) -> list[SealedEntry]:
        """Entries by number, from `after_seq + 1` on."""
        ...

    async def head(self) -> ChainPoint:
        """Where the chain ends, as the sealer recorded it. Raises AuditBroken when that record is gone."""
        ...

    async def verify(self) -> ChainReport:
        """Read the whole chain and name the first problem."""
        ...
