"""Who has a say in what is deleted, and until when.

A policy that a shorter one took the place of has one for the length of the grace. Whatever was in force at any time
within it counts, so that a picture goes only after all of that time during which no policy kept it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate

from app.domain import Keeping


@dataclass(frozen=True, slots=True)
class Reign:
    """What a policy said of pictures, which was in force from then on until the next one was."""

    since: datetime
    keeping: Keeping


@dataclass(frozen=True, slots=True)
class Lapse:
    """What goes when the grace is over: what `kept_by` keeps and `gone_by` does not. The first of it goes `begins_at`,
    the last `ends_at`: later where times were made shorter more than once."""

    kept_by: Keeping
    gone_by: Keeping
    begins_at: datetime
    ends_at: datetime


def with_a_say(reigns: Sequence[Reign], at: datetime, grace: timedelta) -> Keeping:
    """The longest of what was in force at any time in the grace until `at`. The last of the reigns goes on."""
    *earlier, last = reigns
    ends = _ends(reigns)
    return last.keeping.longest_with([one.keeping for one, end in zip(earlier, ends, strict=True) if end > at - grace])


def lapse(reigns: Sequence[Reign], now: datetime, grace: timedelta) -> Lapse | None:
    """None where the policy in force keeps all that is kept now."""
    kept_by = with_a_say(reigns, now, grace)
    changes_at = sorted({end + grace for end in _ends(reigns) if end + grace > now})
    said = [(at, with_a_say(reigns, at, grace)) for at in changes_at]
    shorter = [at for at, keeping in said if not keeping.says_as(kept_by)]
    if not shorter:
        return None
    gone_by = reigns[-1].keeping
    ends_at = next(at for at, keeping in said if keeping.says_as(gone_by))
    return Lapse(kept_by, gone_by, begins_at=shorter[0], ends_at=ends_at)


def _ends(reigns: Sequence[Reign]) -> list[datetime]:
    """Of each reign but the last. Times may go back where clocks did: then a reign ended with the earliest of those
    that came after it."""
    return list(accumulate((one.since for one in reversed(reigns[1:])), min))[::-1]
