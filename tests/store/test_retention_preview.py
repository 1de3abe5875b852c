"""What is said beforehand to be deleted is what the run deletes: whatever was decided, judged and appealed against, for
any two retentions."""

import asyncio
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import literal

from app.audit.chain import event_of
from app.domain import IN_FLIGHT, CaseKind, Keeping, Outcome, ReviewCase, Severity, new_id
from app.jobs.retention import Retention
from app.policy.retention_change import Counts, PictureCount, count_deleted
from app.review.case import claim, decide
from app.store import (
    Database,
    LocalEvidenceStore,
    SqlAuditLog,
    SqlCaseStore,
    SqlDecisionStore,
    SqlRetention,
)
from tests.store import samples
from tests.store.databases import PostgresServer, SqliteServer, opened

_NOW = samples.NOON + timedelta(days=20)
_DAYS = st.integers(0, 40).map(lambda halves: halves / 2)
_MAYBE_DAYS = st.none() | _DAYS
_CATEGORIES = ("goods", "spam", "violence")


@dataclass(frozen=True)
class Upload:
    """`at` and `verdict_at` are days before now, half ones too. An appeal is a second case on the decision."""

    picture: int
    outcome: Outcome
    at: float
    categories: frozenset[str]
    verdict: Outcome | None
    appeal: str

    @property
    def is_judged(self) -> bool:
        return self.verdict is not None


_UPLOADS = st.lists(
    st.builds(
        Upload,
        picture=st.integers(0, 4),
        outcome=st.sampled_from(Outcome),
        at=st.integers(0, 40).map(lambda halves: halves / 2),
        categories=st.frozensets(st.sampled_from(_CATEGORIES)),
        verdict=st.sampled_from([None, Outcome.PASS, Outcome.REJECT]),
        appeal=st.sampled_from(["none", "none", "open", "pass", "reject"]),
    ),
    min_size=3,
    max_size=9,
)
_KEEPINGS = st.builds(
    samples.keeping,
    passed=_DAYS,
    reviewed=_MAYBE_DAYS,
    rejected=_MAYBE_DAYS,
    **{name: st.just(5.0) | _DAYS for name in _CATEGORIES[:2]},
)


class World:
    def __init__(self, database: Database, root: Path) -> None:
        self.records = SqlRetention(database)
        self.decisions, self.cases = SqlDecisionStore(database), SqlCaseStore(database)
        self.files, self.log = LocalEvidenceStore(root), SqlAuditLog(database)
        self.root = root

    async def put(self, upload: Upload) -> None:
        data, at = b"%d" % upload.picture, _NOW - timedelta(days=upload.at)
        image = samples.image(data)
        await self.files.put(image, data)
        record = samples.record(
            outcome=upload.outcome, at=at, picture=image.facts, categories=sorted(upload.categories)
        )
        waits = upload.outcome is Outcome.REVIEW or upload.is_judged
        case = samples.case_of(record.decision) if waits else None
        await self.decisions.record(record, [], case)
        if case is not None and upload.verdict is not None:
            await self.judge(case, upload.verdict, upload.at / 2)
        if upload.appeal != "none":
            await self.appeal(record.decision.id, upload)

    async def judge(self, case: ReviewCase, verdict: Outcome, days_ago: float) -> None:
        at = _NOW - timedelta(days=days_ago)
        done = decide(claim(case, "ada", at=at, lease_s=900), "ada", verdict, None, at=at)
        await self.cases.save(done, expected_version=case.version, events=[])

    async def appeal(self, decision_id: str, upload: Upload) -> None:
        opened_at = _NOW - timedelta(days=upload.at / 2)
        case = ReviewCase(
            id=new_id("case"),
            decision_id=decision_id,
            kind=CaseKind.REVIEW,
            priority=Severity.LOW,
            opened_at=opened_at,
        )
        aside = samples.record(picture=samples.facts(b"of no importance"), at=_NOW)
        await self.decisions.record(aside, [], case)
        if upload.appeal != "open":
            await self.judge(case, Outcome(upload.appeal), upload.at / 4)

    async def run(self, *terms: Keeping) -> Counter[tuple[str, str]]:
        """What a run deletes, by what it came to and the rule, as the audit log has it."""
        for path in self.root.rglob("*.bin"):
            os.utime(path, ((_NOW - timedelta(days=30)).timestamp(),) * 2)

        async def now() -> Sequence[Keeping]:
            return terms

        after = (await self.log.head()).seq
        removed = await Retention(
            self.records, self.files, terms=now, clock=lambda: _NOW, steady=lambda: True
        ).remove_expired()
        await self.log.seal(limit=1000)
        bodies = [event_of(entry).body for entry in await self.log.entries(after_seq=after, limit=1000)]
        assert len(bodies) == removed
        return Counter((str(body["reason"]), str(body["rule"])) for body in bodies)

    async def said(self, keeping: Keeping, *, kept_by: Keeping) -> Counter[tuple[str, str]]:
        count = await count_deleted(self.records, keeping, kept_by=kept_by, at=_NOW)
        assert count.complete
        assert count.pictures == sum(one.pictures for one in count.groups)
        assert count.oldest == min((one.oldest for one in count.groups), default=None)
        return Counter({(one.settled.value, one.rule): one.pictures for one in count.groups})


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(uploads=_UPLOADS, in_force=_KEEPINGS, edit=_KEEPINGS)
def test_the_preview_is_what_the_run_deletes(
    server: SqliteServer | PostgresServer, uploads: Sequence[Upload], in_force: Keeping, edit: Keeping
) -> None:
    async def check(url: str, folder: str) -> None:
        async with opened(url) as database:
            world = World(database, Path(folder))
            for upload in uploads:
                await world.put(upload)
            deleted = await world.said(edit, kept_by=in_force)
            longer = await world.said(in_force, kept_by=edit)

            await world.run(edit, in_force)  # what both let go: of no interest to either count
            assert await world.run(in_force) == longer
            assert await world.run(edit) == deleted

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(check(server.new_url(), folder))


async def test_counting_stops_when_its_time_is_over(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.policy.retention_change._BATCH", 2)
    store, records = SqlDecisionStore(database), SqlRetention(database)
    for number in range(10):
        at = samples.NOON + timedelta(seconds=number)
        record = samples.record(outcome=Outcome.REJECT, at=at, picture=samples.facts(b"%d" % number))
        await store.record(record, [], None)
    keeping, before = samples.keeping(rejected=1), samples.keeping()

    async def count(*looks_s: float) -> PictureCount:
        looks = iter((0.0, *looks_s))
        return await count_deleted(records, keeping, kept_by=before, at=_NOW, patience_s=2.0, clock=lambda: next(looks))

    stopped = await count(1.0, 1.9, 2.0)
    assert (stopped.pictures, stopped.complete, stopped.oldest) == (6, False, samples.NOON)
    whole = await count(*[1.0] * 6)
    assert (whole.pictures, whole.complete) == (10, True)


async def test_a_picture_that_comes_to_wait_for_a_person_meanwhile_is_not_let_go(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On PostgreSQL, between the query for what is settled and the one for what each came to."""
    store, records = SqlDecisionStore(database), SqlRetention(database)
    for name in (b"again", b"once"):
        await store.record(samples.record(picture=samples.facts(name)), [], None)
    monkeypatch.setattr("app.store.retention._still_needed", lambda *_: literal(value=False))
    waits = samples.record(outcome=Outcome.REVIEW, picture=samples.facts(b"again"))
    await store.record(waits, [], samples.case_of(waits.decision))

    found, _ = await records.expired_evidence(
        samples.keeping(), now=_NOW, seen_before=_NOW, after=None, limit=9, agreed=()
    )
    assert [one.sha256 for one in found] == [samples.facts(b"once").sha256]


async def test_what_was_seen_within_the_last_minutes_is_not_counted(database: Database) -> None:
    """It may be on its way to another decision, and the run leaves it."""
    for age in (IN_FLIGHT, IN_FLIGHT + timedelta(seconds=1)):
        record = samples.record(at=_NOW - age, picture=samples.facts(str(age).encode()))
        await SqlDecisionStore(database).record(record, [], None)
    count = await count_deleted(
        SqlRetention(database), samples.keeping(passed=0), kept_by=samples.keeping(passed=9), at=_NOW
    )
    assert count.pictures == 1


async def test_a_count_is_remembered_for_a_minute_by_what_it_is_of(database: Database) -> None:
    store, now_s = SqlDecisionStore(database), 0.0
    counts = Counts(SqlRetention(database), clock=lambda: now_s)
    shorter, longer = samples.keeping(passed=1), samples.keeping(passed=30)

    async def counted(gone_by: Keeping = shorter, kept_by: Keeping = longer, after_s: float = 0) -> int:
        return (await counts.deleted(gone_by, kept_by=kept_by, at=_NOW + timedelta(seconds=after_s))).pictures

    assert await counted() == 0
    await store.record(samples.record(at=_NOW - timedelta(days=5), picture=samples.facts(b"passed")), [], None)
    assert await counted(after_s=59) == 0
    assert await counted(after_s=60) == 1
    assert await counted(kept_by=samples.keeping(passed=29)) == 1
    now_s = 60.0
    assert await counted() == 1
