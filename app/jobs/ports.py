"""What the jobs need of stores, which satisfy it by shape."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Protocol

from app.domain import AuditEvent, ExpiredPicture, Keeping, PicturePlace


class Ticks(Protocol):
    async def take(self, job: str, slot: int) -> bool:
        """Whether this turn of the job is the caller's: of all nodes, exactly one hears yes."""
        ...

    async def last(self, job: str) -> int | None:
        """The latest turn of the job that any node took; None where none ever did."""
        ...


class EvidenceRecords(Protocol):
    """What the database knows of the pictures."""

    async def expired_evidence(
        self,
        keeping: Keeping,
        *,
        now: datetime,
        seen_before: datetime,
        after: PicturePlace | None,
        limit: int,
        agreed: Sequence[Keeping],
    ) -> tuple[list[ExpiredPicture], PicturePlace | None]:
        """Of the next `limit` pictures that were last seen before then, the longest unseen first, those of whose
        decisions every one is settled and its time over, by what is `agreed` too; and the place to go on from, None at
        the end."""
        ...

    async def evidence_deleted(
        self, pictures: Sequence[str], *, seen_before: datetime, at: datetime, events: Sequence[AuditEvent]
    ) -> None:
        """Note that these pictures' bytes are gone, with the events, in one transaction; but not of those that a
        decision was about since: they have been put again."""
        ...

    async def unknown_evidence(self, pictures: Sequence[str]) -> list[str]:
        """Those of the pictures that no decision is about, or that are noted as deleted."""
        ...


class EvidenceFiles(Protocol):
    """The pictures themselves."""

    async def delete_if_put_before(self, sha256: str, moment: datetime) -> bool:
        """Delete unless the picture was put again since; whether it is gone now."""
        ...

    def put_before(self, moment: datetime) -> AsyncIterator[list[str]]:
        """Every stored picture that was last put before then, some at a time."""
        ...
