"""By which policies pictures are deleted at the moment, and what an edit would change about that.

What is deleted does not come back, and a file has no second button that could ask. So a shorter time does not count at
once: for a while a picture goes only when the policy that was in force before lets it go too.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

from app.domain import Keeping
from app.errors import StoreUnavailable
from app.policy.live import LiveRuleset
from app.policy.ports import EvidenceRecords
from app.policy.retention import keeping
from app.policy.retention_change import PictureCount, RetentionChange, count_deleted
from app.policy.travel import Outline

log = structlog.get_logger(__name__)

#: How far ahead is looked for what an edit keeps longer.
_AHEAD = timedelta(days=30)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class RetentionTerms:
    """`passed_if_silent` is as of `keeping`. `grace` is how long the policy before still has a say."""

    def __init__(
        self,
        ruleset: LiveRuleset,
        records: EvidenceRecords,
        *,
        passed_if_silent: timedelta,
        grace: timedelta,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._ruleset = ruleset
        self._records = records
        self._passed_if_silent = passed_if_silent
        self._grace = grace
        self._clock = clock
        #: Of the policy that had a say last, by its digest.
        self._before: tuple[str, Keeping] | None = None
        self._announced: tuple[str | None, str | None] | None = None

    async def terms(self) -> tuple[Keeping, ...]:
        """That of the policy in force, and that of the one before where it still has a say: a picture is deleted when
        all let it go. Raises StoreUnavailable, PolicyInvalid when the policy before cannot be read any more, and
        WorkerError: until it is known what it said, nothing is deleted."""
        now, before = await self._both()
        if before is None or now.says_as(before):
            return (now,)
        await self._announce(before, now)
        return now, before

    async def change(self, candidate: Outline, before: Outline | None = None) -> RetentionChange | None:
        """What putting the candidate in force now changes against `before`, or the policy in force; None where it keeps
        all pictures as long."""
        return await self._between(self._of(before or self._ruleset.current), self._of(candidate), self._clock())

    async def pending(self) -> RetentionChange | None:
        """What the policy in force deletes when its grace is over; None where nothing is different then. Raises what
        `terms` raises."""
        now, before = await self._both()
        activation = self._ruleset.status.activation
        if before is None or activation is None:
            return None
        return await self._between(before, now, activation.change.at)

    async def _both(self) -> tuple[Keeping, Keeping | None]:
        current = self._ruleset.current
        then = await self._ruleset.in_force_at(self._clock() - self._grace)
        if then is None or then.policy_digest == current.policy_digest:
            return self._of(current), None
        if self._before is None or self._before[0] != then.policy_digest:
            self._before = then.policy_digest, self._of(await self._ruleset.outline(then.digest))
        return self._of(current), self._before[1]

    async def _between(self, before: Keeping, after: Keeping, since: datetime) -> RetentionChange | None:
        if after.says_as(before):
            return None
        deletes_at, until = since + self._grace, since + self._grace + _AHEAD
        deleted, longer = await asyncio.gather(
            self._count(after, before, deletes_at), self._count(before, after, until)
        )
        return RetentionChange(deletes_at=deletes_at, compared_until=until, deleted=deleted, kept_longer=longer)

    async def _count(self, gone_by: Keeping, kept_by: Keeping, at: datetime) -> PictureCount | None:
        try:
            return await count_deleted(self._records, gone_by, kept_by=kept_by, at=at)
        except StoreUnavailable:
            return None  # an activation that is made is answered all the same

    async def _announce(self, before: Keeping, now: Keeping) -> None:
        """Once: whoever saves a file sees no answer that would tell."""
        if self._announced == (before.policy, now.policy):
            return
        self._announced = before.policy, now.policy
        change = await self.pending()
        if change is not None and not change.is_harmless:
            log.warning(
                "the policy in force deletes pictures that the one before would keep, once its grace is over",
                action="retention_shortened",
                policy=now.policy,
                deletes_at=change.deletes_at.isoformat(),
                pictures=None if change.deleted is None else change.deleted.pictures,
                complete=change.deleted is not None and change.deleted.complete,
            )

    def _of(self, outline: Outline) -> Keeping:
        return keeping(outline, passed_if_silent=self._passed_if_silent)
