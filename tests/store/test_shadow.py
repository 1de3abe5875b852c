"""The shadow policy's history and the comparisons, on both databases; the memory store keeps the same promises."""

import asyncio
from datetime import timedelta

import pytest

from app.domain import ActivationSource, Change, Comparison, Outcome, ShadowText, Tried
from app.errors import StoreUnavailable
from app.policy.shadow_memory import MemoryShadow
from app.store import Database, SqlAuditLog, SqlDecisionStore, SqlShadow
from tests.store import samples

API, FILE = ActivationSource.API, ActivationSource.FILE
LONG_AGO = samples.NOON - timedelta(days=9)
SqlOrMemory = SqlShadow | MemoryShadow


@pytest.fixture
def shadow(database: Database) -> SqlShadow:
    return SqlShadow(database)


@pytest.fixture(params=["sql", "memory"])
def any_store(request: pytest.FixtureRequest, shadow: SqlShadow) -> SqlOrMemory:
    return shadow if request.param == "sql" else MemoryShadow()


async def _change(
    store: SqlOrMemory, name: str | None, source: ActivationSource = API, after_seq: int | None = None
) -> ShadowText | None:
    change = Change(source, "key_1", samples.NOON, "why 两")
    digest, text = (None, None) if name is None else (f"sha256:{name}", f"# {name}\n两")
    return await store.change(digest, text, change, events=[samples.event()], after_seq=after_seq)


async def test_what_is_set_comes_back_and_is_taken_away(any_store: SqlOrMemory) -> None:
    assert await any_store.head() is None
    assert await _change(any_store, None) is None, "there is nothing to take away"
    entry = await _change(any_store, "one")
    assert entry == ShadowText(1, "sha256:one", "# one\n两", Change(API, "key_1", samples.NOON, "why 两"))
    assert await any_store.head() == entry
    assert await _change(any_store, "one") is None
    gone = await _change(any_store, None)
    assert gone is not None
    assert (gone.seq, gone.policy, await any_store.head()) == (2, None, gone)
    assert await any_store.knows("sha256:one")
    assert not await any_store.knows("sha256:two")


async def test_a_files_content_is_set_once(any_store: SqlOrMemory) -> None:
    assert await _change(any_store, "one", FILE)
    assert await _change(any_store, "two")
    assert await _change(any_store, "one", FILE) is None, "the last content of the files is `one`"
    assert await _change(any_store, None, FILE), "the file was taken away"
    assert await _change(any_store, "one", FILE)


async def test_what_was_replaced_meanwhile_is_left(any_store: SqlOrMemory) -> None:
    await _change(any_store, "one")
    await _change(any_store, "two")
    assert await _change(any_store, None, after_seq=1) is None
    assert (await any_store.head() or ShadowText(0, None, None, Change(API, "", samples.NOON))).seq == 2
    assert await _change(any_store, None, after_seq=2)


async def test_every_entry_is_audited_and_nothing_else_is(shadow: SqlShadow, database: Database) -> None:
    await _change(shadow, "one")
    await _change(shadow, "one")
    await _change(shadow, None)
    assert await SqlAuditLog(database).pending() == 2


async def test_nodes_that_change_it_at_once_make_one_history(shadow: SqlShadow) -> None:
    entries = await asyncio.gather(*(_change(shadow, f"n{number}") for number in range(6)))
    assert sorted(entry.seq for entry in entries if entry) == [1, 2, 3, 4, 5, 6]
    same = await asyncio.gather(*(_change(shadow, "same", FILE) for _ in range(6)))
    assert len([entry for entry in same if entry]) == 1


def _comparison(decision_id: str, *, after: Outcome | None = Outcome.REJECT, minute: float = 0) -> Comparison:
    return Comparison(
        decision_id=decision_id,
        at=samples.NOON + samples.minutes(minute),
        tried=Tried.POLICY,
        digest="sha256:one",
        before=Outcome.PASS,
        after=after,
        rules=("b", "a") if after else (),
        fired=("a", "b", "c"),
        missing=() if after else ("probes.x.p",),
        whole=after is not None,
    )


async def _decided(database: Database, count: int) -> list[str]:
    store, ids = SqlDecisionStore(database), []
    for minute in range(count):
        record = samples.record(at=samples.NOON + samples.minutes(minute))
        ids.append((await store.record(record, [], None)).id)
    return ids


async def test_comparisons_are_counted_where_they_say_the_same(shadow: SqlShadow, database: Database) -> None:
    ids = await _decided(database, 5)
    await shadow.record([])
    await shadow.record([_comparison(one, minute=minute) for minute, one in enumerate(ids[:4])])
    await shadow.record([_comparison(ids[0]), _comparison(ids[4], after=None, minute=4)])
    groups = await shadow.comparisons(Tried.POLICY, "sha256:one", since=LONG_AGO)
    changed, lost = sorted(groups, key=lambda group: -group.count)
    assert (changed.count, changed.before, changed.after) == (4, Outcome.PASS, Outcome.REJECT)
    assert (changed.rules, changed.fired, changed.missing, changed.whole) == (("a", "b"), ("a", "b", "c"), (), True)
    assert set(changed.examples) == {min(ids[:4]), max(ids[:4])}
    assert (changed.first_at, changed.last_at) == (samples.NOON, samples.NOON + samples.minutes(3))
    assert (lost.count, lost.after, lost.missing, lost.whole) == (1, None, ("probes.x.p",), False)
    assert await shadow.comparisons(Tried.RULES, "sha256:one", since=LONG_AGO) == []
    assert await shadow.comparisons(Tried.POLICY, "sha256:two", since=LONG_AGO) == []
    late = await shadow.comparisons(Tried.POLICY, "sha256:one", since=samples.NOON + samples.minutes(3))
    assert sum(group.count for group in late) == 2
    assert await shadow.decided(since=LONG_AGO) == 5
    assert await shadow.decided(since=samples.NOON + samples.minutes(4)) == 1


async def test_a_comparison_needs_its_decision(shadow: SqlShadow) -> None:
    with pytest.raises(StoreUnavailable):
        await shadow.record([_comparison("dec_none")])
