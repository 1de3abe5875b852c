"""The archive in stretches: nothing twice, nothing left out, and the same when another process opens it."""

import pickle
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from app.domain import ActivationSource, Change, RulesetText, Span, StoredDecision
from app.errors import StoreUnavailable
from app.store import Database, SqlArchive, SqlDecisionStore, SqlRulesets
from tests.store import samples

SINCE = samples.NOON - timedelta(days=1)


async def stored(database: Database, hours: list[int]) -> list[str]:
    """Ids in order of time; several decisions may be of one moment."""
    made = [samples.record(at=samples.NOON + timedelta(hours=hour)) for hour in hours]
    for record in made:
        await SqlDecisionStore(database).record(record, [], None)
    ordered = sorted(made, key=lambda record: (record.decision.created_at, record.decision.id))
    return [record.decision.id for record in ordered]


async def read(archive: SqlArchive, span: Span, *, rows: int = 2) -> list[StoredDecision]:
    return [one async for page in archive.pages(span, rows=rows, models=True) for one in page]


async def stretches(archive: SqlArchive, rows: int) -> list[Span]:
    return [span async for span in archive.spans(since=SINCE, rows=rows)]


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 100])
async def test_stretches_hold_everything_once_and_in_order(database: Database, rows: int) -> None:
    ids = await stored(database, [3, 1, 1, 1, 0, 2, 5])
    archive = SqlArchive(database)

    spans = await stretches(archive, rows)

    assert all(one.upto == other.after for one, other in pairwise(spans))
    assert spans[-1].upto is None
    parts = [[one.id for one in await read(archive, span)] for span in spans]
    assert [one for part in parts for one in part] == ids
    assert all(len(part) == rows for part in parts[:-1])
    assert len(parts[-1]) < rows


async def test_an_empty_archive_is_one_empty_stretch(database: Database) -> None:
    archive = SqlArchive(database)
    [span] = await stretches(archive, 10)
    assert (span, await read(archive, span)) == (Span((SINCE, "")), [])


async def test_what_is_older_is_in_no_stretch(database: Database) -> None:
    await stored(database, [-48, -30])
    [new] = await stored(database, [-24])
    archive = SqlArchive(database)
    assert await archive.count(since=SINCE) == 1
    assert [one.id for span in await stretches(archive, 1) for one in await read(archive, span)] == [new]


async def test_another_process_opens_the_same_archive(database: Database) -> None:
    ids = await stored(database, [0, 1])
    opener = pickle.loads(pickle.dumps(SqlArchive(database).opener()))  # noqa: S301 - our own
    async with opener() as archive:
        found = await read(archive, Span((SINCE, "")))
    assert [one.id for one in found] == ids
    assert {one.model for one in found} == {samples.record().decision.pins.model}


@pytest.mark.parametrize("model", [None, "sha256:" + "a" * 64])
async def test_the_model_that_answered(database: Database, model: str | None) -> None:
    """Beside a text that looks like one, a list of that name, and a NUL."""
    record = samples.record()
    pins = record.decision.pins.model_copy(update={"model": model, "lists": {"model": "sha256:list", "a": "b"}})
    text = '\0 "lists":{},"model":"sha256:text"'
    scene = record.decision.findings.scene.model_copy(update={"description": text})
    shown = record.decision.findings.model_copy(update={"scene": scene})
    decision = record.decision.model_copy(update={"pins": pins, "findings": shown})
    await SqlDecisionStore(database).record(replace(record, decision=decision), [], None)
    [found] = await read(SqlArchive(database), Span((SINCE, "")))
    assert found.model == model


async def test_an_opened_archive_is_closed_in_the_end(database: Database) -> None:
    async with SqlArchive(database).opener()() as archive:
        pass
    with pytest.raises(StoreUnavailable):
        await archive.count(since=SINCE)


async def test_the_lists_of_a_ruleset(database: Database) -> None:
    text = RulesetText("sha256:r", "sha256:p", "rules: []", ())
    change = Change(ActivationSource.API, "key_1", samples.NOON)
    await SqlRulesets(database).activate(text, change, after_seq=None, events=[])
    archive = SqlArchive(database)
    assert await archive.lists_of("sha256:r") == {}
    assert await archive.lists_of("sha256:other") is None
