"""By which policies pictures are deleted at the moment, and what an edit would change about that.

What is deleted does not come back, and a file has no second button that could ask. So a shorter time does not count at
once: a picture goes only when all that was in force during the grace lets it go.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import groupby

import structlog

from app.domain import Keeping
from app.errors import PolicyInvalid, PolicyProblem, StoreUnavailable
from app.policy.grace import Reign, lapse, with_a_say
from app.policy.live import LiveRuleset
from app.policy.ports import EvidenceRecords
from app.policy.retention import keeping
from app.policy.retention_change import Counts, PictureCount, RetentionChange
from app.policy.travel import Outline
from app.policy.versions import version_name

log = structlog.get_logger(__name__)

#: How far ahead is looked for what an edit keeps longer.
_AHEAD = timedelta(days=30)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class RetentionTerms:
    """`passed_if_silent` is as of `keeping`. `grace` is how long a policy has a say that is not in force any more."""

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
        self._counts = Counts(records)
        self._passed_if_silent = passed_if_silent
        self._grace = grace
        self._clock = clock
        #: Of the policies that have a say, by their digests.
        self._known: dict[str, Keeping] = {}
        #: When what was announced last begins and ends.
        self._announced: tuple[datetime, datetime] | None = None

    async def terms(self) -> tuple[Keeping, ...]:
        """That of the policy in force, and where it alone would delete more, the longest of all that have a say: a
        picture is deleted when each lets it go. Raises StoreUnavailable, WorkerError, and PolicyInvalid when one cannot
        be read, or this node does not follow the newest: until it is known what they say, nothing is deleted."""
        await self._ruleset.follow()
        reigns = await self._reigns()
        now, longest = reigns[-1].keeping, with_a_say(reigns, self._clock(), self._grace)
        return (now,) if longest.says_as(now) else (now, longest)

    async def announce(self) -> None:
        """Log once, where the policy in force deletes what one before would keep, when that begins. Nothing of what
        cannot be read: that is said when it is to be gone by. Raises StoreUnavailable and WorkerError."""
        with suppress(PolicyInvalid):
            await self._announce_once(await self._reigns())

    async def change(self, candidate: Outline, before: Outline | None = None) -> RetentionChange | None:
        """What putting the candidate in force now changes against `before`, or the policy in force; None where it keeps
        all pictures as long."""
        return await self._between(self._of(before or self._ruleset.current), self._of(candidate), self._clock())

    async def pending(self) -> RetentionChange | None:
        """What the policy in force deletes when all grace is over, from when the first of it is; None where nothing is
        different then. Raises what `terms` raises."""
        return await self._lapsing(await self._reigns())

    async def _lapsing(self, reigns: Sequence[Reign]) -> RetentionChange | None:
        ahead = lapse(reigns, self._clock(), self._grace)
        if ahead is None:
            return None
        return RetentionChange(
            deletes_at=ahead.begins_at,
            compared_until=ahead.ends_at + _AHEAD,
            deleted=await self._count(ahead.gone_by, ahead.kept_by, ahead.ends_at),
            kept_longer=PictureCount(pictures=0, complete=True),  # a longer time counts at once
        )

    async def _reigns(self) -> list[Reign]:
        """Of all policies that have a say, the one in force last."""
        history = await self._ruleset.in_force_since(self._clock() - self._grace)
        current, activation = self._ruleset.current, self._ruleset.status.activation
        if activation is None or activation.seq != history[-1].seq:
            what = "this node has another version in force: until it has this one, nothing is deleted"
            raise PolicyInvalid((PolicyProblem(version_name(history[-1].digest), 1, 1, what),))
        known = {current.policy_digest: self._of(current)}
        for one in history:
            if one.policy_digest not in known:
                known[one.policy_digest] = self._known.get(one.policy_digest) or self._of(
                    await self._ruleset.outline(one.digest)
                )
        self._known = known
        runs = groupby(history, key=lambda one: one.policy_digest)
        return [Reign(next(run).change.at, known[digest]) for digest, run in runs]

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
            return await self._counts.deleted(gone_by, kept_by=kept_by, at=at)
        except StoreUnavailable:
            return None  # an activation that is made is answered all the same

    async def _announce_once(self, reigns: Sequence[Reign]) -> None:
        """Whoever saves a file sees no answer that would tell."""
        ahead = lapse(reigns, self._clock(), self._grace)
        if ahead is None or self._announced == (ahead.begins_at, ahead.ends_at):
            return
        change = await self._lapsing(reigns)
        if change is not None and not change.is_harmless:
            log.warning(
                "the policy in force deletes pictures that one before would keep, once its grace is over",
                action="retention_shortened",
                policy=ahead.gone_by.policy,
                deletes_at=change.deletes_at.isoformat(),
                pictures=None if change.deleted is None else change.deleted.pictures,
                complete=change.deleted is not None and change.deleted.complete,
            )
        self._announced = ahead.begins_at, ahead.ends_at

    def _of(self, outline: Outline) -> Keeping:
        return keeping(outline, passed_if_silent=self._passed_if_silent)
