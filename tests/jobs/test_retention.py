"""Retention on a real database and real files; only time is set by hand."""

import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import update
from structlog.testing import capture_logs

from app.audit.chain import event_of
from app.domain import (
    IN_FLIGHT,
    Activation,
    ActivationSource,
    Change,
    Keeping,
    Outcome,
    RulesetText,
    Settled,
)
from app.errors import NotFound, PolicyInvalid, StoreUnavailable
from app.jobs.retention import Retention
from app.policy.live import LiveRuleset
from app.policy.retention_terms import RetentionTerms
from app.review.case import claim, decide
from app.settings import Settings
from app.store import (
    Database,
    LocalEvidenceStore,
    SqlAuditLog,
    SqlCaseStore,
    SqlDecisionStore,
    SqlRetention,
    SqlRulesets,
)
from app.store.tables import RulesetRow
from tests.http.rig import CONTRABAND, POLICY
from tests.jobs.conftest import Clock
from tests.store import samples

_KEEP = timedelta(hours=24)


class World:
    def __init__(self, database: Database, root: Path, clock: Clock, keeping: Keeping | None = None) -> None:
        self.clock = clock
        #: What the policy of the moment says.
        self.keeping = keeping or samples.keeping(passed=_KEEP / timedelta(days=1))
        self.steady = True
        self.root = root
        self.database = database
        self.decisions = SqlDecisionStore(database)
        self.cases = SqlCaseStore(database)
        self.log = SqlAuditLog(database)
        self.files = LocalEvidenceStore(root)
        self.records = SqlRetention(database)
        self.retention = Retention(self.records, self.files, terms=self.terms, clock=clock, steady=lambda: self.steady)

    async def terms(self) -> list[Keeping]:
        return [self.keeping]

    async def put(self, data: bytes) -> str:
        """As if at the clock's time."""
        image = samples.image(data)
        await self.files.put(image, data)
        for path in self.root.rglob(f"{image.facts.sha256}.*"):
            os.utime(path, (self.clock.now.timestamp(),) * 2)
        return image.facts.sha256

    async def uploaded(self, data: bytes, outcome: Outcome = Outcome.PASS, category: str = "violence") -> str:
        sha256 = await self.put(data)
        await self.decided(data, outcome, category)
        return sha256

    async def decided(self, data: bytes, outcome: Outcome = Outcome.PASS, category: str = "violence") -> None:
        at, picture = self.clock.now, samples.facts(data)
        record = samples.record(outcome=outcome, at=at, picture=picture, categories=[category])
        case = samples.case_of(record.decision) if outcome is Outcome.REVIEW else None
        await self.decisions.record(record, [], case)

    async def has(self, sha256: str) -> bool:
        try:
            await self.files.get(sha256)
        except NotFound:
            return False
        return True

    async def audited(self) -> list[tuple[str, str, object]]:
        await self.log.seal(limit=100)
        events = [event_of(entry) for entry in await self.log.entries(limit=100)]
        return [(event.kind, event.subject, event.body) for event in events]

    def body(self, settled: Settled, rule: str) -> dict[str, object]:
        return {"reason": settled.value, "rule": rule, "policy": self.keeping.policy}


@pytest.fixture
def world(database: Database, tmp_path: Path, clock: Clock) -> World:
    return World(database, tmp_path / "evidence", clock)


async def test_passed_pictures_go_after_their_time_and_it_is_audited(world: World) -> None:
    passed = await world.uploaded(b"passed")
    rejected = await world.uploaded(b"rejected", Outcome.REJECT)
    in_review = await world.uploaded(b"in review", Outcome.REVIEW)

    world.clock.forward(_KEEP)
    assert await world.retention.remove_expired() == 0
    world.clock.forward(timedelta(seconds=1))
    assert await world.retention.remove_expired() == 1
    assert await world.retention.remove_expired() == 0

    assert [await world.has(picture) for picture in (passed, rejected, in_review)] == [False, True, True]
    assert await world.audited() == [("evidence.deleted", passed, world.body(Settled.PASSED, "passed_hours"))]


async def test_a_picture_that_somebody_else_s_open_decision_is_about_stays(world: World) -> None:
    picture = await world.uploaded(b"shared")
    await world.uploaded(b"shared", Outcome.REVIEW)
    world.clock.forward(_KEEP * 2)

    assert await world.retention.remove_expired() == 0
    assert await world.has(picture)


async def test_a_reviewer_s_pass_starts_the_time(world: World) -> None:
    picture = await world.uploaded(b"in review", Outcome.REVIEW)
    (case,), _ = await world.cases.page(limit=1)
    world.clock.forward(_KEEP * 2)
    verdict = decide(claim(case, "ada", at=world.clock.now, lease_s=9), "ada", Outcome.PASS, None, at=world.clock.now)
    await world.cases.save(verdict, expected_version=0, events=[])

    world.clock.forward(_KEEP)
    assert await world.retention.remove_expired() == 0
    world.clock.forward(timedelta(seconds=1))
    assert await world.retention.remove_expired() == 1
    assert not await world.has(picture)


async def test_a_picture_on_its_way_to_a_new_decision_stays(world: World) -> None:
    """The new upload's picture is put, its decision not yet made; the old decision's time is over."""
    picture = await world.uploaded(b"again")
    world.clock.forward(_KEEP * 2)
    await world.put(b"again")
    world.clock.forward(timedelta(seconds=30))

    assert await world.retention.remove_expired() == 0
    await world.decided(b"again", Outcome.REVIEW)
    assert await world.has(picture)

    assert await world.retention.remove_expired() == 0
    assert await world.audited() == []


async def test_keeping_for_no_time_still_waits_for_uploads_on_their_way(
    database: Database, tmp_path: Path, clock: Clock
) -> None:
    world = World(database, tmp_path / "evidence", clock, samples.keeping(passed=0))
    picture = await world.uploaded(b"passed")
    world.clock.forward(IN_FLIGHT)
    assert await world.retention.remove_expired() == 0

    world.clock.forward(timedelta(seconds=1))
    assert await world.retention.remove_expired() == 1
    assert not await world.has(picture)


async def test_each_picture_goes_in_its_own_time_and_the_log_names_the_rule(world: World) -> None:
    world.keeping = samples.keeping(passed=1, rejected=100, goods=30, violence=365)
    uploads = {
        "passed_hours": (await world.uploaded(b"passed"), Settled.PASSED, 1),
        "goods": (await world.uploaded(b"a knife", Outcome.REJECT, "goods"), Settled.REJECTED, 30),
        "rejected_days": (await world.uploaded(b"spam", Outcome.REJECT, "spam"), Settled.REJECTED, 100),
        "violence": (await world.uploaded(b"blood", Outcome.REJECT, "violence"), Settled.REJECTED, 365),
    }
    begun_at = world.clock.now
    for _, _, days in uploads.values():
        world.clock.now = begun_at + timedelta(days=days)
        assert await world.retention.remove_expired() == 0
        world.clock.forward(timedelta(seconds=1))
        assert await world.retention.remove_expired() == 1

    assert await world.audited() == [
        ("evidence.deleted", picture, world.body(settled, rule)) for rule, (picture, settled, _) in uploads.items()
    ]


async def test_a_corrected_retention_counts_for_what_is_stored_already(world: World) -> None:
    old = await world.uploaded(b"old", Outcome.REJECT)
    world.clock.forward(timedelta(days=50))
    young = await world.uploaded(b"young", Outcome.REJECT)
    world.clock.forward(timedelta(days=1))
    assert await world.retention.remove_expired() == 0

    world.keeping = samples.keeping(rejected=50)
    assert await world.retention.remove_expired() == 1
    assert [await world.has(picture) for picture in (old, young)] == [False, True]

    world.keeping = samples.keeping(rejected=180)
    world.clock.forward(timedelta(days=100))
    assert await world.retention.remove_expired() == 0


@dataclass
class Edited:
    """A policy in force, whose edits count for the pictures of a world."""

    world: World
    ruleset: LiveRuleset
    terms: RetentionTerms
    retention: Retention

    async def says(self, retention: str) -> Activation:
        text = POLICY.replace("defaults:\n", f"defaults:\n  retention: {retention}\n")
        done = await self.ruleset.put(text.encode(), author="key_policy", why="a week will do", expected=None)
        return done.activation


@pytest.fixture
async def edited(world: World, tmp_path: Path) -> Edited:
    return await edited_world(world, tmp_path, grace=timedelta(days=1))


async def edited_world(world: World, folder: Path, *, grace: timedelta) -> Edited:
    (folder / "rules").mkdir()
    (folder / "rules" / "contraband.txt").write_text(CONTRABAND)
    (folder / "policies.yaml").write_text(POLICY)
    store = SqlRulesets(world.database)
    ruleset = LiveRuleset(folder / "policies.yaml", folder / "rules", store=store, clock=world.clock)
    await ruleset.start()
    terms = RetentionTerms(ruleset, world.records, passed_if_silent=_KEEP, grace=grace, clock=world.clock)
    return Edited(
        world,
        ruleset,
        terms,
        Retention(world.records, world.files, terms=terms.terms, clock=world.clock, steady=lambda: world.steady),
    )


async def test_an_edit_of_the_policy_in_force_is_all_that_it_takes(world: World, tmp_path: Path) -> None:
    edited = await edited_world(world, tmp_path, grace=timedelta(0))
    picture = await world.uploaded(b"rejected", Outcome.REJECT)
    world.clock.forward(timedelta(days=8))
    assert await edited.retention.remove_expired() == 0

    activation = await edited.says("{rejected_days: 7}")
    assert await edited.retention.remove_expired() == 1

    kind, subject, body = (await world.audited())[-1]
    assert (kind, subject) == ("evidence.deleted", picture)
    rule = "defaults.retention.rejected_days"
    assert body == {"reason": "rejected", "rule": rule, "policy": activation.policy_digest}


async def test_a_shorter_time_counts_when_its_grace_is_over(world: World, edited: Edited) -> None:
    picture = await world.uploaded(b"rejected", Outcome.REJECT)
    world.clock.forward(timedelta(days=8))
    with capture_logs() as logs:
        await edited.says("{rejected_days: 7}")
        await edited.terms.announce()
        assert await edited.retention.remove_expired() == 0
        world.clock.forward(timedelta(hours=23, minutes=59))
        await edited.terms.announce()
        assert await edited.retention.remove_expired() == 0
    assert await world.has(picture)
    assert [(one["action"], one["pictures"]) for one in logs if one["log_level"] == "warning"] == [
        ("retention_shortened", 1)
    ]

    world.clock.forward(timedelta(minutes=1))
    assert await edited.retention.remove_expired() == 1


async def test_a_shorter_time_is_announced_before_anything_is_deleted(world: World, edited: Edited) -> None:
    """For an hour after its start a node deletes nothing, and would say nothing."""
    await world.uploaded(b"rejected", Outcome.REJECT)
    world.clock.forward(timedelta(days=8))
    with capture_logs() as logs:
        await edited.terms.announce()
        await edited.says("{rejected_days: 7}")
        for _ in range(2):
            await edited.terms.announce()

    assert [(one["action"], one["pictures"]) for one in logs if one["log_level"] == "warning"] == [
        ("retention_shortened", 1)
    ]


async def test_a_slip_that_is_mended_within_the_grace_deletes_nothing(world: World, edited: Edited) -> None:
    await edited.says("{rejected_days: 180}")
    world.clock.forward(timedelta(days=2))
    picture = await world.uploaded(b"rejected", Outcome.REJECT)
    world.clock.forward(timedelta(days=30))
    await edited.says("{rejected_days: 18}")
    for days in (180, 181):
        world.clock.forward(timedelta(hours=10))
        assert await edited.retention.remove_expired() == 0
        await edited.says(f"{{rejected_days: {days}}}")
    for _ in range(4):
        assert await edited.retention.remove_expired() == 0
        world.clock.forward(timedelta(hours=10))
    assert await world.has(picture)


async def test_the_second_slip_has_a_whole_grace_too(world: World, edited: Edited) -> None:
    await edited.says("{rejected_days: 180}")
    await world.uploaded(b"rejected", Outcome.REJECT)
    world.clock.forward(timedelta(days=40))
    for retention, hours in (("{rejected_days: 30}", 20), ("{rejected_days: 180}", 1), ("{rejected_days: 30}", 0)):
        await edited.says(retention)
        world.clock.forward(timedelta(hours=hours))
    change = await edited.terms.pending()
    assert change is not None
    assert change.deletes_at == world.clock.now + timedelta(days=1)

    world.clock.now = change.deletes_at - timedelta(seconds=1)
    assert await edited.retention.remove_expired() == 0
    world.clock.now = change.deletes_at
    assert await edited.retention.remove_expired() == 1


async def test_an_activation_that_leaves_the_times_alone_does_not_put_off_what_is_told(
    world: World, edited: Edited
) -> None:
    await world.uploaded(b"rejected", Outcome.REJECT)
    world.clock.forward(timedelta(days=8))
    with capture_logs() as logs:
        await edited.says("{rejected_days: 7}")
        told = await edited.terms.pending()
        assert await edited.retention.remove_expired() == 0
        await edited.terms.announce()
        world.clock.forward(timedelta(hours=10))
        await edited.says("{rejected_days: 7} # as before")
        assert await edited.retention.remove_expired() == 0
        await edited.terms.announce()
        assert await edited.terms.pending() == told

        await edited.says("{rejected_days: 100}")
        world.clock.forward(timedelta(days=2))
        await edited.says("{rejected_days: 7}")
        assert await edited.retention.remove_expired() == 0
        await edited.terms.announce()
    assert [one["action"] for one in logs].count("retention_shortened") == 2


async def test_a_node_that_cannot_follow_deletes_nothing(world: World, edited: Edited) -> None:
    await world.uploaded(b"passed")
    world.clock.forward(timedelta(days=2))
    newer = RulesetText("sha256:" + "b" * 64, "sha256:" + "a" * 64, "version: 2", ())
    change = Change(ActivationSource.API, "key_newer", world.clock.now)
    await SqlRulesets(world.database).activate(newer, change, after_seq=None, events=[])

    with pytest.raises(PolicyInvalid, match="nothing is deleted"):
        await edited.retention.remove_expired()
    with pytest.raises(PolicyInvalid, match="nothing is deleted"):
        await edited.terms.pending()
    assert not edited.ruleset.is_newest, "it leaves the turn to another node"


async def test_a_node_that_lags_follows_first(world: World, edited: Edited, tmp_path: Path) -> None:
    await world.uploaded(b"passed")
    world.clock.forward(timedelta(days=2))
    store = SqlRulesets(world.database)
    other = LiveRuleset(tmp_path / "policies.yaml", tmp_path / "rules", store=store, clock=world.clock)
    await other.start()
    await other.put(POLICY.replace("defaults:\n", "defaults:\n  retention: {passed_hours: 72}\n").encode(),
                    author="key_policy", why=None, expected=None)  # fmt: skip

    assert await edited.retention.remove_expired() == 0
    assert edited.ruleset.current.digest == other.current.digest
    assert edited.ruleset.is_newest


async def test_what_was_over_before_the_edit_goes_during_its_grace(world: World, edited: Edited) -> None:
    await world.uploaded(b"passed")
    await world.uploaded(b"rejected", Outcome.REJECT)
    world.clock.forward(timedelta(days=2))
    await edited.says("{passed_hours: 1, rejected_days: 1}")

    assert await edited.retention.remove_expired() == 1


async def test_a_longer_time_counts_at_once(world: World, edited: Edited) -> None:
    await world.uploaded(b"passed")
    world.clock.forward(timedelta(days=2))
    await edited.says("{passed_hours: 72}")

    assert await edited.retention.remove_expired() == 0


async def test_the_preview_says_what_the_run_after_the_grace_deletes(world: World, edited: Edited) -> None:
    await world.uploaded(b"old", Outcome.REJECT)
    world.clock.forward(timedelta(days=8))
    oldest = await world.uploaded(b"held", Outcome.REVIEW)
    await world.uploaded(b"passed")
    before = edited.ruleset.current
    await edited.says("{passed_hours: 48, rejected_days: 7}")

    change = await edited.terms.change(edited.ruleset.current, before)
    assert change is not None
    assert change.deletes_at == world.clock.now + timedelta(days=1)
    assert change == await edited.terms.pending()
    assert change.deleted is not None
    assert [(one.settled, one.rule, one.pictures) for one in change.deleted.groups] == [
        (Settled.REJECTED, "defaults.retention.rejected_days", 1)
    ]
    assert change.deleted.oldest == world.clock.now - timedelta(days=8)
    # The passed one goes within the month either way.
    assert change.kept_longer is not None
    assert (change.kept_longer.pictures, change.kept_longer.complete) == (0, True)

    world.clock.now = change.deletes_at
    assert await edited.retention.remove_expired() == change.deleted.pictures
    assert await world.has(oldest)
    assert await edited.terms.pending() is None


async def test_nothing_changes_where_another_field_says_the_same(world: World, edited: Edited) -> None:
    before = edited.ruleset.current
    await edited.says("{passed_hours: 24, reviewed_days: 1}")
    assert await edited.terms.change(edited.ruleset.current, before) is None


async def test_while_nobody_can_read_the_policy_before_nothing_is_deleted(world: World, edited: Edited) -> None:
    await world.uploaded(b"rejected", Outcome.REJECT)
    world.clock.forward(timedelta(days=8))
    async with world.database.writing() as session:
        await session.exec(update(RulesetRow).values(policy="version: 0"))
    await edited.says("{rejected_days: 7}")

    with pytest.raises(PolicyInvalid):
        await edited.retention.remove_expired()
    world.clock.forward(timedelta(days=1))
    assert await edited.retention.remove_expired() == 1


async def test_a_retention_that_grows_during_a_run_spares_the_rest_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.jobs.retention._BATCH", 2)
    for number in range(6):
        await world.uploaded(b"%d" % number)
        world.clock.forward(timedelta(seconds=1))
    world.clock.forward(_KEEP * 2)
    note = world.records.evidence_deleted

    async def and_the_policy_is_edited(*given: Any, **named: Any) -> None:
        await note(*given, **named)
        world.keeping = samples.keeping(passed=30)

    monkeypatch.setattr(world.records, "evidence_deleted", and_the_policy_is_edited)

    assert await world.retention.remove_expired() == 2


async def test_pictures_that_cannot_go_yet_do_not_keep_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of them than a batch has, and they come first."""
    monkeypatch.setattr("app.jobs.retention._BATCH", 2)
    for number in range(5):
        await world.uploaded(b"%d" % number)
    world.clock.forward(timedelta(seconds=1))
    last = await world.uploaded(b"last")
    world.clock.forward(_KEEP * 2)
    for number in range(5):
        await world.put(b"%d" % number)

    assert await world.retention.remove_expired() == 1
    assert not await world.has(last)


async def test_more_than_one_batch_goes_in_one_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.jobs.retention._BATCH", 3)
    for number in range(8):
        await world.uploaded(b"%d" % number)
    world.clock.forward(_KEEP * 2)

    assert await world.retention.remove_expired() == 8


async def test_a_run_that_broke_off_is_finished_by_the_next(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = await world.uploaded(b"passed")
    world.clock.forward(_KEEP * 2)

    async def unavailable(*_: object, **__: object) -> None:
        raise StoreUnavailable("the database went away")

    with monkeypatch.context() as patch:
        patch.setattr(world.records, "evidence_deleted", unavailable)
        with pytest.raises(StoreUnavailable):
            await world.retention.remove_expired()
    assert not await world.has(picture)

    assert await world.retention.remove_expired() == 1
    assert await world.audited() == [("evidence.deleted", picture, world.body(Settled.PASSED, "passed_hours"))]


async def test_a_removed_picture_that_is_uploaded_again_is_kept_again(world: World) -> None:
    picture = await world.uploaded(b"passed")
    world.clock.forward(_KEEP * 2)
    await world.retention.remove_expired()

    await world.uploaded(b"passed", Outcome.REJECT)
    world.clock.forward(_KEEP * 2)

    assert await world.retention.remove_expired() == 0
    assert await world.retention.remove_unclaimed() == 0
    assert await world.has(picture)


async def test_pictures_without_a_decision_go(world: World) -> None:
    kept = await world.uploaded(b"rejected", Outcome.REJECT)
    orphan = await world.put(b"its upload failed")
    world.clock.forward(IN_FLIGHT)
    young = await world.put(b"on its way")
    world.clock.forward(timedelta(seconds=1))

    assert await world.retention.remove_unclaimed() == 1

    assert [await world.has(picture) for picture in (kept, orphan, young)] == [True, False, True]
    assert await world.audited() == [("evidence.deleted", orphan, {"reason": "no_decision"})]


def test_a_time_on_its_way_is_longer_than_any_decision_takes() -> None:
    (longest_s,) = [bound.le for bound in Settings.model_fields["max_deadline_s"].metadata if hasattr(bound, "le")]

    assert timedelta(seconds=longest_s) * 5 < IN_FLIGHT


async def test_a_picture_that_is_put_again_before_its_removal_is_noted_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other pictures of the batch are removed meanwhile, so this can take seconds."""
    picture = await world.uploaded(b"again")
    world.clock.forward(_KEEP * 2)
    note = world.records.evidence_deleted

    async def late(*args: Any, **kwargs: Any) -> None:
        await world.uploaded(b"again", Outcome.REVIEW)
        await note(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(world.records, "evidence_deleted", late)
        assert await world.retention.remove_expired() == 1
    world.clock.forward(IN_FLIGHT * 2)

    assert await world.retention.remove_unclaimed() == 0
    assert await world.has(picture)
    assert await world.audited() == [("evidence.deleted", picture, world.body(Settled.PASSED, "passed_hours"))]


async def test_nothing_is_deleted_while_the_clock_is_not_to_be_believed(world: World) -> None:
    """An NTP server that is a day ahead deletes nothing that is still wanted today."""
    passed = await world.uploaded(b"passed")
    unclaimed = await world.put(b"its upload failed")
    world.steady = False
    world.clock.forward(_KEEP * 2)

    assert await world.retention.remove_expired() == 0
    assert await world.retention.remove_unclaimed() == 0
    assert [await world.has(one) for one in (passed, unclaimed)] == [True, True]

    world.steady = True
    assert await world.retention.remove_expired() == 1
    assert await world.retention.remove_unclaimed() == 1


async def test_a_run_stops_when_the_clock_is_set_under_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.jobs.retention._BATCH", 2)
    for number in range(6):
        await world.uploaded(b"%d" % number)
    world.clock.forward(_KEEP * 2)
    note = world.records.evidence_deleted

    async def and_the_clock_is_set(*given: Any, **named: Any) -> None:
        await note(*given, **named)
        world.steady = False

    monkeypatch.setattr(world.records, "evidence_deleted", and_the_clock_is_set)
    assert await world.retention.remove_expired() == 2


async def test_a_walk_stops_when_the_clock_is_set_under_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        await world.put(b"%d" % number)
    world.clock.forward(_KEEP)
    delete = world.files.delete_if_put_before

    async def and_the_clock_is_set(*given: Any) -> bool:
        world.steady = False
        return await delete(*given)

    monkeypatch.setattr(world.files, "delete_if_put_before", and_the_clock_is_set)
    assert await world.retention.remove_unclaimed() == 1


async def test_what_was_decided_under_a_clock_that_was_ahead_is_kept_longer_and_not_shorter(world: World) -> None:
    world.clock.forward(timedelta(days=1))
    picture = await world.uploaded(b"passed")
    world.clock.forward(timedelta(days=-1))
    await world.uploaded(b"passed")

    world.clock.forward(_KEEP * 1.5)
    assert await world.retention.remove_expired() == 0
    world.clock.forward(_KEEP)
    assert await world.retention.remove_expired() == 1
    assert not await world.has(picture)
