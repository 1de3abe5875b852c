"""The same picture twice through the whole pipeline: two decisions, one asking."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.domain import Decision, Outcome
from app.engine.fake import FakeEngine
from app.intake.decode import Intake, IntakeLimits
from app.media_inline import InlineWorkers
from app.moderation.admission import Admission, AdmissionLimits
from app.moderation.collect import Signals
from app.moderation.findings_cache import FindingsCache
from app.moderation.forgetting import ForgettingFiles
from app.moderation.pipeline import Deadlines, Moderator
from app.policy.ruleset import Ruleset
from app.signals.codes import ZxingReader
from app.signals.keywords import AhoCorasickMatcher
from app.signals.model_text import ModelText
from app.signals.probes import Probes
from app.signals.scene import Scene
from app.store.audit import SqlAuditLog
from app.store.decisions import SqlDecisionStore
from app.store.evidence import LocalEvidenceStore
from app.store.session import Database
from tests.moderation.test_pipeline import says_yes_to, upload
from tests.moderation.test_recall import Reader, new_cache
from tests.policy.build import rule, ruleset

MILD = ruleset(rule("r", "probes.a.p >= thresholds.high"))
STRICT = ruleset(rule("r", "probes.a.p >= thresholds.half"), rule("new", "probes.b.p >= thresholds.half", "review"))


class House:
    def __init__(self, database: Database, folder: Path) -> None:
        self.ruleset: Ruleset = MILD
        self.engine = FakeEngine(says_yes_to("a", 0.7))
        self.reader = Reader()
        self.cache: FindingsCache = new_cache()
        self.audit = SqlAuditLog(database)
        self.evidence = LocalEvidenceStore(folder / "evidence")
        self.moderator = Moderator(
            intake=Intake(InlineWorkers(), IntakeLimits(), b"secret"),
            signals=Signals(
                self.reader, ZxingReader(InlineWorkers()), AhoCorasickMatcher(), Probes(), Scene(), ModelText()
            ),
            engine=self.engine,
            ruleset=lambda: self.ruleset,
            decisions=SqlDecisionStore(database),
            evidence=self.evidence,
            admission=Admission(AdmissionLimits(uploads=8, upload_bytes=1 << 30, engine_jobs=8)),
            deadlines=Deadlines(default_s=60, longest_s=60),
            cache=self.cache,
        )

    async def decide(self, caption: str | None = None, *, colour: str = "white") -> Decision:
        return await self.moderator.moderate(upload(caption, colour=colour))


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    await database.start()
    yield House(database, tmp_path)
    await database.aclose()


async def test_a_repeated_picture_gets_a_decision_of_its_own(house: House) -> None:
    first, second = await house.decide(), await house.decide("a caption")
    assert first.id != second.id
    assert (first.outcome, first.rules, first.scores) == (second.outcome, second.rules, second.scores)
    assert (first.findings.recalled, second.findings.recalled) == ((), ("codes", "ocr", "probes.a", "scene"))
    assert (len(house.engine.jobs), house.reader.reads) == (1, 1)
    await house.audit.seal(limit=10)
    entries = await house.audit.entries(limit=10)
    assert [one.id.encode() in entry.body for one, entry in zip((first, second), entries, strict=True)] == [True, True]


async def test_the_policy_of_the_moment_decides_and_asks_only_what_is_new(house: House) -> None:
    assert (await house.decide()).outcome is Outcome.PASS
    house.ruleset = STRICT
    second = await house.decide()
    assert (second.outcome, second.pins.ruleset) == (Outcome.REJECT, STRICT.digest)
    assert second.findings.recalled == ("codes", "ocr", "probes.a", "scene")
    assert [question.id for question in house.engine.jobs[1].questions] == ["probes/b/en"]


async def test_another_picture_has_nothing_of_it(house: House) -> None:
    await house.decide()
    assert (await house.decide(colour="red")).findings.recalled == ()


async def test_what_retention_deletes_is_forgotten(house: House) -> None:
    first = await house.decide()
    files = ForgettingFiles(house.evidence, house.cache)
    long_ago, now = datetime(2020, 1, 1, tzinfo=UTC), datetime.now(UTC)
    assert not await files.delete_if_put_before(first.image.sha256, long_ago)
    assert house.cache.pictures == 1
    assert [one async for one in files.put_before(now)] == [[first.image.sha256]]
    assert await files.delete_if_put_before(first.image.sha256, now)
    assert house.cache.pictures == 0
    assert (await house.decide()).findings.recalled == ()
