"""That no job is forgotten, and none blamed for another's deed, whatever happens when: with processes by a script."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from hypothesis import event, given, settings
from hypothesis import strategies as st

from app.domain import Priority, Status
from app.engine.base import Reason
from app.engine.dispatch import Dispatch
from app.engine.flight import Flight
from app.engine.pending import PendingJob
from tests.engine.jobs import job, picture, probes
from tests.engine.scripted_process import Lives, ScriptedProcess

_PICTURES = [picture(number, 64, 64) for number in range(6)]

#: Many times what thirty jobs take.
_MOST_TURNS = 5000


@dataclass(frozen=True)
class Asked:
    """`late`: where it is asked again, its process says that it is too late. `given_up`: nobody waits for it any more
    after so many turns; `overtaken`: it is ended there, as its deadline does it."""

    shown: int
    bulk: bool
    late: bool
    given_up: int | None
    overtaken: bool


@dataclass(frozen=True)
class Course:
    """One kind of trouble at a time: of two, either could be taken for the other. `deadly` pictures kill, the process
    at the place `sick` dies over anything, and after `reset_after` turns all die together."""

    processes: int
    asked: list[Asked]
    deadly: frozenset[int] = frozenset()
    sick: str | None = None
    reset_after: int | None = None


@st.composite
def courses(draw: st.DrawFn) -> Course:
    shown, many = st.integers(0, len(_PICTURES) - 1), st.integers(0, 40)
    asked = st.builds(
        Asked, shown, st.booleans(), st.booleans(), st.one_of(st.none(), st.none(), many), overtaken=st.booleans()
    )
    course = Course(draw(st.integers(1, 4)), draw(st.lists(asked, min_size=1, max_size=30)))
    trouble = draw(st.sampled_from(["deadly", "sick", "reset"]))
    if trouble == "deadly":
        return replace(course, deadly=draw(st.frozensets(shown, max_size=2)))
    if trouble == "reset":
        return replace(course, reset_after=draw(many))
    return replace(course, processes=max(2, course.processes), sick="0")


class Watched(Dispatch):
    """Notices who is given what he should not be."""

    def __init__(self, deadly: frozenset[bytes], coming: Callable[[], bool]) -> None:
        super().__init__(100, coming)
        self._deadly, self._died_over = deadly, set[bytes]()

    def next_job(self, flight: Flight) -> PendingJob | None:
        waiting = [pending for pending in self._waiting if pending.open]
        found = super().next_job(flight)
        if found is not None:
            assert flight.lonely or found.payload not in self._died_over, "a picture that kills flies beside others"
            assert not flight.lonely or len(flight) == 1
            if not found.urgent:
                assert all(one.suspect for one in waiting if one.urgent), (
                    "bulk work goes before what somebody waits for"
                )
        return found

    def crashed(self, flight: Flight) -> None:
        self._died_over |= {pending.payload for pending in flight if pending.started} & self._deadly
        super().crashed(flight)

    def require_rest(self) -> None:
        """Whoever sleeps has nothing to do."""
        sleepers = getattr(self.wake, "_waiters")  # noqa: B009 - it is asyncio's own
        if len(sleepers) == len(self.flights) and not any(sleeper.done() for sleeper in sleepers):
            assert [super(Watched, self).next_job(flight) for flight in self.flights] == [None] * len(self.flights)


async def run(course: Course, pending: list[PendingJob], random: Random) -> int:
    """How many processes died."""
    asks = Counter[int]()

    def process(place: str) -> ScriptedProcess:
        def answer(number: int) -> Status | None:
            asked = course.asked[number]
            asks[number] += 1
            if asked.late and asks[number] > 1:
                return Status.TIMEOUT
            return None if place == course.sick or asked.shown in course.deadly else Status.OK

        return ScriptedProcess(lambda: random.randrange(6), answer)

    deadly = frozenset(_PICTURES[shown].rgb for shown in course.deadly)
    dispatch = Watched(deadly, lambda: len(lives.alive) < course.processes)
    lives = Lives(dispatch, process, lambda: random.randrange(12))
    turn = 0

    async def a_turn() -> None:
        nonlocal turn
        await asyncio.sleep(0)
        dispatch.require_rest()
        if turn == course.reset_after:
            for one in lives.alive.values():
                one.die()
        for one, asked in zip(pending, course.asked, strict=True):
            if asked.given_up == turn:
                one.end(Status.TIMEOUT, Reason.DEADLINE) if asked.overtaken else one.abandon()
                dispatch.withdraw(one)
        turn += 1
        assert turn < _MOST_TURNS, "a job is never given to anybody"

    async with lives.running(course.processes):
        for one in pending:
            if one.open:
                dispatch.admit(one)
            for _ in range(random.randrange(3)):
                await a_turn()
        while dispatch.depth:
            await a_turn()
    return lives.deaths


@given(course=courses(), seed=st.integers(0, 1 << 32))
@settings(max_examples=150, deadline=None)
def test_every_job_ends_and_only_those_that_kill_fail(course: Course, seed: int) -> None:
    pending = [
        PendingJob(
            number,
            replace(
                job(probes()[:1], _PICTURES[asked.shown]),
                priority=Priority.BULK if asked.bulk else Priority.SYNCHRONOUS,
            ),
        )
        for number, asked in enumerate(course.asked)
    ]

    deaths = asyncio.run(run(course, pending, Random(seed)))  # noqa: S311 - chance, not secrecy

    event(f"{min(deaths, 6)} deaths")
    for one, asked in zip(pending, course.asked, strict=True):
        (answer,) = one._answers or (None,)
        if answer is None or (answer.status is Status.TIMEOUT and (asked.late or asked.overtaken)):
            assert answer is not None or asked.given_up is not None
        elif asked.shown in course.deadly:
            assert answer.reason == "engine_crash"
        else:
            assert answer.status is Status.OK
    if course.deadly:
        # Each kills among others wherever it is when that is first seen, and once alone.
        assert deaths <= (course.processes + 1) * len(course.deadly)
