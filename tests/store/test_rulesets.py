import asyncio
from datetime import date

import pytest

from app.domain import KeywordList, Severity, TermKind, TermOptions, TextSource
from app.errors import NotFound
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


async def _record(rulesets: SqlRulesets, name: str, *lists: KeywordList, minute: float = 0, events: int = 1) -> bool:
    return await rulesets.record(
        f"sha256:{name}",
        f"sha256:policy-{name}",
        f"# {name}\nprobes: {{}}\r\n\t两",
        lists,
        source="file",
        at=samples.NOON + samples.minutes(minute),
        events=[samples.event() for _ in range(events)],
    )


async def test_a_ruleset_comes_back_whole(rulesets: SqlRulesets) -> None:
    lists = (_list("zeta", "加vx", "\u0000odd", "a"), _list("alpha"))

    assert await _record(rulesets, "one", *lists)

    stored = await rulesets.find("sha256:one")
    assert (stored.policy_digest, stored.policy) == ("sha256:policy-one", "# one\nprobes: {}\r\n\t两")
    assert stored.lists == lists
    assert stored.first_activated_at == samples.NOON


async def test_a_restart_activates_nothing(rulesets: SqlRulesets, database: Database) -> None:
    assert await rulesets.active() is None
    assert await _record(rulesets, "one")

    assert not await _record(rulesets, "one", minute=5)

    active = await rulesets.active()
    assert active is not None
    assert active.activated_at == samples.NOON
    assert await SqlAuditLog(database).pending() == 1


async def test_going_back_to_an_earlier_ruleset_is_an_activation(rulesets: SqlRulesets, database: Database) -> None:
    shared = _list("shared", "term")

    assert await _record(rulesets, "one", shared)
    assert await _record(rulesets, "two", shared, minute=1)
    assert await _record(rulesets, "one", shared, minute=2)

    active = await rulesets.active()
    assert active is not None
    assert (active.ruleset_digest, active.source) == ("sha256:one", "file")
    assert (await rulesets.find("sha256:one")).first_activated_at == samples.NOON
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
