"""Which job goes to which engine process next, and which goes nowhere any more."""

import asyncio
from collections.abc import Callable

import structlog

from app.domain import Status
from app.engine.base import Reason
from app.engine.flight import Flight
from app.engine.pending import PendingJob
from app.engine.quarantine import Quarantine
from app.metrics import ENGINE_QUARANTINED, ENGINE_QUEUE_DEPTH

_log = structlog.get_logger(__name__)

_MOST_CRASHES = 2
#: So many jobs may go past the suspects of bulk work before one of them has its turn: it costs a process the time to
#: become empty, and the others theirs where it is the only one.
_MOST_PASSED = 32


class Dispatch:
    """The jobs of an engine: those that wait in one queue, `most_waiting` of a priority, and those in `flights`, one of
    each process that serves. `wake` is set when there may be something to send. `coming` says whether one more process
    may well serve soon."""

    def __init__(self, most_waiting: int, coming: Callable[[], bool]) -> None:
        self.wake = asyncio.Event()
        self.flights: list[Flight] = []
        self.quarantine = Quarantine()
        self._most_waiting = most_waiting
        self._coming = coming
        self._waiting: list[PendingJob] = []
        #: Jobs that went past the suspects since one had its turn.
        self._passed = 0

    @property
    def depth(self) -> int:
        return len(self._waiting) + sum(bool(pending.open) for flight in self.flights for pending in flight)

    def count(self) -> None:
        ENGINE_QUEUE_DEPTH.set(self.depth)
        ENGINE_QUARANTINED.set(self.quarantine.kept_out)

    def admit(self, pending: PendingJob) -> None:
        if not self._may_run(pending):
            return
        if sum(waiting.urgent == pending.urgent for waiting in self._waiting) >= self._most_waiting:
            _log.error("a job is refused", action="engine.refuse", job=pending.job.id, reason=Reason.ENGINE_BUSY.value)
            pending.end(Status.FAILED, Reason.ENGINE_BUSY)
            return
        self._waiting.append(pending)
        self.wake.set()

    def withdraw(self, pending: PendingJob) -> None:
        """It waits no more, if it did."""
        if pending in self._waiting:
            self._waiting.remove(pending)
            # A process may have been kept empty for it.
            self.wake.set()

    def next_job(self, flight: Flight) -> PendingJob | None:
        """The most urgent job that is for this process, already counted as given; None while there is none."""
        ward: Flight | None = None
        for pending in sorted(self._waiting, key=self._order):
            if not self._may_run(pending):
                self.withdraw(pending)
                continue
            alone = pending.suspect = self._is_suspect(pending)
            if alone:
                found = self._ward(pending) if ward is None else None
                if found is None or not self._is_kept_for(pending, found):
                    continue
                ward = found
                if ward is not flight:
                    continue
            elif not self._is_best(flight, pending, ward):
                return None
            if not flight.takes(pending, alone=alone):
                return None
            self._waiting.remove(pending)
            self._passed = 0 if alone else self._passed + 1
            flight.begin(pending, alone=alone)
            # What comes next may be for a process that left this one to us.
            self.wake.set()
            return pending
        return None

    def _order(self, pending: PendingJob) -> tuple[bool, bool, bool, int, int]:
        return not (pending.suspect and self._passed >= _MOST_PASSED), *pending.urgency

    def _is_suspect(self, pending: PendingJob) -> bool:
        return pending.crashes > 0 or (self.quarantine.watchful and self.quarantine.suspects(pending.fingerprint))

    def _is_kept_for(self, suspect: PendingJob, ward: Flight) -> bool:
        """Whether the process takes nothing else until it has become empty. For bulk work what somebody waits for is
        let past, though not for ever."""
        return suspect.urgent or self._passed >= _MOST_PASSED or not any(pending.urgent for pending in ward)

    def _ward(self, suspect: PendingJob) -> Flight | None:
        """The process that takes nothing more until it is empty, to be asked about a suspect alone: not the one that
        died over it where there is another, since a process that dies over anything would condemn it. None where the
        suspect has to wait: one at a time is tried, and not in the last process that serves while another is coming,
        so that a picture that kills leaves somebody to answer the others."""
        serving = [flight for flight in self.flights if not flight.overdue]
        if any(flight.lonely for flight in self.flights) or (len(serving) == 1 and self._coming()):
            return None
        trusted = [flight for flight in serving if not flight.doubtful] or serving
        died_at = suspect.died_at or self.quarantine.died_at(suspect.fingerprint)
        return min([flight for flight in trusted if flight.place != died_at] or trusted, key=len, default=None)

    def _is_best(self, flight: Flight, pending: PendingJob, ward: Flight | None) -> bool:
        """Whether no other process has more room for it, or as much and remembers its picture."""

        def rank(one: Flight) -> tuple[bool, int, int, bool]:
            return one.doubtful, *one.load(pending), not one.remembers(pending)

        return all(
            rank(flight) <= rank(other)
            for other in self.flights
            if other not in {flight, ward} and not other.sending and other.takes(pending, alone=False)
        )

    def landed(self, pending: PendingJob) -> None:
        """The process is done with it."""
        # Only what the engine forgot to answer is still open here.
        pending.end(Status.FAILED, Reason.ENGINE_FAULT)
        if pending.started and pending.complete and self.quarantine.watchful:
            self.quarantine.clear(pending.fingerprint)
        self.wake.set()
        self.count()

    def crashed(self, flight: Flight) -> None:
        """The process is gone. The jobs it had begun with are asked again once, each alone, since any of their
        pictures may be why; the others merely go on waiting."""
        if not any(pending.suspect for pending in self._waiting):
            self._passed = 0
        for pending in flight:
            if pending.started:
                pending.crashes += 1
                pending.suspect, pending.died_at = True, flight.place
                kept_out = self.quarantine.strike(pending.fingerprint, flight.place, alone=flight.lonely)
                if pending.remaining_s <= 0:
                    pending.end(Status.TIMEOUT, Reason.DEADLINE)
                elif kept_out or pending.crashes >= _MOST_CRASHES:
                    pending.end(Status.FAILED, Reason.ENGINE_CRASH)
            if pending.open:
                self._waiting.append(pending)

    def fail_all(self) -> None:
        for flight in self.flights:
            for pending in flight:
                pending.end(Status.FAILED, Reason.ENGINE_UNAVAILABLE)
        self.fail_waiting()

    def fail_waiting(self) -> None:
        while self._waiting:
            self._waiting.pop().end(Status.FAILED, Reason.ENGINE_UNAVAILABLE)
        self.count()

    def _may_run(self, pending: PendingJob) -> bool:
        """Whether there is still something to ask; ends the job where there is not."""
        if pending.open and pending.remaining_s <= 0:
            pending.end(Status.TIMEOUT, Reason.DEADLINE)
        elif pending.open and self.quarantine.watchful and self.quarantine.holds(pending.fingerprint):
            _log.warning("a picture that killed the engine is kept out", action="engine.quarantine", job=pending.job.id)
            pending.end(Status.FAILED, Reason.ENGINE_CRASH)
        return bool(pending.open)
