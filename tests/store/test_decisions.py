import asyncio
from dataclasses import replace
from datetime import UTC, timedelta, timezone

import pytest
from sqlmodel import select

from app.domain import Decision, Outcome, UploadContext
from app.errors import IdempotencyConflict, MalformedRequest, NotFound, StoreUnavailable
from app.store import Database, SqlAuditLog, SqlCaseStore, SqlDecisionStore
from app.store.tables import DecisionRow
from tests.store import samples


@pytest.fixture
def store(database: Database) -> SqlDecisionStore:
    return SqlDecisionStore(database)


async def test_a_record_comes_back_as_it_was(store: SqlDecisionStore) -> None:
    record = samples.record(idempotency_key="a", request_digest="sha256:b")

    assert await store.record(record, [], None) == record.decision
    assert await store.find(record.decision.id) == record.decision
    assert await store.find_record(record.decision.id) == record


async def test_decision_case_and_event_come_together(store: SqlDecisionStore, database: Database) -> None:
    record = samples.record(outcome=Outcome.REVIEW)
    case = samples.case_of(record.decision)

    await store.record(record, [samples.event()], case)

    assert await SqlCaseStore(database).find(case.id) == case
    assert await SqlAuditLog(database).pending() == 1


async def test_an_event_that_cannot_be_sealed_stops_everything(store: SqlDecisionStore, database: Database) -> None:
    record = samples.record(outcome=Outcome.REVIEW)
    bad = samples.event(number=2**60)

    with pytest.raises(ValueError, match=r"."):
        await store.record(record, [bad], samples.case_of(record.decision))

    with pytest.raises(NotFound):
        await store.find(record.decision.id)
    assert await SqlAuditLog(database).pending() == 0


async def test_times_of_any_zone_keep_their_moment(store: SqlDecisionStore, database: Database) -> None:
    at = samples.NOON.astimezone(timezone(timedelta(hours=-7)))
    record = samples.record(at=at)
    await store.record(record, [], None)

    assert (await store.find(record.decision.id)).created_at == samples.NOON
    async with database.reading() as session:
        row = (await session.exec(select(DecisionRow))).one()
    assert row.created_at == samples.NOON
    assert row.created_at.tzinfo is UTC


async def test_a_key_sees_its_own_decisions(store: SqlDecisionStore) -> None:
    record = samples.record(key_id="key_1")
    await store.record(record, [], None)

    assert await store.find(record.decision.id, key_id="key_1") == record.decision
    with pytest.raises(NotFound):
        await store.find(record.decision.id, key_id="key_2")


@pytest.mark.parametrize("decision_id", ["dec_none", "", "dec_\x00", "\ud800", "' OR 1=1 --", "x" * 10_000])
async def test_an_id_that_is_none_is_not_found(store: SqlDecisionStore, decision_id: str) -> None:
    with pytest.raises(NotFound):
        await store.find(decision_id)
    with pytest.raises(NotFound):
        await store.find_record(decision_id)


async def test_a_repeated_request_gets_the_first_answer(store: SqlDecisionStore, database: Database) -> None:
    first = samples.record(idempotency_key="a", request_digest="sha256:b")
    again = samples.record(idempotency_key="a", request_digest="sha256:b", outcome=Outcome.REVIEW)
    case = samples.case_of(again.decision)
    await store.record(first, [samples.event()], None)

    assert await store.record(again, [samples.event()], case) == first.decision
    assert await store.find_idempotent("key_1", "a", "sha256:b") == first.decision
    assert await SqlAuditLog(database).pending() == 1
    with pytest.raises(NotFound):
        await store.find(again.decision.id)
    with pytest.raises(NotFound):
        await SqlCaseStore(database).find(case.id)


async def test_a_key_for_another_upload_is_refused(store: SqlDecisionStore) -> None:
    await store.record(samples.record(idempotency_key="a", request_digest="sha256:b"), [], None)

    with pytest.raises(IdempotencyConflict):
        await store.record(samples.record(idempotency_key="a", request_digest="sha256:c"), [], None)
    with pytest.raises(IdempotencyConflict):
        await store.find_idempotent("key_1", "a", "sha256:c")


async def test_idempotency_keys_belong_to_their_api_key(store: SqlDecisionStore) -> None:
    await store.record(samples.record(idempotency_key="a", request_digest="sha256:b"), [], None)
    other = samples.record(key_id="key_2", idempotency_key="a", request_digest="sha256:c")

    assert await store.record(other, [], None) == other.decision
    assert await store.find_idempotent("key_3", "a", "sha256:b") is None


async def test_requests_without_a_key_never_collide(store: SqlDecisionStore) -> None:
    records = [samples.record() for _ in range(3)]

    assert [await store.record(record, [], None) for record in records] == [record.decision for record in records]


async def test_of_repeated_requests_at_once_one_is_written(store: SqlDecisionStore, database: Database) -> None:
    records = [samples.record(idempotency_key="a", request_digest="sha256:b") for _ in range(12)]

    answers = await asyncio.gather(*(store.record(record, [samples.event()], None) for record in records))

    assert len({answer.id for answer in answers}) == 1
    assert await SqlAuditLog(database).pending() == 1


@pytest.mark.parametrize("key", ["a\x00b", "\udc00"])
async def test_an_idempotency_key_that_cannot_be_stored_is_refused(store: SqlDecisionStore, key: str) -> None:
    assert await store.find_idempotent("key_1", key, "sha256:b") is None
    with pytest.raises(MalformedRequest):
        await store.record(samples.record(idempotency_key=key, request_digest="sha256:b"), [], None)


async def test_a_caption_that_cannot_be_stored_is_refused(store: SqlDecisionStore) -> None:
    record = replace(samples.record(), context=UploadContext(caption="half of a pair: \ud83d"))

    with pytest.raises(MalformedRequest):
        await store.record(record, [], None)


async def test_one_decision_is_not_written_twice(store: SqlDecisionStore) -> None:
    record = samples.record()
    await store.record(record, [], None)

    with pytest.raises(StoreUnavailable):
        await store.record(replace(record, key_id="key_2"), [], None)
    assert await store.find(record.decision.id, key_id="key_1") == record.decision


async def test_pages_are_newest_first_and_complete(store: SqlDecisionStore) -> None:
    """Several decisions share a moment, so that the id decides between them."""
    records = [samples.record(at=samples.NOON + samples.minutes(number // 3)) for number in range(10)]
    for record in records:
        await store.record(record, [], None)

    seen: list[Decision] = []
    cursor = None
    while True:
        page, cursor = await store.page(limit=3, cursor=cursor)
        seen += page
        if cursor is None:
            break
        late = samples.record(at=samples.NOON + samples.minutes(60))
        await store.record(late, [], None)  # what comes in meanwhile does not shift the pages

    expected = sorted(
        (record.decision for record in records), key=lambda made: (made.created_at, made.id), reverse=True
    )
    assert seen == expected


async def test_a_page_that_ends_exactly_has_no_next(store: SqlDecisionStore) -> None:
    for _ in range(2):
        await store.record(samples.record(), [], None)

    page, cursor = await store.page(limit=2)

    assert (len(page), cursor) == (2, None)


async def test_pages_filter_by_outcome_and_key(store: SqlDecisionStore) -> None:
    for outcome in Outcome:
        for key_id in ("key_1", "key_2"):
            await store.record(samples.record(outcome=outcome, key_id=key_id), [], None)

    rejected, _ = await store.page(limit=10, outcome=Outcome.REJECT)
    own, cursor = await store.page(limit=1, outcome=Outcome.REJECT, key_id="key_1")

    assert [made.outcome for made in rejected] == [Outcome.REJECT] * 2
    assert (len(own), cursor) == (1, None)


async def test_a_row_that_this_version_cannot_read_is_an_error_that_quotes_nothing(
    store: SqlDecisionStore, database: Database
) -> None:
    record = samples.record()
    await store.record(record, [], None)
    async with database.writing() as session:
        row = (await session.exec(select(DecisionRow))).one()
        row.decision = '{"secret text": 1}'
        session.add(row)

    with pytest.raises(StoreUnavailable) as caught:
        await store.find(record.decision.id)
    assert "secret text" not in str(caught.value)
