"""The desk on the store without a database; `tests/store/test_cases.py` runs what needs a real one."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from app.domain import CaseState, Outcome, ReviewCase, Severity, Verdict, new_id
from app.errors import CaseConflict, CaseError, CaseNotClaimable, LeaseLost, NotFound
from app.review.desk import ReviewDesk
from app.review.memory import InMemoryCaseStore

_NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
_LEASE_S = 900


class _Clock:
    def __init__(self) -> None:
        self.now = _NOON

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


class _Setting:
    def __init__(self, *cases: ReviewCase) -> None:
        self.clock = _Clock()
        self.store = InMemoryCaseStore(cases)
        self.desk = ReviewDesk(self.store, lease_s=_LEASE_S, clock=self.clock)

    @property
    def audited(self) -> list[tuple[str, str]]:
        return [(event.kind, event.actor) for event in self.store.events]


def _case(priority: Severity = Severity.MEDIUM, opened_minutes_ago: int = 0) -> ReviewCase:
    return _new_case(priority, _NOON - timedelta(minutes=opened_minutes_ago))


def _new_case(priority: Severity, at: datetime) -> ReviewCase:
    return ReviewCase(id=new_id("case"), decision_id="dec_1", priority=priority, opened_at=at)


async def test_the_gravest_and_then_oldest_case_is_taken_first() -> None:
    young, old, grave = _case(), _case(opened_minutes_ago=5), _case(Severity.CRITICAL)
    setting = _Setting(young, old, grave)

    taken = [await setting.desk.claim("ada") for _ in range(4)]

    assert [case and case.id for case in taken] == [grave.id, old.id, young.id, None]


async def test_a_named_case_is_claimed_or_refused() -> None:
    case = _case()
    setting = _Setting(case)

    assert await setting.desk.claim("ada", case.id) is not None
    with pytest.raises(CaseNotClaimable):
        await setting.desk.claim("bob", case.id)
    with pytest.raises(NotFound):
        await setting.desk.claim("bob", "case_none")


async def test_what_happens_to_a_case_is_audited() -> None:
    case = _case()
    setting = _Setting(case)

    await setting.desk.claim("ada", case.id)
    await setting.desk.renew(case.id, "ada")
    await setting.desk.release(case.id, "ada")
    await setting.desk.claim("bob")
    setting.clock.forward(seconds=_LEASE_S)
    assert await setting.desk.expire_leases() == 1
    await setting.desk.decide(case.id, "bob", Outcome.REJECT, "the note stays out of the log")

    assert setting.audited == [
        ("case.claimed", "ada"),
        ("case.released", "ada"),
        ("case.claimed", "bob"),
        ("case.lapsed", "system"),
        ("case.decided", "bob"),
    ]
    last = setting.store.events[-1]
    assert last.subject == case.id
    assert last.body == {"decision_id": "dec_1", "version": 6, "outcome": "reject", "has_note": True}


async def test_a_repeated_verdict_is_audited_once() -> None:
    case = _case()
    setting = _Setting(case)
    await setting.desk.claim("ada")

    first = await setting.desk.decide(case.id, "ada", Outcome.PASS)
    second = await setting.desk.decide(case.id, "ada", Outcome.PASS)

    assert first == second
    assert [kind for kind, _ in setting.audited].count("case.decided") == 1


async def test_expiry_sweeps_more_than_one_batch_and_only_what_is_over() -> None:
    setting = _Setting(*(_case() for _ in range(250)))
    for _ in range(249):
        await setting.desk.claim("ada")
    setting.clock.forward(seconds=_LEASE_S)
    await setting.desk.claim("bob")

    swept = await setting.desk.expire_leases()

    counts = await setting.desk.counts()
    assert swept in {248, 249}  # bob may have taken a lapsed case or the open one
    assert counts == {CaseState.OPEN: 249, CaseState.CLAIMED: 1, CaseState.DECIDED: 0}


class _RacingStore(InMemoryCaseStore):
    """Every save gives way to the others first, and a rival may strike before it."""

    rivals: int = 0

    async def save(self, case: ReviewCase, *, expected_version: int, events: object) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        if self.rivals:
            self.rivals -= 1
            current = await self.find(case.id)
            self.add(current.model_copy(update={"version": current.version + 1}))
        await super().save(case, expected_version=expected_version, events=events)  # type: ignore[arg-type]


async def test_many_reviewers_at_once_get_different_cases() -> None:
    store = _RacingStore([_case() for _ in range(20)])
    desk = ReviewDesk(store, lease_s=_LEASE_S, clock=_Clock())

    taken = await asyncio.gather(*(desk.claim(f"reviewer {number}") for number in range(25)))

    got = [case.id for case in taken if case is not None]
    assert len(got) == len(set(got)) == 20
    assert taken.count(None) == 5


async def test_a_verdict_survives_a_change_in_between() -> None:
    case = _case()
    store = _RacingStore([case])
    desk = ReviewDesk(store, lease_s=_LEASE_S, clock=_Clock())
    await desk.claim("ada")
    store.rivals = 3

    decided = await desk.decide(case.id, "ada", Outcome.REJECT)

    assert decided.verdict is not None
    assert await desk.get(case.id) == decided


async def test_a_case_that_never_stands_still_is_a_conflict() -> None:
    case = _case()
    store = _RacingStore([case])
    desk = ReviewDesk(store, lease_s=_LEASE_S, clock=_Clock())
    store.rivals = 1000

    with pytest.raises(CaseConflict):
        await desk.claim("ada", case.id)
    with pytest.raises(CaseConflict):
        await desk.claim("ada")


class Queue(RuleBasedStateMachine):
    """Three reviewers do anything in any order while time passes. Never two holders; a verdict is never lost."""

    cases = Bundle("cases")
    reviewers = st.sampled_from(["ada", "bob", "eve"])

    @initialize()
    def begin(self) -> None:
        self.setting = _Setting()
        self.verdicts: dict[str, Verdict] = {}
        #: Who may believe, by the answers they got, to have a case whose lease is not over.
        self.believers: dict[str, dict[str, datetime]] = {}
        #: Who took a case last and did not give it back: only that reviewer may still change it.
        self.last: dict[str, str] = {}

    @rule(target=cases, priority=st.sampled_from(Severity))
    def open(self, priority: Severity) -> str:
        case = _new_case(priority, self.setting.clock.now)
        self.setting.store.add(case)
        self.believers[case.id] = {}
        return case.id

    @rule(reviewer=reviewers)
    def claim_next(self, reviewer: str) -> None:
        queue = asyncio.run(self.setting.store.claimable(at=self.setting.clock.now, limit=1))
        case = asyncio.run(self.setting.desk.claim(reviewer))
        assert (case and case.id) == (queue[0].id if queue else None)
        if case is not None:
            self._took(case, reviewer)

    @rule(case_id=cases, reviewer=reviewers)
    def claim(self, case_id: str, reviewer: str) -> None:
        try:
            case = asyncio.run(self.setting.desk.claim(reviewer, case_id))
        except CaseNotClaimable:
            others = {holder for holder in self._holders(case_id) if holder != reviewer}
            assert others or case_id in self.verdicts
            return
        assert case is not None
        self._took(case, reviewer)

    @rule(case_id=cases, reviewer=reviewers)
    def renew(self, case_id: str, reviewer: str) -> None:
        try:
            case = asyncio.run(self.setting.desk.renew(case_id, reviewer))
        except LeaseLost:
            assert reviewer not in self._holders(case_id)
            return
        assert self.last.get(case_id) == reviewer
        self._took(case, reviewer)

    @rule(case_id=cases, reviewer=reviewers)
    def release(self, case_id: str, reviewer: str) -> None:
        try:
            asyncio.run(self.setting.desk.release(case_id, reviewer))
        except LeaseLost:
            assert reviewer not in self._holders(case_id)
            return
        assert self.last.pop(case_id, None) == reviewer
        self.believers[case_id].pop(reviewer, None)

    @rule(case_id=cases, reviewer=reviewers, outcome=st.sampled_from([Outcome.PASS, Outcome.REJECT]))
    def decide(self, case_id: str, reviewer: str, outcome: Outcome) -> None:
        try:
            case = asyncio.run(self.setting.desk.decide(case_id, reviewer, outcome))
        except CaseError:
            assert reviewer not in self._holders(case_id)
            return
        assert self.last.get(case_id) == reviewer
        assert case.verdict is not None
        assert case.verdict.outcome is outcome
        self.verdicts.setdefault(case_id, case.verdict)
        self.believers[case_id].clear()

    @rule(seconds=st.sampled_from([1, _LEASE_S - 1, _LEASE_S]))
    def time_passes(self, seconds: int) -> None:
        self.setting.clock.forward(seconds=seconds)

    @rule()
    def sweep(self) -> None:
        asyncio.run(self.setting.desk.expire_leases())

    @invariant()
    def never_two_holders(self) -> None:
        for case_id in self.believers:
            assert len(self._holders(case_id)) <= 1

    @invariant()
    def verdicts_stand(self) -> None:
        for case_id, verdict in self.verdicts.items():
            case = asyncio.run(self.setting.desk.get(case_id))
            assert (case.state, case.verdict) == (CaseState.DECIDED, verdict)

    def _took(self, case: ReviewCase, reviewer: str) -> None:
        assert case.claimed_by == reviewer
        assert case.id not in self.verdicts
        assert case.lease_expires_at is not None
        self.believers[case.id][reviewer] = case.lease_expires_at
        self.last[case.id] = reviewer

    def _holders(self, case_id: str) -> set[str]:
        now = self.setting.clock.now
        return {reviewer for reviewer, until in self.believers[case_id].items() if until > now}


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
