"""Remove the pictures that nobody needs any more."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog

from app.domain import AuditEvent, new_id
from app.jobs.ports import EvidenceFiles, EvidenceRecords

log = structlog.get_logger(__name__)

#: A picture is put before its decision is recorded. Longer than any decision may take (60 s), with room for clocks
#: that differ between nodes.
IN_FLIGHT = timedelta(minutes=10)
_BATCH = 100


class Retention:
    """`keep_passed` counts from the moment an upload passed, or from a reviewer's verdict that it passes."""

    def __init__(
        self, records: EvidenceRecords, files: EvidenceFiles, *, keep_passed: timedelta, clock: Callable[[], datetime]
    ) -> None:
        self._records = records
        self._files = files
        self._keep_passed = keep_passed
        self._clock = clock

    async def remove_passed(self) -> int:
        """Pictures whose every decision passed long enough ago; how many were removed."""
        now = self._clock()
        passed_before = now - self._keep_passed
        removed = 0
        while True:
            pictures = await self._records.expired_evidence(passed_before=passed_before, limit=_BATCH)
            gone = await self._remove(pictures, put_before=min(passed_before, now - IN_FLIGHT), reason="passed")
            removed += gone
            if len(pictures) < _BATCH or gone == 0:
                return removed

    async def remove_unclaimed(self) -> int:
        """Pictures that no decision is about: their upload was refused, or failed, after they were put."""
        put_before = self._clock() - IN_FLIGHT
        removed = 0
        async for pictures in self._files.put_before(put_before):
            unknown = await self._records.unknown_evidence(pictures)
            removed += await self._remove(unknown, put_before=put_before, reason="no_decision")
        return removed

    async def _remove(self, pictures: Sequence[str], *, put_before: datetime, reason: str) -> int:
        """First the file, then the note: interrupted between the two, the next run finds the picture again."""
        gone = [picture for picture in pictures if await self._files.delete_if_put_before(picture, put_before)]
        if gone:
            now = self._clock()
            events = [_deleted(picture, reason, now) for picture in gone]
            await self._records.evidence_deleted(gone, seen_before=put_before, at=now, events=events)
            log.info("evidence deleted", action="evidence_deleted", pictures=len(gone), reason=reason)
        return len(gone)


def _deleted(picture: str, reason: str, at: datetime) -> AuditEvent:
    return AuditEvent(
        id=new_id("evt"), kind="evidence.deleted", at=at, actor="system", subject=picture, body={"reason": reason}
    )
