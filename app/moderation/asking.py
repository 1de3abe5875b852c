"""The questions about one frame, or one part of the text: those whose answers are known are not asked, and those that
somebody asks already are waited for."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import structlog

from app.domain import Answer, EngineJob, Frame, Question, Status, WrittenText, new_id
from app.moderation.findings_cache import Part
from app.moderation.flights import Landed, Leader, landing
from app.moderation.ports import Answers, Engine
from app.moderation.recall import Recall, is_sound, name_of
from app.moderation.timing import FINISH_RESERVE_S, Stopwatch
from app.moderation.witness import MODEL_CHANGED, Witness

log = structlog.get_logger(__name__)

#: How often an upload follows others whose callers go away before it asks for itself.
_TIMES_TO_FOLLOW = 3


class Asking:
    """`heard` gets every answer as soon as there is one, each question's once at most: a question that is never heard
    of had no answer in time."""

    def __init__(
        self,
        engine: Engine,
        recall: Recall,
        about: Frame | WrittenText,
        questions: Sequence[Question],
        *,
        heard: Callable[[Answer], None],
        witness: Witness,
    ) -> None:
        self._engine = engine
        self._witness = witness
        self._recall = recall
        self._about = about
        self._heard = heard
        self._open = {question.id: question for question in questions}
        self._parts: dict[str, Part[Answer]] = {}
        #: Asked by others, who had no sound answer: not to be waited for again.
        self._alone: set[str] = set()
        self._following: dict[str, asyncio.Task[None]] = {}
        self._stream: Answers | None = None
        self._leader: Leader[Any] | None = None

    @property
    def open(self) -> Collection[str]:
        """The ids of what is neither answered nor given up."""
        return self._open.keys()

    async def run(self, watch: Stopwatch) -> None:
        """Returns when every question is answered, given up or late. Never raises for a fault of the engine."""
        engine = self._witness.engine
        for question in self._open.values():
            part = self._recall.question(self._about, question, engine)
            if part is not None:
                self._parts[question.id] = part
        try:
            async with asyncio.timeout(watch.remaining_s(reserve_s=FINISH_RESERVE_S / 2)):
                for left in reversed(range(_TIMES_TO_FOLLOW + 1)):
                    self._take_kept()
                    if not self._open:
                        break
                    await self._round(watch, follow=left > 0)
        except TimeoutError:
            log.warning("engine overran the deadline", action="engine_overran")
        finally:
            self._open.clear()

    def cancel(self, question_ids: Collection[str], *, reason: str) -> None:
        """Nobody wants these any more: those that are open are heard of at once as skipped."""
        unwanted = [question_id for question_id in question_ids if question_id in self._open]
        for question_id in unwanted:
            self._hear(Answer(question_id=question_id, status=Status.SKIPPED, reason=reason))
            if question_id in self._following:
                self._following[question_id].cancel()
            if self._leader is not None and question_id in self._parts:
                self._leader.give_up(self._parts[question_id])
        if self._stream is not None and unwanted:
            self._stream.cancel(unwanted, reason=reason)

    def _take_kept(self) -> None:
        for question_id in self._open.keys() & self._parts.keys():
            kept = self._recall.kept(name_of(question_id), self._parts[question_id])
            if kept is not None:
                self._hear(replace(kept, question_id=question_id))

    async def _round(self, watch: Stopwatch, *, follow: bool) -> None:
        """Asks what nobody else is asking, and waits for the rest."""
        theirs: dict[str, asyncio.Future[Landed[Any] | None]] = {}
        if follow:
            for question_id in self._open.keys() & self._parts.keys() - self._alone:
                flight = self._recall.flights.under_way(self._parts[question_id])
                if flight is not None:
                    theirs[question_id] = flight
        mine = [question for question_id, question in self._open.items() if question_id not in theirs]
        flights = self._recall.flights
        parts = [self._parts[question.id] for question in mine if question.id in self._parts]
        # Before anything is waited for: who comes next has to see what is under way.
        with flights.leading(part for part in parts if flights.under_way(part) is None) as self._leader:
            async with asyncio.TaskGroup() as group:
                for question_id, flight in theirs.items():
                    self._following[question_id] = group.create_task(self._follow(question_id, flight, watch))
                if mine:
                    group.create_task(self._lead(mine, self._leader, watch))
        self._following.clear()

    async def _follow(self, question_id: str, flight: "asyncio.Future[Landed[Any] | None]", watch: Stopwatch) -> None:
        try:
            landed = await landing(flight, timeout_s=watch.remaining_s(reserve_s=FINISH_RESERVE_S))
        except TimeoutError:
            self._alone.add(question_id)
            return
        if landed is not None and landed.sound and question_id in self._open:
            self._recall.share(name_of(question_id))
            self._hear(replace(landed.value, question_id=question_id))
        elif landed is not None:
            self._alone.add(question_id)

    async def _lead(self, mine: Sequence[Question], leader: Leader[Any], watch: Stopwatch) -> None:
        wanted = [question for question in mine if question.id in self._open]
        for question in wanted:
            self._recall.ask(name_of(question.id))
        try:
            if wanted:
                await self._ask_engine(wanted, watch)
        except Exception as fault:  # a signal's fault is a finding, never an outage
            log.exception("engine broke its contract", action="signal_failed", signal="model")
            reason = f"internal error: {type(fault).__name__}"
            for question in mine:
                self._answered(Answer(question_id=question.id, status=Status.FAILED, reason=reason))
        for question in mine:
            self._open.pop(question.id, None)
            if question.id in self._parts:
                leader.give_up(self._parts[question.id])

    async def _ask_engine(self, mine: Sequence[Question], watch: Stopwatch) -> None:
        job = EngineJob(
            id=new_id("job"),
            subject=self._about.picture if isinstance(self._about, Frame) else self._about,
            questions=tuple(mine),
            deadline_at=watch.deadline_at - FINISH_RESERVE_S,
        )
        async with aclosing(self._engine.ask(job)) as stream:
            self._stream = stream
            try:
                async for answer in stream:
                    self._answered(answer)
            finally:
                self._stream = None

    def _answered(self, answer: Answer) -> None:
        """Keep it, tell those who follow, and the one who asked."""
        if answer.status is Status.OK and not self._witness.same_model:
            answer = Answer(question_id=answer.question_id, status=Status.FAILED, reason=MODEL_CHANGED)
        part = self._parts.get(answer.question_id)
        if part is not None and self._leader is not None:
            sound = is_sound(answer) and self._witness.same_life
            if sound:
                self._recall.keep(part, answer)
            self._leader.land(part, answer, sound=sound)
        if answer.question_id in self._open:
            self._hear(answer)

    def _hear(self, answer: Answer) -> None:
        self._open.pop(answer.question_id, None)
        self._heard(answer)
