from dataclasses import replace
from datetime import datetime

import pytest

from app.domain import Outcome
from app.review.case import claim, decide
from app.store import Database, SqlAuditLog, SqlCaseStore, SqlDecisionStore, SqlRetention
from tests.store import samples

_DAY = samples.minutes(24 * 60)
_NOW = samples.NOON + _DAY
_PICTURE = samples.facts(b"one")


class World:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.retention = SqlRetention(database)

    async def decided(
        self, outcome: Outcome, at: datetime, *, verdict: Outcome | None = None, verdict_at: datetime | None = None
    ) -> None:
        record = samples.record(outcome=outcome, at=at, picture=_PICTURE)
        case = samples.case_of(record.decision) if outcome is Outcome.REVIEW else None
        await SqlDecisionStore(self.database).record(record, [], case)
        if case is None or verdict is None:
            return
        claimed = claim(case, "ada", at=at, lease_s=900)
        done = decide(claimed, "ada", verdict, None, at=verdict_at or at)
        await SqlCaseStore(self.database).save(done, expected_version=0, events=[])

    async def expired(self, passed_before: datetime = _NOW) -> list[str]:
        return await self.retention.expired_evidence(passed_before=passed_before, limit=10)


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


async def test_a_picture_that_passed_long_ago_is_expired(world: World) -> None:
    await world.decided(Outcome.PASS, samples.NOON)

    assert await world.expired() == [_PICTURE.sha256]
    assert await world.expired(samples.NOON) == []


@pytest.mark.parametrize("other", [Outcome.REVIEW, Outcome.REJECT])
async def test_a_decision_that_is_no_pass_keeps_the_picture(world: World, other: Outcome) -> None:
    await world.decided(Outcome.PASS, samples.NOON)
    await world.decided(other, samples.NOON - _DAY)
    await world.decided(Outcome.PASS, samples.NOON)

    assert await world.expired() == []


async def test_a_younger_pass_keeps_the_picture(world: World) -> None:
    await world.decided(Outcome.PASS, samples.NOON)
    await world.decided(Outcome.PASS, _NOW)

    assert await world.expired() == []


async def test_a_reviewer_s_pass_counts_from_the_verdict(world: World) -> None:
    verdict_at = samples.NOON + samples.minutes(30)
    await world.decided(Outcome.REVIEW, samples.NOON, verdict=Outcome.PASS, verdict_at=verdict_at)

    assert await world.expired() == [_PICTURE.sha256]
    assert await world.expired(verdict_at) == []


async def test_a_reviewer_s_reject_keeps_the_picture(world: World) -> None:
    await world.decided(Outcome.REVIEW, samples.NOON, verdict=Outcome.REJECT)
    await world.decided(Outcome.PASS, samples.NOON)

    assert await world.expired() == []


async def test_one_undecided_case_among_decided_ones_keeps_the_picture(world: World) -> None:
    await world.decided(Outcome.REVIEW, samples.NOON, verdict=Outcome.PASS)
    await world.decided(Outcome.REVIEW, samples.NOON)

    assert await world.expired() == []


async def test_a_case_on_a_passed_decision_keeps_the_picture(world: World) -> None:
    record = samples.record(at=samples.NOON, picture=_PICTURE)
    await SqlDecisionStore(world.database).record(record, [], samples.case_of(record.decision))

    assert await world.expired() == []


async def test_a_review_without_any_case_keeps_the_picture(world: World) -> None:
    record = samples.record(outcome=Outcome.REVIEW, at=samples.NOON, picture=_PICTURE)
    await SqlDecisionStore(world.database).record(record, [], None)

    assert await world.expired() == []


async def test_what_is_deleted_is_expired_no_more_until_it_is_seen_again(world: World) -> None:
    await world.decided(Outcome.PASS, samples.NOON)
    await world.retention.evidence_deleted([_PICTURE.sha256], seen_before=_NOW, at=_NOW, events=[samples.event()])

    assert await world.expired() == []
    assert await SqlAuditLog(world.database).pending() == 1
    assert await world.retention.unknown_evidence([_PICTURE.sha256, "f" * 64]) == [_PICTURE.sha256, "f" * 64]

    await world.decided(Outcome.PASS, samples.NOON)

    assert await world.expired() == [_PICTURE.sha256]
    assert await world.retention.unknown_evidence([_PICTURE.sha256, "f" * 64]) == ["f" * 64]


async def test_the_longest_unseen_pictures_come_first(world: World) -> None:
    pictures = [samples.facts(b"%d" % number) for number in range(4)]
    for age, picture in enumerate(pictures):
        record = samples.record(at=samples.NOON - samples.minutes(age), picture=picture)
        await SqlDecisionStore(world.database).record(replace(record), [], None)

    first_two = await world.retention.expired_evidence(passed_before=_NOW, limit=2)

    assert first_two == [pictures[3].sha256, pictures[2].sha256]
