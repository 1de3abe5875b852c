"""What the desk needs of a store, which satisfies it by shape."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from app.domain import AuditEvent, CaseState, ReviewCase


class CaseStore(Protocol):
    """Every method raises StoreUnavailable when the database does not answer."""

    async def find(self, case_id: str) -> ReviewCase:
        """Raises NotFound."""
        ...

    async def page(
        self, *, limit: int, cursor: str | None = None, state: CaseState | None = None
    ) -> tuple[list[ReviewCase], str | None]:
        """In the queue's order (highest priority, then oldest), and the cursor of the next page or None. Raises
        MalformedRequest for a foreign cursor."""
        ...

    async def claimable(self, *, at: datetime, limit: int) -> list[ReviewCase]:
        """The first cases of the queue that are open, or whose lease is over at `at`."""
        ...

    async def lapsed(self, *, at: datetime, not_after: datetime, limit: int) -> list[ReviewCase]:
        """Claimed cases whose lease is over at `at`, the longest over first, or ends after `not_after`."""
        ...

    async def count_by_state(self) -> dict[CaseState, int]:
        """Every state is a key."""
        ...

    async def save(self, case: ReviewCase, *, expected_version: int, events: Sequence[AuditEvent]) -> None:
        """Write the case over the version it was read at, and put the events into the audit outbox, in one
        transaction. Raises CaseConflict when the case has another version by now (nothing is written), and NotFound.
        """
        ...
