"""What one retention would delete and another would keep: counted beforehand, by the rule that deletion goes by."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from app.domain import IN_FLIGHT, ExpiredPicture, Keeping, PicturePlace, Settled, Value
from app.policy.ports import EvidenceRecords

#: About the longest that one count may take, in seconds: somebody waits for the answer. It ends with a batch.
PATIENCE_S = 2.0
#: Pictures that are looked at in one go.
_BATCH = 500
#: How long a count is remembered, in seconds, and how many are.
_REMEMBERED_S = 60.0
_REMEMBERED = 16


class PictureGroup(Value):
    """Pictures that one rule lets go. `oldest` is the earliest time at which one of them was settled."""

    settled: Settled
    rule: str
    pictures: int
    oldest: datetime


class PictureCount(Value):
    """The largest group comes first. Not `complete`, it is of the pictures longest unseen, and there may be more."""

    pictures: int
    complete: bool
    oldest: datetime | None = None
    groups: tuple[PictureGroup, ...] = ()


class RetentionChange(Value):
    """What putting a policy in force changes for the pictures that are stored now. `deleted` go from `deletes_at` on,
    and the policy before would keep them then; `kept_longer` are kept at `compared_until`, and it would have deleted
    them. None: it could not be counted."""

    deletes_at: datetime
    compared_until: datetime
    deleted: PictureCount | None
    kept_longer: PictureCount | None

    @property
    def is_harmless(self) -> bool:
        """Whether it is known that nothing more is deleted."""
        return self.deleted is not None and self.deleted.complete and self.deleted.pictures == 0


@dataclass(slots=True)
class _Tally:
    counts: dict[tuple[Settled, str], int] = field(default_factory=dict)
    oldest: dict[tuple[Settled, str], datetime] = field(default_factory=dict)

    def add(self, picture: ExpiredPicture) -> None:
        kind = picture.settled, picture.rule
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self.oldest[kind] = min(picture.settled_at, self.oldest.get(kind, picture.settled_at))

    def result(self, *, complete: bool) -> PictureCount:
        kinds = sorted(self.counts, key=lambda kind: (-self.counts[kind], kind))
        return PictureCount(
            pictures=sum(self.counts.values()),
            complete=complete,
            oldest=min(self.oldest.values(), default=None),
            groups=tuple(
                PictureGroup(settled=kind[0], rule=kind[1], pictures=self.counts[kind], oldest=self.oldest[kind])
                for kind in kinds
            ),
        )


async def count_deleted(
    records: EvidenceRecords,
    keeping: Keeping,
    *,
    kept_by: Keeping,
    at: datetime,
    patience_s: float = PATIENCE_S,
    clock: Callable[[], float] = time.monotonic,
) -> PictureCount:
    """The stored pictures that a run at `at` would delete by `keeping` and not by `kept_by`, if nothing is decided or
    uploaded until then. `clock` is in seconds and never goes back. Raises StoreUnavailable."""
    tally, give_up_at = _Tally(), clock() + patience_s
    after: PicturePlace | None = None
    while True:
        found, after = await records.expired_evidence(
            keeping, now=at, seen_before=at - IN_FLIGHT, after=after, limit=_BATCH, kept_by=kept_by
        )
        for picture in found:
            tally.add(picture)
        if after is None or clock() >= give_up_at:
            return tally.result(complete=after is None)


@dataclass(frozen=True, slots=True)
class _Remembered:
    gone_by: Keeping
    kept_by: Keeping
    at: datetime
    counted_at_s: float
    count: PictureCount

    def answers(self, gone_by: Keeping, kept_by: Keeping, at: datetime, now_s: float) -> bool:
        return (
            now_s - self.counted_at_s < _REMEMBERED_S
            and abs(at - self.at) < timedelta(seconds=_REMEMBERED_S)
            and (gone_by, kept_by) == (self.gone_by, self.kept_by)
        )


class Counts:
    """Remembers for a minute what was counted: a page of the console asks for several counts each time it is shown.
    `clock` is as of `count_deleted`."""

    def __init__(self, records: EvidenceRecords, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._records = records
        self._clock = clock
        self._last: deque[_Remembered] = deque(maxlen=_REMEMBERED)

    async def deleted(self, keeping: Keeping, *, kept_by: Keeping, at: datetime) -> PictureCount:
        """As `count_deleted`, to the minute."""
        for one in self._last:
            if one.answers(keeping, kept_by, at, self._clock()):
                return one.count
        count = await count_deleted(self._records, keeping, kept_by=kept_by, at=at, clock=self._clock)
        self._last.append(_Remembered(keeping, kept_by, at, self._clock(), count))
        return count


def told(change: RetentionChange) -> list[str]:
    """For people, a line each."""
    return [
        _said(change.deleted, f"deleted from {change.deletes_at:%Y-%m-%d %H:%M} UTC on, though kept by now"),
        _said(change.kept_longer, f"kept, though deleted by {change.compared_until:%Y-%m-%d} now"),
    ]


def _said(count: PictureCount | None, what: str) -> str:
    if count is None:
        return f"could not be counted: pictures that are {what}"
    least = "" if count.complete else "at least "
    of_which = "; ".join(
        f"{one.pictures} {one.settled.value} by {one.rule}, the oldest of {one.oldest:%Y-%m-%d}" for one in count.groups
    )
    return f"{least}{count.pictures} stored pictures would be {what}{f': {of_which}' if of_which else ''}"
