"""A backtest from stored rows to its report: on a real database, with the real matcher."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from app.domain import (
    ActivationSource,
    CaseState,
    Change,
    DecisionRecord,
    Findings,
    KeywordList,
    Outcome,
    RulesetText,
    UploadContext,
    Verdict,
)
from app.policy.backtest import Flip, Report
from app.policy.load import build_ruleset
from app.policy.rerun import SPAN_ROWS, Plan, rerun
from app.policy.ruleset import Ruleset
from app.signals.keywords import AhoCorasickMatcher
from app.store import Database, SqlArchive, SqlDecisionStore, SqlRulesets
from tests.policy.build import document, findings, keyword_list, rule
from tests.store import samples
from tests.store.databases import SqliteServer, opened, sqlite_server

WORDS = keyword_list("words", terms=("forbidden thing",), digest="sha256:words-1")


@pytest.fixture(scope="module")
def sqlite() -> Iterator[SqliteServer]:
    with sqlite_server() as server:
        yield server


@pytest.fixture
def url(sqlite: SqliteServer) -> str:
    return sqlite.new_url()


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    async with opened(url) as database:
        yield database


def made(*rules: dict[str, Any], lists: Sequence[KeywordList] = (WORDS,), **parts: Any) -> Ruleset:
    return build_ruleset(yaml.safe_dump(document(rules, **parts), allow_unicode=True).encode(), lists)


OLD = made(rule("high", "probes.a.p > 0.8"), rule("words", "keywords.words.count > 0", "review"))


async def keep(database: Database, ruleset: Ruleset) -> None:
    text = RulesetText(ruleset.digest, ruleset.policy_digest, ruleset.source, ruleset.lists)
    change = Change(ActivationSource.API, "key_1", samples.NOON)
    await SqlRulesets(database).activate(text, change, after_seq=None, events=[])


async def store(
    database: Database,
    found: Findings,
    outcome: Outcome,
    *,
    hour: float = 0,
    verdict: Outcome | None = None,
    ruleset: Ruleset = OLD,
    model: str | None = None,
    surface: str | None = None,
) -> str:
    at = samples.NOON + timedelta(hours=hour)
    decision = samples.decision(outcome=outcome, at=at, picture=found.image)
    pins = decision.pins.model_copy(update={"ruleset": ruleset.digest, "model": model})
    decision = decision.model_copy(update={"pins": pins})
    case = None
    if verdict is not None:
        said = Verdict(outcome=verdict, reviewer="r", at=at)
        case = samples.case_of(decision).model_copy(update={"state": CaseState.DECIDED, "verdict": said})
    record = DecisionRecord(decision, found, UploadContext(surface=surface), "key_1", "image/png")
    await SqlDecisionStore(database).record(record, [], case)
    return decision.id


async def backtest(database: Database, ruleset: Ruleset, **options: Any) -> Report:
    plan = Plan(ruleset, datetime(2026, 1, 1, tzinfo=UTC), AhoCorasickMatcher, processes=2, **options)
    return await rerun(plan, SqlArchive(database))


async def test_flips_are_counted_by_rule_and_named(database: Database) -> None:
    await keep(database, OLD)
    same = await store(database, findings(a=0.9), Outcome.REJECT)
    harder = await store(database, findings(a=0.6), Outcome.PASS, hour=24)
    softer = await store(database, findings(a=0.1), Outcome.REVIEW, hour=48)
    flips: list[Flip] = []
    new = made(rule("high", "probes.a.p > 0.5"), rule("words", "keywords.words.count > 0", "review"))
    report = await backtest(database, new, on_flips=flips.extend)
    assert (report.decisions, report.not_replayable, report.flips) == (3, 0, 2)
    assert report.before == {Outcome.PASS: 1, Outcome.REVIEW: 1, Outcome.REJECT: 1}
    assert report.after == {Outcome.PASS: 1, Outcome.REVIEW: 0, Outcome.REJECT: 2}
    by_rule = {one.rule: one for one in report.by_rule}
    assert by_rule["high"].counts == {"pass>reject": 1}
    assert [flip.decision for flip in by_rule["high"].examples] == [harder]
    assert by_rule[None].counts == {"review>pass": 1}
    assert [flip.decision for flip in by_rule[None].examples] == [softer]
    assert {flip.decision for flip in flips} == {harder, softer}
    assert same not in {flip.decision for flip in flips}
    assert (report.reviews_a_day_before, report.reviews_a_day_after) == (0.5, 0.0)


async def test_what_becomes_milder_is_counted_with_the_rule_that_decides_it_then(database: Database) -> None:
    await keep(database, OLD)
    await store(database, findings(a=0.9), Outcome.REJECT)
    report = await backtest(database, made(rule("high", "probes.a.p > 0.5", "review")))
    assert [(one.rule, one.counts) for one in report.by_rule] == [("high", {"reject>review": 1})]


async def test_a_changed_list_is_matched_again_over_the_stored_text(database: Database) -> None:
    await keep(database, OLD)
    hit = await store(database, findings(text="a brand new thing"), Outcome.PASS)
    await store(database, findings(text="bread"), Outcome.PASS)
    longer = keyword_list("words", terms=("forbidden thing", "brand new thing"), digest="sha256:words-2")
    rules = [rule("high", "probes.a.p > 0.8"), rule("words", "keywords.words.count > 0", "review")]
    report = await backtest(database, made(*rules, lists=[longer]))
    assert (report.flips, report.by_rule[0].rule, report.by_rule[0].examples[0].decision) == (1, "words", hit)
    assert (await backtest(database, made(*rules))).flips == 0


async def test_a_list_that_is_gone_does_not_count(database: Database) -> None:
    await keep(database, OLD)
    await store(database, findings(text="forbidden thing"), Outcome.REVIEW)
    report = await backtest(database, made(rule("high", "probes.a.p > 0.8"), lists=[]))
    assert report.after[Outcome.PASS] == 1


async def test_a_new_probe_is_not_guessed(database: Database) -> None:
    await keep(database, OLD)
    await store(database, findings(a=0.1), Outcome.PASS)
    await store(database, findings(a=0.9), Outcome.REJECT)
    probes = {name: {"category": "goods", "questions": {"en": "?"}} for name in ("a", "new")}
    rules = [rule("high", "probes.a.p > 0.8"), rule("new", "probes.new.p > 0.5")]
    report = await backtest(database, made(*rules, probes=probes, scores={}))
    assert (report.decisions, report.not_replayable, report.missing) == (2, 1, {"probes.new.p": 1})
    assert (report.before, report.after) == (
        {Outcome.PASS: 0, Outcome.REVIEW: 0, Outcome.REJECT: 1},
        {Outcome.PASS: 0, Outcome.REVIEW: 0, Outcome.REJECT: 1},
    )


async def test_a_changed_calibration_is_applied_to_its_model_alone(database: Database) -> None:
    await keep(database, OLD)
    mine, other = "sha256:" + "1" * 64, "sha256:" + "2" * 64
    flipped = await store(database, findings(a=0.6), Outcome.PASS, model=mine)
    await store(database, findings(a=0.6), Outcome.PASS, model=other)
    probes = {
        "a": {
            "category": "goods",
            "questions": {"en": "?"},
            "calibration": {"model": mine, "slope": 1.0, "intercept": 3.0},
        }
    }
    report = await backtest(database, made(rule("high", "probes.a.p > 0.8"), probes=probes, scores={}, lists=[]))
    assert [flip.decision for one in report.by_rule for flip in one.examples] == [flipped]


async def test_agreement_with_reviewers(database: Database) -> None:
    await keep(database, OLD)
    await store(database, findings(a=0.7), Outcome.REVIEW, verdict=Outcome.REJECT)
    await store(database, findings(a=0.2), Outcome.REVIEW, verdict=Outcome.PASS)
    await store(database, findings(a=0.3), Outcome.REVIEW, verdict=Outcome.REJECT)
    report = await backtest(database, made(rule("high", "probes.a.p > 0.5"), lists=[]))
    assert (report.agreement_before.verdicts, report.agreement_before.recall) == (3, 1.0)
    assert report.agreement_before.precision == pytest.approx(2 / 3)
    assert (report.agreement_after.precision, report.agreement_after.recall) == (1.0, 0.5)


async def test_a_threshold_is_moved_over_its_values(database: Database) -> None:
    await keep(database, OLD)
    for a in (0.1, 0.3, 0.6, 0.95):
        await store(database, findings(a=a), Outcome.PASS)
    new = made(rule("high", "probes.a.p > thresholds.high"), lists=[])
    [curve] = (await backtest(database, new, sweeps={"high": [0.2, 0.5, 0.9]})).curves
    assert curve.shares[Outcome.REJECT] == (0.75, 0.5, 0.25)
    assert curve.shares[Outcome.PASS] == (0.25, 0.5, 0.75)


async def test_a_surfaces_threshold_is_moved_for_its_own_uploads(database: Database) -> None:
    await keep(database, OLD)
    for surface in (None, "chat", "avatar", "avatar"):
        await store(database, findings(a=0.6), Outcome.PASS, surface=surface)
    high = rule("high", "probes.a.p > thresholds.high")
    new = made(high, lists=[], surfaces={"avatar": {"thresholds": {"high": 0.5}}})
    report = await backtest(database, new, sweeps={"surfaces.avatar.thresholds.high": [0.2, 0.7], "high": [0.2, 0.7]})
    assert report.after[Outcome.REJECT] == 2
    shares = {curve.threshold: curve.shares[Outcome.REJECT] for curve in report.curves}
    assert shares == {"high": (1.0, 0.5), "surfaces.avatar.thresholds.high": (0.5, 0.0)}


async def test_unreadable_rows_are_counted_apart(database: Database) -> None:
    await keep(database, OLD)
    await store(database, findings(a=0.1), Outcome.PASS)
    async with database.writing() as session:
        connection = await session.connection()
        await connection.exec_driver_sql("UPDATE decisions SET findings = '{\"schema_version\": 9}'")
    report = await backtest(database, OLD)
    assert (report.decisions, report.unreadable, report.not_replayable) == (1, 1, 0)


async def test_many_decisions_go_through_processes(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.policy.rerun._FEW", 10)
    monkeypatch.setattr("app.policy.rerun.PAGE_ROWS", 5)
    assert SPAN_ROWS > 50
    await keep(database, OLD)
    found = [findings(a=a / 100) for a in range(0, 100, 2)]
    await asyncio.gather(*(store(database, one, Outcome.PASS, hour=at) for at, one in enumerate(found)))
    seen: list[int] = []
    report = await backtest(database, OLD, on_progress=seen.append)
    assert report.decisions == 50
    assert report.after == {Outcome.PASS: 41, Outcome.REVIEW: 0, Outcome.REJECT: 9}
    assert (seen, len(seen)) == (sorted(seen), 9), "a quarter of a process's share each, and heard of one by one"
    assert seen[-1] == 50
