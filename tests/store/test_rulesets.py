import asyncio
from datetime import date

import pytest

from app.domain import (
    Activation,
    ActivationSource,
    Change,
    KeywordList,
    RulesetText,
    Severity,
    TermKind,
    TermOptions,
    TextSource,
)
from app.errors import NotFound, PolicyConflict
from app.policy.memory import MemoryRulesets
from app.store import Database, SqlAuditLog, SqlRulesets
from tests.store import samples


@pytest.fixture
def rulesets(database: Database) -> SqlRulesets:
    return SqlRulesets(database)


def _list(name: str, *terms: str) -> KeywordList:
    return KeywordList(
        name=name,
        category="contraband",
        severity=Severity.CRITICAL,
        languages=("en", "zh"),
        sources=frozenset({TextSource.OCR, TextSource.CAPTION}),
        binding=True,
        terms=terms,
        digest="sha256:" + samples.digest(name + "".join(terms)),
    )


async def _record(
    rulesets: SqlRulesets | MemoryRulesets,
    name: str,
    *lists: KeywordList,
    minute: float = 0,
    events: int = 1,
    source: ActivationSource = ActivationSource.API,
    after_seq: int | None = None,
) -> bool:
    text = RulesetText(f"sha256:{name}", f"sha256:policy-{name}", f"# {name}\nprobes: {{}}\r\n\t两", lists)
    change = Change(source, "key_1", samples.NOON + samples.minutes(minute), "because", forced=True)
    written = [samples.event() for _ in range(events)]
    return await rulesets.activate(text, change, after_seq=after_seq, events=written) is not None


async def test_a_ruleset_comes_back_whole(rulesets: SqlRulesets) -> None:
    lists = (_list("zeta", "加vx", "\u0000odd", "a"), _list("alpha"))

    assert await _record(rulesets, "one", *lists)

    stored = await rulesets.find("sha256:one")
    assert (stored.policy_digest, stored.policy) == ("sha256:policy-one", "# one\nprobes: {}\r\n\t两")
    assert stored.lists == lists
    head = await rulesets.head()
    assert head == Activation(
        1,
        "sha256:one",
        "sha256:policy-one",
        Change(ActivationSource.API, "key_1", samples.NOON, "because", forced=True),
    )


async def test_a_restart_activates_nothing(rulesets: SqlRulesets, database: Database) -> None:
    assert await rulesets.head() is None
    assert await _record(rulesets, "one")

    assert not await _record(rulesets, "one", minute=5)

    active = await rulesets.head()
    assert active is not None
    assert active.change.at == samples.NOON
    assert await SqlAuditLog(database).pending() == 1


async def test_going_back_to_an_earlier_ruleset_is_an_activation(rulesets: SqlRulesets, database: Database) -> None:
    shared = _list("shared", "term")

    assert await _record(rulesets, "one", shared)
    assert await _record(rulesets, "two", shared, minute=1)
    assert await _record(rulesets, "one", shared, minute=2)

    active = await rulesets.head()
    assert active is not None
    assert (active.digest, active.seq) == ("sha256:one", 3)
    assert await SqlAuditLog(database).pending() == 3


async def test_two_files_with_the_same_bytes_keep_their_names(rulesets: SqlRulesets) -> None:
    first = _list("first", "term")
    second = KeywordList(**{**_fields(first), "name": "second"})

    await _record(rulesets, "one", first, second)

    assert (await rulesets.find("sha256:one")).lists == (first, second)


async def test_a_list_comes_back_with_everything_its_lines_said(rulesets: SqlRulesets) -> None:
    options = ((0, TermOptions(kind=TermKind.REGEX, severity=Severity.LOW, until=date(2027, 1, 31))),)
    views = (("fold", 1.0), ("pinyin", 0.4))
    written = KeywordList(**{**_fields(_list("first", "a+b")), "options": options, "allow": ("abc",), "views": views})

    await _record(rulesets, "one", written)

    assert (await rulesets.find("sha256:one")).lists == (written,)


async def test_nodes_that_read_one_edit_at_once_activate_it_once(rulesets: SqlRulesets, database: Database) -> None:
    await _record(rulesets, "one", events=0)
    await _record(rulesets, "two", events=0, minute=1)

    activated = await asyncio.gather(*(_record(rulesets, "one", minute=2) for _ in range(6)))

    assert activated.count(True) == 1
    assert await SqlAuditLog(database).pending() == 1


@pytest.mark.parametrize("digest", ["sha256:none", "\x00"])
async def test_a_ruleset_that_is_not_there(rulesets: SqlRulesets, digest: str) -> None:
    with pytest.raises(NotFound):
        await rulesets.find(digest)


def _fields(keyword_list: KeywordList) -> dict[str, object]:
    return {name: getattr(keyword_list, name) for name in KeywordList.__slots__}


@pytest.fixture(params=["sql", "memory"])
def any_store(request: pytest.FixtureRequest, rulesets: SqlRulesets) -> SqlRulesets | MemoryRulesets:
    return rulesets if request.param == "sql" else MemoryRulesets()


async def test_a_file_content_activates_once(any_store: SqlRulesets | MemoryRulesets) -> None:
    file = ActivationSource.FILE
    assert await _record(any_store, "one", source=ActivationSource.START)
    assert await _record(any_store, "two")
    assert not await _record(any_store, "one", source=file), "the last content of the files is `one`"
    assert await _record(any_store, "three", source=file)
    assert await _record(any_store, "one", source=file)
    assert not await _record(any_store, "one", source=file)
    assert [one.digest for one in await any_store.versions(limit=9)] == [
        f"sha256:{name}" for name in ("one", "three", "two", "one")
    ]


async def test_a_file_that_says_what_is_in_force_is_remembered(any_store: SqlRulesets | MemoryRulesets) -> None:
    file = ActivationSource.FILE
    await _record(any_store, "one", source=file)
    await _record(any_store, "two")
    assert not await _record(any_store, "two", source=file)
    assert await _record(any_store, "one", source=file), "the file changed from `two` back to `one`"


async def test_an_edit_of_an_old_version_is_refused(any_store: SqlRulesets | MemoryRulesets) -> None:
    assert await _record(any_store, "one", after_seq=0)
    assert await _record(any_store, "two", after_seq=1)
    with pytest.raises(PolicyConflict) as conflict:
        await _record(any_store, "three", after_seq=1)
    assert conflict.value.current == "sha256:policy-two"
    assert [one.seq for one in await any_store.versions(limit=9)] == [2, 1]


async def test_versions_come_in_pages(any_store: SqlRulesets | MemoryRulesets) -> None:
    for name in ("one", "two", "three"):
        await _record(any_store, name)
    first = await any_store.versions(limit=2)
    rest = await any_store.versions(limit=2, before_seq=first[-1].seq)
    assert [one.seq for one in first + rest] == [3, 2, 1]
    assert await any_store.knows("sha256:two")
    assert not await any_store.knows("sha256:four")


async def test_many_edits_at_once_make_one_history(rulesets: SqlRulesets) -> None:
    activated = await asyncio.gather(*(_record(rulesets, f"n{number}") for number in range(8)))
    assert all(activated)
    assert [one.seq for one in await rulesets.versions(limit=20)] == list(range(8, 0, -1))


@pytest.mark.parametrize("in_memory", [False, True])
async def test_what_was_in_force_when(rulesets: SqlRulesets, in_memory: bool) -> None:
    """The third came while the clock was behind, the fourth while it was an hour ahead."""
    kept = MemoryRulesets() if in_memory else rulesets
    assert await kept.in_force_since(samples.NOON) == []
    for name, minute in (("one", 0), ("two", 10), ("three", 5), ("four", 75)):
        await _record(kept, name, minute=minute)

    async def since(minute: float) -> str:
        found = await kept.in_force_since(samples.NOON + samples.minutes(minute))
        return " ".join(one.digest.removeprefix("sha256:") for one in found)

    every = "one two three four"
    assert [await since(minute) for minute in (-9, 0, 4)] == [every, every, every]
    assert [await since(minute) for minute in (5, 10, 74, 75)] == ["three four", "three four", "three four", "four"]
