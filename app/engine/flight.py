"""The jobs that the engine process has been given and has not finished."""

import time
from collections import deque
from collections.abc import Iterator

from app.engine.deaths import Death
from app.engine.patience import Patience
from app.engine.pending import PendingJob
from app.engine.worker.protocol import Answered, Done, FromEngine, Started
from app.errors import EngineCrashed

#: As many pictures as a process may remember, about: their encodings are a few MB each.
_REMEMBERED = 32


class Flight:
    """Of one life of the process. `room` synchronous jobs at most, whatever else is in flight, and bulk jobs while they
    are fewer than that together: so what is urgent gets to the process at once. One that is suspected of having killed
    the process flies alone, so that the next death says who it was. `sending` while the last job is on its way to the
    process, which takes nothing then; an `overdue` one is given nothing until it is heard. A `doubtful` one is of a
    process that died again and again and has answered nothing yet: it is given what no other takes."""

    def __init__(self, room: int, patience: Patience, place: str, *, doubtful: bool = False) -> None:
        self._room = room
        self.patience = patience
        self.place = place
        self.doubtful = doubtful
        self._jobs: dict[int, PendingJob] = {}
        self.lonely = False
        self.sending = False
        self.overdue = False
        self._lately: deque[int | None] = deque(maxlen=_REMEMBERED)
        self._heard_at = time.monotonic()

    def __iter__(self) -> Iterator[PendingJob]:
        return iter(self._jobs.values())

    def __contains__(self, pending: PendingJob) -> bool:
        return self._jobs.get(pending.number) is pending

    def __len__(self) -> int:
        return len(self._jobs)

    def load(self, pending: PendingJob) -> tuple[int, int]:
        """How many jobs it would share its process with: those that do not hold back for it, and all."""
        return sum(other.urgent for other in self) if pending.urgent else len(self._jobs), len(self._jobs)

    def takes(self, pending: PendingJob, *, alone: bool) -> bool:
        if self.overdue:
            return False
        if alone or self.lonely:
            return not self._jobs
        return self.load(pending)[0] < self._room

    def remembers(self, pending: PendingJob) -> bool:
        """Whether the process may still have what it made of the picture."""
        return pending.likeness is not None and pending.likeness in self._lately

    def begin(self, pending: PendingJob, *, alone: bool) -> None:
        self._jobs[pending.number] = pending
        self.lonely, self.sending = alone, True
        self._lately.append(pending.likeness)
        pending.begin()

    def heed(self, message: FromEngine) -> PendingJob | None:
        """What the process said of a job; the job when that was its last word. Raises EngineCrashed for what cannot
        be said now."""
        self._heard_at = time.monotonic()
        if not isinstance(message, Started | Answered | Done) or message.job not in self._jobs:
            raise EngineCrashed(f"the engine process said '{message.kind}' out of turn", cause=Death.GARBAGE)
        pending = self._jobs[message.job]
        if isinstance(message, Started):
            pending.started = True
        elif isinstance(message, Answered):
            pending.deliver(message)
        else:
            self.patience.learn(message.longest_turn_ms / 1000)
            del self._jobs[message.job]
            self.lonely = self.lonely and bool(self._jobs)
            return pending
        return None

    @property
    def owing_since(self) -> float | None:
        """From when on the process's silence counts: the first deadline, or when it was last heard. Monotonic seconds,
        maybe still to come; None while nothing is expected of it."""
        if not self._jobs:
            return None
        first = min(time.monotonic() + pending.remaining_s for pending in self)
        return max(first, self._heard_at)
