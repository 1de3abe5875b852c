"""Remove the pictures that nobody needs any more."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import structlog

from app.domain import IN_FLIGHT, AuditEvent, Keeping, PicturePlace, new_id
from app.jobs.ports import EvidenceFiles, EvidenceRecords

log = structlog.get_logger(__name__)

#: Pictures that are looked at, and removed, in one go.
_BATCH = 200


class Retention:
    """`terms` are asked for before each batch: an edit of the policy counts for what is stored already. A picture goes
    when all of them let it go; the first names the rule that does. Nothing goes while the clock is not `steady`:
    pictures do not come back when the clock does."""

    def __init__(
        self,
        records: EvidenceRecords,
        files: EvidenceFiles,
        *,
        terms: Callable[[], Awaitable[Sequence[Keeping]]],
        clock: Callable[[], datetime],
        steady: Callable[[], bool],
    ) -> None:
        self._records = records
        self._files = files
        self._terms = terms
        self._clock = clock
        self._steady = steady

    async def remove_expired(self) -> int:
        """Pictures whose every decision was settled long enough ago; how many were removed."""
        removed = 0
        after: PicturePlace | None = None
        while self._steady():
            batch, after = await self._remove_batch(after)
            removed += batch
            if after is None:
                break
        return removed

    async def remove_unclaimed(self) -> int:
        """Pictures that no decision is about: their upload was refused, or failed, after they were put."""
        removed = 0
        put_before = self._clock() - IN_FLIGHT
        async for pictures in self._files.put_before(put_before):
            if not self._steady():  # a walk through all the files takes long
                break
            unknown = await self._records.unknown_evidence(pictures)
            removed += await self._remove({picture: {"reason": "no_decision"} for picture in unknown}, put_before)
        return removed

    async def _remove_batch(self, after: PicturePlace | None) -> tuple[int, PicturePlace | None]:
        now, (keeping, *agreed) = self._clock(), await self._terms()
        not_since = now - IN_FLIGHT
        expired, following = await self._records.expired_evidence(
            keeping, now=now, seen_before=not_since, after=after, limit=_BATCH, agreed=agreed
        )
        why = {one.sha256: {"reason": one.settled.value, "rule": one.rule, "policy": keeping.policy} for one in expired}
        return await self._remove(why, not_since), following

    async def _remove(self, why: Mapping[str, Mapping[str, Any]], put_before: datetime) -> int:
        """First the file, then the note: interrupted between the two, the next run finds the picture again."""
        gone = [
            picture for picture in why if self._steady() and await self._files.delete_if_put_before(picture, put_before)
        ]
        if gone:
            now = self._clock()
            events = [_deleted(picture, why[picture], now) for picture in gone]
            await self._records.evidence_deleted(gone, seen_before=put_before, at=now, events=events)
            log.info("evidence deleted", action="evidence_deleted", pictures=len(gone))
        return len(gone)


def _deleted(picture: str, why: Mapping[str, Any], at: datetime) -> AuditEvent:
    return AuditEvent(id=new_id("evt"), kind="evidence.deleted", at=at, actor="system", subject=picture, body=dict(why))
