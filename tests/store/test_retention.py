from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import pytest

from app.domain import CaseKind, Keep, Keeping, Outcome, ReviewCase, Settled, Severity, new_id
from app.review.case import claim, decide
from app.store import Database, SqlAuditLog, SqlCaseStore, SqlDecisionStore, SqlRetention
from tests.store import samples

_DAY = samples.minutes(24 * 60)
_NOON = samples.NOON
_PICTURE = samples.facts(b"one")
#: After all that happens here.
_EVER = _NOON + 10_000 * _DAY


class World:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.retention = SqlRetention(database)

    async def decided(
        self,
        outcome: Outcome,
        at: datetime = _NOON,
        *,
        verdict: Outcome | None = None,
        verdict_at: datetime | None = None,
        categories: Sequence[str] = ("violence",),
    ) -> str:
        """The decision's id."""
        record = samples.record(outcome=outcome, at=at, picture=_PICTURE, categories=categories)
        case = samples.case_of(record.decision) if outcome is Outcome.REVIEW or verdict else None
        await SqlDecisionStore(self.database).record(record, [], case)
        if case is not None and verdict is not None:
            await self.judged(case, verdict, verdict_at or at)
        return record.decision.id

    async def judged(self, case: ReviewCase, verdict: Outcome, at: datetime) -> None:
        done = decide(claim(case, "ada", at=at, lease_s=900), "ada", verdict, None, at=at)
        await SqlCaseStore(self.database).save(done, expected_version=case.version, events=[])

    async def second_case(self, decision_id: str, *, at: datetime) -> ReviewCase:
        """As an appeal opens one."""
        case = ReviewCase(
            id=new_id("case"), decision_id=decision_id, kind=CaseKind.REVIEW, priority=Severity.LOW, opened_at=at
        )
        record = samples.record(picture=samples.facts(b"of no importance"), at=at)
        await SqlDecisionStore(self.database).record(record, [], case)
        return case

    async def kept(self, keeping: Keeping | None = None, *, days: float = 1.5) -> bool:
        """Whether the picture is, so many days after noon."""
        return await self.gone_by(keeping, days=days) is None

    async def gone_by(self, keeping: Keeping | None = None, *, days: float) -> tuple[Settled, str] | None:
        """What it came to, and the rule that lets it go."""
        found, _ = await self.retention.expired_evidence(
            keeping or samples.keeping(), now=_NOON + days * _DAY, seen_before=_EVER, after=None, limit=10
        )
        of_it = [(one.settled, one.rule) for one in found if one.sha256 == _PICTURE.sha256]
        return of_it[0] if of_it else None


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


async def test_a_picture_that_passed_long_ago_is_expired(world: World) -> None:
    await world.decided(Outcome.PASS)

    assert await world.kept(days=1)
    assert await world.gone_by(days=1.001) == (Settled.PASSED, "passed_hours")


@pytest.mark.parametrize("other", [Outcome.REVIEW, Outcome.REJECT])
async def test_a_decision_that_is_no_pass_keeps_the_picture(world: World, other: Outcome) -> None:
    await world.decided(Outcome.PASS)
    await world.decided(other, _NOON - _DAY)
    await world.decided(Outcome.PASS)

    assert await world.kept(days=9999)


async def test_a_younger_pass_keeps_the_picture(world: World) -> None:
    await world.decided(Outcome.PASS)
    await world.decided(Outcome.PASS, _NOON + _DAY)

    assert await world.kept(days=2)
    assert not await world.kept(days=2.001)


async def test_a_reviewer_s_pass_counts_from_the_verdict_for_as_long_as_it_is_said_for_those(world: World) -> None:
    await world.decided(Outcome.REVIEW, verdict=Outcome.PASS, verdict_at=_NOON + 3 * _DAY)
    keeping = samples.keeping(reviewed=10)

    assert await world.kept(days=4)
    assert not await world.kept(days=4.001)
    assert await world.kept(keeping, days=13)
    assert await world.gone_by(keeping, days=13.001) == (Settled.REVIEWED, "reviewed_days")


async def test_what_is_rejected_goes_where_that_is_said(world: World) -> None:
    await world.decided(Outcome.REJECT)
    keeping = samples.keeping(rejected=180)

    assert await world.kept(days=9999)
    assert await world.kept(keeping, days=180)
    assert await world.gone_by(keeping, days=180.001) == (Settled.REJECTED, "rejected_days")


@pytest.mark.parametrize("outcome", list(Outcome))
async def test_the_last_word_is_the_reviewer_s_whatever_was_decided(world: World, outcome: Outcome) -> None:
    await world.decided(outcome, verdict=Outcome.REJECT, verdict_at=_NOON + _DAY)
    keeping = samples.keeping(reviewed=3, rejected=7)

    assert await world.kept(keeping, days=8)
    assert await world.gone_by(keeping, days=8.001) == (Settled.REJECTED, "rejected_days")


async def test_a_reject_that_a_reviewer_took_back_is_a_pass(world: World) -> None:
    await world.decided(Outcome.REJECT, verdict=Outcome.PASS, verdict_at=_NOON + _DAY)

    assert await world.kept(samples.keeping(reviewed=3, rejected=7), days=4)
    assert not await world.kept(samples.keeping(reviewed=3, rejected=7), days=4.001)


async def test_a_second_case_keeps_the_picture_and_its_verdict_is_the_last_word(world: World) -> None:
    decision_id = await world.decided(Outcome.REVIEW, verdict=Outcome.REJECT)
    keeping = samples.keeping(rejected=2)
    appeal = await world.second_case(decision_id, at=_NOON + _DAY)

    assert await world.kept(keeping, days=9999)
    await world.judged(appeal, Outcome.PASS, _NOON + 5 * _DAY)
    assert await world.kept(keeping, days=6)
    assert (await world.gone_by(keeping, days=6.001)) == (Settled.REVIEWED, "reviewed_days")


@pytest.mark.parametrize(
    ("categories", "days", "rule"),
    [
        ((), 100, "rejected_days"),
        (("spam",), 100, "rejected_days"),
        (("goods",), 30, "goods"),
        (("violence",), 365, "violence"),
        (("goods", "violence"), 365, "violence"),
        (("goods", "spam"), 100, "rejected_days"),
        (("goods", "spam", "violence"), 365, "violence"),
    ],
)
async def test_of_several_categories_the_longest_counts(
    world: World, categories: Sequence[str], days: float, rule: str
) -> None:
    keeping = samples.keeping(rejected=100, goods=30, violence=365)
    await world.decided(Outcome.REJECT, categories=categories)

    assert await world.kept(keeping, days=days)
    assert await world.gone_by(keeping, days=days + 0.001) == (Settled.REJECTED, rule)


async def test_a_category_lets_go_of_what_else_would_be_kept_for_ever(world: World) -> None:
    await world.decided(Outcome.REJECT, categories=["goods"])

    assert await world.gone_by(samples.keeping(goods=30), days=31) == (Settled.REJECTED, "goods")
    assert await world.kept(samples.keeping(spam=30), days=9999)


async def test_a_category_says_nothing_of_what_a_reviewer_passed(world: World) -> None:
    await world.decided(Outcome.REVIEW, verdict=Outcome.PASS, categories=["violence"])

    assert await world.gone_by(samples.keeping(violence=365), days=1.001) == (Settled.REVIEWED, "reviewed_days")


async def test_decisions_that_share_a_picture_keep_it_as_long_as_any_of_them(world: World) -> None:
    await world.decided(Outcome.PASS, _NOON + 20 * _DAY)
    await world.decided(Outcome.REJECT, categories=["goods"])
    await world.decided(Outcome.REVIEW, verdict=Outcome.REJECT, verdict_at=_NOON + 2 * _DAY, categories=["spam"])
    keeping = samples.keeping(rejected=25, goods=26)

    assert await world.kept(keeping, days=27)
    assert await world.gone_by(keeping, days=27.001) == (Settled.REJECTED, "rejected_days")


async def test_one_undecided_case_among_decided_ones_keeps_the_picture(world: World) -> None:
    await world.decided(Outcome.REVIEW, verdict=Outcome.PASS)
    await world.decided(Outcome.REVIEW)

    assert await world.kept(samples.keeping(rejected=1), days=9999)


@pytest.mark.parametrize("outcome", [Outcome.PASS, Outcome.REJECT])
async def test_an_undecided_case_keeps_the_picture_of_a_decision_that_stands(world: World, outcome: Outcome) -> None:
    record = samples.record(outcome=outcome, at=_NOON, picture=_PICTURE)
    await SqlDecisionStore(world.database).record(record, [], samples.case_of(record.decision))

    assert await world.kept(samples.keeping(rejected=1), days=9999)


async def test_a_review_without_any_case_keeps_the_picture(world: World) -> None:
    record = samples.record(outcome=Outcome.REVIEW, at=_NOON, picture=_PICTURE)
    await SqlDecisionStore(world.database).record(record, [], None)

    assert await world.kept(samples.keeping(rejected=1), days=9999)


async def test_nothing_is_expired_where_all_is_kept_for_ever(world: World) -> None:
    await world.decided(Outcome.PASS)
    for_ever = Keep(None, "nobody's")

    assert await world.kept(Keeping(for_ever, for_ever, for_ever), days=9999)


async def test_what_is_deleted_is_expired_no_more_until_it_is_seen_again(world: World) -> None:
    await world.decided(Outcome.PASS)
    later = _NOON + _DAY
    await world.retention.evidence_deleted([_PICTURE.sha256], seen_before=later, at=later, events=[samples.event()])

    assert await world.kept()
    assert await SqlAuditLog(world.database).pending() == 1
    assert await world.retention.unknown_evidence([_PICTURE.sha256, "f" * 64]) == [_PICTURE.sha256, "f" * 64]

    await world.decided(Outcome.PASS)

    assert not await world.kept()
    assert await world.retention.unknown_evidence([_PICTURE.sha256, "f" * 64]) == ["f" * 64]


async def test_pictures_come_the_longest_unseen_first_some_at_a_time_past_those_that_stay(world: World) -> None:
    outcomes = [Outcome.PASS, Outcome.REJECT, Outcome.REJECT, Outcome.REJECT, Outcome.PASS]
    pictures = [samples.facts(b"%d" % number) for number in range(len(outcomes))]
    for age, (picture, outcome) in enumerate(zip(pictures, outcomes, strict=True)):
        record = samples.record(outcome=outcome, at=_NOON - samples.minutes(age), picture=picture)
        await SqlDecisionStore(world.database).record(replace(record), [], None)

    pages, after = [], None
    while True:
        expired, after = await world.retention.expired_evidence(
            samples.keeping(), now=_NOON + 2 * _DAY, seen_before=_EVER, after=after, limit=2
        )
        pages.append([one.sha256 for one in expired])
        if after is None:
            break

    assert pages == [[pictures[4].sha256], [], [pictures[0].sha256]]


async def test_what_was_seen_since_may_be_on_its_way_whatever_is_kept(world: World) -> None:
    await world.decided(Outcome.PASS)
    at_once, now = samples.keeping(passed=0), _NOON + _DAY
    for seen_before, expired in ((_NOON, []), (now, [_PICTURE.sha256])):
        found, _ = await world.retention.expired_evidence(
            at_once, now=now, seen_before=seen_before, after=None, limit=10
        )
        assert [one.sha256 for one in found] == expired
