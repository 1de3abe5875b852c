"""The contract of a case store, kept by the database and by the store without one; then what needs a database."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime

import pytest
from sqlalchemy import text

from app.domain import CaseState, Outcome, ReviewCase, Severity
from app.errors import CaseConflict, CaseNotClaimable, MalformedRequest, NotFound, StoreUnavailable
from app.review.case import claim, decide, expire
from app.review.desk import ReviewDesk
from app.review.memory import InMemoryCaseStore
from app.review.ports import CaseStore
from app.store import Database, SqlAuditLog, SqlCaseStore, SqlDecisionStore
from tests.store import samples
from tests.store.databases import opened

Open = Callable[[ReviewCase], Awaitable[None]]

_AT = samples.NOON
_LEASE_S = 900.0


class Shop:
    """A case store of any kind, and how a case gets into it."""

    def __init__(self, store: CaseStore, open_case: Open) -> None:
        self.store = store
        self.open = open_case

    async def filled(self, *places: tuple[Severity, float]) -> list[ReviewCase]:
        cases = [_case(priority, _AT + samples.minutes(age)) for priority, age in places]
        for case in cases:
            await self.open(case)
        return cases


def _case(priority: Severity = Severity.MEDIUM, at: datetime = _AT) -> ReviewCase:
    return samples.case_of(samples.decision(outcome=Outcome.REVIEW), priority=priority, at=at)


def _sql_shop(database: Database) -> Shop:
    async def open_case(case: ReviewCase) -> None:
        record = samples.record(outcome=Outcome.REVIEW)
        record = type(record)(
            decision=record.decision.model_copy(update={"id": case.decision_id}),
            findings=record.findings,
            context=record.context,
            key_id=record.key_id,
            media_type=record.media_type,
        )
        await SqlDecisionStore(database).record(record, [], case)

    return Shop(SqlCaseStore(database), open_case)


def _memory_shop() -> Shop:
    store = InMemoryCaseStore()

    async def open_case(case: ReviewCase) -> None:
        store.add(case)

    return Shop(store, open_case)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def shop_url(request: pytest.FixtureRequest) -> str | None:
    if request.param == "memory":
        return None
    url: str = request.getfixturevalue(request.param).new_url()
    return url


@pytest.fixture
async def shop(shop_url: str | None) -> AsyncIterator[Shop]:
    if shop_url is None:
        yield _memory_shop()
        return
    async with opened(shop_url) as database:
        yield _sql_shop(database)


async def test_every_stage_of_a_case_comes_back_as_it_was(shop: Shop) -> None:
    (case,) = await shop.filled((Severity.HIGH, 0))
    claimed = claim(case, "ada", at=_AT, lease_s=_LEASE_S)
    lapsed = expire(claimed, at=_AT + samples.minutes(20), lease_s=_LEASE_S)
    again = claim(lapsed, "bob", at=_AT + samples.minutes(21), lease_s=_LEASE_S)
    decided = decide(again, "bob", Outcome.REJECT, "Blut \U0001fa78 und mehr", at=_AT + samples.minutes(22))

    assert await shop.store.find(case.id) == case
    for before, after in ((case, claimed), (claimed, lapsed), (lapsed, again), (again, decided)):
        await shop.store.save(after, expected_version=before.version, events=[])
        assert await shop.store.find(case.id) == after


async def test_a_case_is_written_over_the_version_it_was_read_at(shop: Shop) -> None:
    (case,) = await shop.filled((Severity.HIGH, 0))
    ada, bob = (claim(case, reviewer, at=_AT, lease_s=_LEASE_S) for reviewer in ("ada", "bob"))
    await shop.store.save(ada, expected_version=0, events=[samples.event()])

    with pytest.raises(CaseConflict):
        await shop.store.save(bob, expected_version=0, events=[samples.event()])
    assert await shop.store.find(case.id) == ada


async def test_a_case_that_is_not_there(shop: Shop) -> None:
    with pytest.raises(NotFound):
        await shop.store.find("case_none")
    with pytest.raises(NotFound):
        await shop.store.save(_case(), expected_version=0, events=[samples.event()])


async def test_pages_are_in_the_queue_s_order_and_complete(shop: Shop) -> None:
    cases = await shop.filled(
        (Severity.LOW, 0), (Severity.CRITICAL, 5), (Severity.HIGH, 2), (Severity.HIGH, 1), (Severity.HIGH, 1)
    )
    expected = sorted(cases, key=lambda case: (-case.priority, case.opened_at, case.id))

    seen: list[ReviewCase] = []
    cursor = None
    while True:
        page, cursor = await shop.store.page(limit=2, cursor=cursor)
        seen += page
        if cursor is None:
            break

    assert seen == expected


async def test_pages_filter_by_state(shop: Shop) -> None:
    first, second = await shop.filled((Severity.LOW, 0), (Severity.LOW, 1))
    claimed = claim(first, "ada", at=_AT, lease_s=_LEASE_S)
    await shop.store.save(claimed, expected_version=0, events=[])

    assert await shop.store.page(limit=5, state=CaseState.OPEN) == ([second], None)
    assert await shop.store.page(limit=5, state=CaseState.CLAIMED) == ([claimed], None)
    assert await shop.store.page(limit=5, state=CaseState.DECIDED) == ([], None)


@pytest.mark.parametrize("cursor", ["", "nonsense", "WyJkZWNpc2lvbnMiLCJhIiwiYiJd"])
async def test_a_foreign_cursor_is_refused(shop: Shop, cursor: str) -> None:
    with pytest.raises(MalformedRequest):
        await shop.store.page(limit=5, cursor=cursor)


async def test_a_page_of_nothing_is_refused(shop: Shop) -> None:
    with pytest.raises(MalformedRequest):
        await shop.store.page(limit=0)


async def test_what_can_be_claimed(shop: Shop) -> None:
    held, over, still_open, done = await shop.filled(
        (Severity.CRITICAL, 0), (Severity.LOW, 1), (Severity.HIGH, 2), (Severity.CRITICAL, 3)
    )
    later = _AT + samples.minutes(15)
    await shop.store.save(claim(held, "ada", at=later, lease_s=_LEASE_S), expected_version=0, events=[])
    lapsed = claim(over, "ada", at=_AT, lease_s=_LEASE_S)
    await shop.store.save(lapsed, expected_version=0, events=[])
    held_done = claim(done, "ada", at=_AT, lease_s=_LEASE_S)
    decided = decide(held_done, "ada", Outcome.PASS, None, at=_AT).model_copy(update={"version": 1})
    await shop.store.save(decided, expected_version=0, events=[])

    assert await shop.store.claimable(at=later, limit=5) == [still_open, lapsed]
    assert await shop.store.claimable(at=later, limit=1) == [still_open]
    ends = later + samples.minutes(15)
    assert await shop.store.lapsed(at=later, not_after=ends, limit=5) == [lapsed]
    assert await shop.store.lapsed(at=_AT, not_after=ends, limit=5) == []
    held_ends_too_late = [one.id for one in await shop.store.lapsed(at=_AT, not_after=later, limit=5)]
    assert held_ends_too_late == [held.id]
    assert await shop.store.count_by_state() == {CaseState.OPEN: 1, CaseState.CLAIMED: 2, CaseState.DECIDED: 1}


async def test_a_case_and_its_event_are_written_together(database: Database) -> None:
    shop = _sql_shop(database)
    (case,) = await shop.filled((Severity.HIGH, 0))
    log = SqlAuditLog(database)
    claimed = claim(case, "ada", at=_AT, lease_s=_LEASE_S)

    with pytest.raises(ValueError, match=r"."):
        await shop.store.save(claimed, expected_version=0, events=[samples.event(n=2**60)])
    assert await shop.store.find(case.id) == case

    await shop.store.save(claimed, expected_version=0, events=[samples.event()])
    with pytest.raises(CaseConflict):
        await shop.store.save(claimed, expected_version=0, events=[samples.event()])
    assert await log.pending() == 1


async def test_reviewers_at_once_get_different_cases(database: Database) -> None:
    shop = _sql_shop(database)
    await shop.filled(*((Severity.HIGH, number) for number in range(6)))
    desk = ReviewDesk(shop.store, lease_s=_LEASE_S)

    taken = await asyncio.gather(*(desk.claim(f"reviewer {number}") for number in range(8)))

    got = [case.id for case in taken if case is not None]
    assert len(got) == len(set(got)) == 6


async def test_one_case_claimed_by_many_at_once_has_one_holder(database: Database) -> None:
    shop = _sql_shop(database)
    (case,) = await shop.filled((Severity.HIGH, 0))
    desk = ReviewDesk(shop.store, lease_s=_LEASE_S)

    results = await asyncio.gather(
        *(desk.claim(f"reviewer {number}", case.id) for number in range(6)), return_exceptions=True
    )

    holders = [result for result in results if isinstance(result, ReviewCase)]
    assert len(holders) == 1
    assert await shop.store.find(case.id) == holders[0]
    assert all(isinstance(result, CaseNotClaimable) for result in results if result is not holders[0])


async def test_a_case_that_this_version_cannot_read_is_an_error(database: Database) -> None:
    shop = _sql_shop(database)
    (case,) = await shop.filled((Severity.HIGH, 0))
    async with database.writing() as session:
        await (await session.connection()).execute(text("UPDATE cases SET state = 'appealed'"))

    with pytest.raises(StoreUnavailable):
        await shop.store.find(case.id)
