"""The jobs that the engine process has been given and has not finished."""

import time
from collections.abc import Iterator

from app.engine.patience import Patience
from app.engine.pending import PendingJob
from app.engine.worker.protocol import Answered, Done, FromEngine, Started
from app.errors import EngineCrashed


class Flight:
    """Of one life of the process. `room` synchronous jobs at most, whatever else is in flight, and bulk jobs while they
    are fewer than that together: so what is urgent gets to the process at once. One that is suspected of having killed
    the process flies alone, so that the next death says who it was."""

    def __init__(self, room: int, patience: Patience) -> None:
        self._room = room
        self.patience = patience
        self._jobs: dict[int, PendingJob] = {}
        self._lonely = False
        self._heard_at = time.monotonic()

    def __iter__(self) -> Iterator[PendingJob]:
        return iter(self._jobs.values())

    def __contains__(self, pending: PendingJob) -> bool:
        return self._jobs.get(pending.number) is pending

    def __len__(self) -> int:
        return len(self._jobs)

    def takes(self, pending: PendingJob, *, alone: bool) -> bool:
        if alone or self._lonely:
            return not self._jobs
        beside = sum(other.urgent for other in self) if pending.urgent else len(self._jobs)
        return beside < self._room

    def begin(self, pending: PendingJob, *, alone: bool) -> None:
        self._jobs[pending.number] = pending
        self._lonely = alone
        pending.started = pending.fruitful = False

    def heed(self, message: FromEngine) -> PendingJob | None:
        """What the process said of a job; the job when that was its last word. Raises EngineCrashed for what cannot
        be said now."""
        self._heard_at = time.monotonic()
        if not isinstance(message, Started | Answered | Done) or message.job not in self._jobs:
            raise EngineCrashed(f"the engine process said '{message.kind}' out of turn")
        pending = self._jobs[message.job]
        if isinstance(message, Started):
            pending.started = True
        elif isinstance(message, Answered):
            pending.deliver(message)
        else:
            self.patience.learn(message.longest_turn_ms / 1000)
            del self._jobs[message.job]
            self._lonely = self._lonely and bool(self._jobs)
            return pending
        return None

    @property
    def hung_at(self) -> float | None:
        """When the process counts as hung if it says nothing: patience counts from the first deadline, and from when it
        was last heard. Monotonic seconds; None while nothing is expected of it."""
        if not self._jobs:
            return None
        first = min(time.monotonic() + pending.remaining_s for pending in self)
        return max(first, self._heard_at) + self.patience.grace_s
