"""The jobs that wait to come in, and whose turn it is. Pure."""

import heapq
from collections.abc import Iterator

from app.engine.worker.job import Job

#: Of the jobs that wait: a large one does not keep the next from coming in before it.
_LOOKED_AT_IN_A_TURN = 2
#: So many synchronous jobs go past a bulk one that is asked again alone; then it has its turn, for which all others
#: have to leave.
_MOST_PASSED = 32


class Line:
    def __init__(self) -> None:
        self._jobs: list[Job] = []
        #: Synchronous jobs that came in while a bulk one waits to be asked again alone.
        self._passed = 0

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs)

    def add(self, job: Job) -> None:
        self._jobs.append(job)

    def remove(self, job: Job) -> None:
        """It went away."""
        self._jobs.remove(job)

    def let_in(self, job: Job) -> None:
        """It came in."""
        self._jobs.remove(job)
        if not job.urgent or not any(other.alone and not other.urgent for other in self._jobs):
            self._passed = 0
        else:
            self._passed += 1

    def looked_at(self) -> list[Job]:
        """Those that are prepared now, the first first."""
        return heapq.nsmallest(_LOOKED_AT_IN_A_TURN, self._jobs, key=self._order)

    def first(self) -> Job | None:
        """The next to come in. While it is still looked at, others of its kind are let past it."""
        if not self._jobs:
            return None
        most = min(self._jobs, key=self._order)
        ready = [job for job in self._jobs if job.prepared and job.urgent == most.urgent]
        return min(ready, key=self._order, default=None)

    def _order(self, job: Job) -> tuple[bool, int, bool, int]:
        """The smallest goes first."""
        return not (job.alone and self._passed >= _MOST_PASSED), *job.urgency
