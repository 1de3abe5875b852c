"""Beside the decisions: what the shadow policy, and the shadow rules, would have decided of the same uploads.

It is handed each decision when it is committed, and works apart from the answer: what it cannot take is counted and
left, and no fault of it reaches an upload. What only the shadow policy asks is asked of a sample, after all uploads.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from hashlib import sha256

import structlog

from app.domain import (
    Answer,
    Comparison,
    DecisionRecord,
    EngineInfo,
    EngineJob,
    Frame,
    Image,
    Needs,
    Picture,
    Pins,
    Priority,
    ProbeFinding,
    Question,
    Subject,
    Tried,
    Writing,
    WrittenText,
    has_text,
    in_parts,
    new_id,
)
from app.metrics import SHADOW_COMPARISONS, SHADOW_LEFT
from app.moderation.ports import Engine
from app.moderation.witness import Witness
from app.policy.breath import considerate
from app.policy.ports import Matcher, ShadowStore
from app.policy.ruleset import Ruleset
from app.policy.shadow_judge import Decided, Trial, judge, not_comparable, policy_trial, rules_trial, wanting
from app.signals.base import ProbeSignal

log = structlog.get_logger(__name__)

#: Decisions that may wait to be compared; of what comes beyond that, nothing is known.
_WAITING = 1000
#: Pictures that may wait to be asked about: each may hold 60 MB of frames.
_WAITING_TO_ASK = 3
#: Nobody waits for these answers, and a picture that is never asked about must make room some time.
_ASK_WITHIN_S = 60.0
#: How long decisions are gathered: one transaction for all of them keeps the way free for those of uploads.
_GATHER_S = 0.5
#: Compared at once in a thread, which then lets others have the interpreter.
_CHUNK = 32
#: A fault that repeats is logged this often.
_COMPLAIN_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class ShadowLimits:
    """`sample` is the share (0..1) of uploads of which the shadow policy's own probes are asked, and `engine_jobs` how
    many may wait for the model for that to happen."""

    sample: float
    engine_jobs: int


@dataclass(frozen=True, slots=True)
class _Waiting:
    trial: Trial
    decided: Decided


@dataclass(frozen=True, slots=True)
class _ToAsk:
    waiting: _Waiting
    needs: Needs
    frames: Callable[[], Awaitable[Sequence[Frame]]]
    pins: Pins


class ShadowRunner:
    """`policy` gives the shadow policy of the moment, if there is one."""

    def __init__(
        self,
        *,
        policy: Callable[[], Ruleset | None],
        store: ShadowStore,
        matcher: Matcher,
        probes: ProbeSignal,
        engine: Engine,
        limits: ShadowLimits,
        gather_s: float = _GATHER_S,
    ) -> None:
        self._policy = policy
        self._store = store
        self._matcher = matcher
        self._probes = probes
        self._engine = engine
        self._limits = limits
        self._gather_s = gather_s
        self._waiting: deque[_Waiting] = deque()
        self._to_ask: deque[_ToAsk] = deque()
        self._news = asyncio.Event()
        self._news_to_ask = asyncio.Event()
        self._rules: tuple[Ruleset, Trial | None] | None = None
        self._complained: dict[str, float] = {}

    def offer(
        self, record: DecisionRecord, ruleset: Ruleset, image: Image, *, pixels: Callable[[], Awaitable[Image]]
    ) -> None:
        """Take up a decision that was made under `ruleset`. Returns at once and never raises. `pixels` decodes the
        picture again, for an `image` that has none."""
        try:
            self._offer(record, ruleset, image, pixels)
        except Exception as fault:  # the upload is decided, and its answer is on its way
            self._leave("failed", 1, fault)

    async def run(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._compare_all(), name="shadow comparisons")
            group.create_task(self._ask_all(), name="shadow questions")

    async def drain(self) -> None:
        """Compare and record what waits, without asking anything more."""
        self._waiting.extend(one.waiting for one in self._to_ask)
        self._to_ask.clear()
        await self._compare()

    def _offer(
        self, record: DecisionRecord, ruleset: Ruleset, image: Image, pixels: Callable[[], Awaitable[Image]]
    ) -> None:
        shadow, rules = self._policy(), self._rules_of(ruleset)
        if shadow is None and rules is None:
            return
        decided = _decided(record, ruleset)
        if rules is not None:
            self._wait(_Waiting(rules, decided))
        if shadow is not None:
            waiting = _Waiting(policy_trial(shadow), decided)
            more = wanting(ruleset.needs, shadow.needs, text=has_text(record.context.caption))
            if more is None or not self._asks(decided.decision_id):
                self._wait(waiting)
            else:
                self._to_ask.append(_ToAsk(waiting, more, lambda: _frames(image, pixels), record.decision.pins))
                self._news_to_ask.set()

    def _rules_of(self, ruleset: Ruleset) -> Trial | None:
        if self._rules is None or self._rules[0] is not ruleset:
            self._rules = ruleset, rules_trial(ruleset)
        return self._rules[1]

    def _asks(self, decision_id: str) -> bool:
        """Whether this decision is of the sample, the same on every node. A model that is busy is left alone."""
        if int.from_bytes(sha256(decision_id.encode()).digest()[:8]) >= self._limits.sample * 2**64:
            return False
        if len(self._to_ask) < _WAITING_TO_ASK and self._engine.info.queue_depth < self._limits.engine_jobs:
            return True
        SHADOW_LEFT.labels("not_asked").inc()
        return False

    def _wait(self, waiting: _Waiting) -> None:
        if len(self._waiting) >= _WAITING:
            self._leave("no_room", 1)
            return
        self._waiting.append(waiting)
        self._news.set()

    async def _compare_all(self) -> None:
        while True:
            await self._news.wait()
            await asyncio.sleep(self._gather_s)
            self._news.clear()
            try:
                await self._compare()
            except Exception as fault:  # the next ones are others
                self._leave("failed", 1, fault)

    async def _compare(self) -> None:
        """Everything that waits now, recorded in one transaction."""
        by_trial: dict[tuple[Tried, int], list[_Waiting]] = {}
        while self._waiting:
            one = self._waiting.popleft()
            by_trial.setdefault((one.trial.tried, id(one.trial.ruleset)), []).append(one)
        found: list[Comparison] = []
        for taken in by_trial.values():
            for at in range(0, len(taken), _CHUNK):
                found += await asyncio.to_thread(considerate(self._judged), taken[at : at + _CHUNK])
        try:
            await self._store.record(found)
        except Exception as fault:
            self._leave("not_recorded", len(found), fault)
            return
        for comparison in found:
            SHADOW_COMPARISONS.labels(comparison.tried.value, _result(comparison)).inc()

    def _judged(self, taken: Sequence[_Waiting]) -> list[Comparison]:
        """One that the trial fails on takes no other along."""
        try:
            return judge(taken[0].trial, self._matcher, [one.decided for one in taken])
        except Exception as fault:
            if len(taken) > 1:
                return [comparison for one in taken for comparison in self._judged([one])]
            self._leave("failed", 1, fault)
            return [not_comparable(taken[0].trial, taken[0].decided, f"internal error: {type(fault).__name__}")]

    async def _ask_all(self) -> None:
        """One picture after the other: the model is there for uploads."""
        while True:
            await self._news_to_ask.wait()
            self._news_to_ask.clear()
            while self._to_ask:
                one = self._to_ask[0]
                try:
                    extra = await self._ask(one)
                except Exception as fault:
                    self._leave("failed", 1, fault)
                    extra = {}
                if self._to_ask and self._to_ask[0] is one:
                    self._to_ask.popleft()
                self._wait(replace(one.waiting, decided=replace(one.waiting.decided, extra=extra)))

    async def _ask(self, one: _ToAsk) -> Mapping[str, ProbeFinding]:
        """Nothing where another model than the decision's has answered. A picture of which nothing is asked is not
        decoded again."""
        witness = Witness(self._engine)
        needs, subjects = one.needs, {probe.subject for probe in one.needs.probes}
        frames = await one.frames() if Subject.PICTURE in subjects else ()
        caption = one.waiting.decided.context.caption
        writing = in_parts(caption) if Subject.TEXT in subjects else Writing()
        deadline_at = time.monotonic() + _ASK_WITHIN_S
        answers = [
            await self._answers(frame.picture, self._probes.questions(needs, frame), deadline_at) for frame in frames
        ]
        text_answers = [
            await self._answers(part, self._probes.text_questions(needs), deadline_at) for part in writing.parts
        ]
        if not witness.same_model or _files(witness.engine) != (one.pins.model, one.pins.projector):
            SHADOW_LEFT.labels("model_changed").inc()
            return {}
        return self._probes.read(needs, frames, answers, writing, text_answers)

    async def _answers(
        self, subject: Picture | WrittenText, questions: Sequence[Question], deadline_at: float
    ) -> Mapping[str, Answer]:
        job = EngineJob(new_id("job"), subject, tuple(questions), deadline_at, Priority.BULK)
        async with aclosing(self._engine.ask(job)) as stream:
            return {answer.question_id: answer async for answer in stream}

    def _leave(self, why: str, decisions: int, fault: Exception | None = None) -> None:
        SHADOW_LEFT.labels(why).inc(decisions)
        now = time.monotonic()
        if now - self._complained.get(why, -_COMPLAIN_EVERY_S) >= _COMPLAIN_EVERY_S:
            self._complained[why] = now
            log.warning("decisions are not compared", action="shadow_left", why=why, exc_info=fault)


async def _frames(image: Image, pixels: Callable[[], Awaitable[Image]]) -> Sequence[Frame]:
    return (image if image.has_pixels else await pixels()).frames


def _files(engine: EngineInfo) -> tuple[str | None, str | None]:
    """As a decision is pinned to them."""
    return engine.model_pin, engine.projector_digest


def _decided(record: DecisionRecord, ruleset: Ruleset) -> Decided:
    decision = record.decision
    return Decided(
        decision_id=decision.id,
        at=decision.created_at,
        outcome=decision.outcome,
        findings=record.findings,
        context=record.context,
        model=decision.pins.model,
        asked=ruleset.needs,
        lists=decision.pins.lists,
    )


def _result(one: Comparison) -> str:
    if one.after is None:
        return "not_comparable"
    return "same" if one.after is one.before else "changed"
