"""Two nodes on one PostgreSQL, each with its own files."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from app.policy.live import LiveRuleset
from app.policy.shadow import ShadowPolicy
from app.store import SqlAuditLog, SqlRulesets, SqlShadow
from tests.policy.build import document, rule
from tests.store.databases import PostgresServer, opened, postgres_server


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture
def url(server: PostgresServer) -> str:
    return server.new_url()


def policy(high: float) -> str:
    return yaml.safe_dump(document([rule("r1", "probes.a.p > thresholds.high")], thresholds={"high": high}))


@asynccontextmanager
async def node(url: str, folder: Path) -> AsyncIterator[LiveRuleset]:
    (folder / "rules").mkdir(parents=True)
    (folder / "p.yaml").write_text(policy(0.5))
    async with opened(url) as database:
        ruleset = LiveRuleset(folder / "p.yaml", folder / "rules", store=SqlRulesets(database))
        await ruleset.start()
        watch = asyncio.create_task(ruleset.watch())
        try:
            yield ruleset
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)


async def until_high(ruleset: LiveRuleset, high: float) -> None:
    async with asyncio.timeout(30):
        while ruleset.current.policy.thresholds["high"] != high:  # noqa: ASYNC110 - the database sets no event
            await asyncio.sleep(0.02)


async def test_two_nodes_converge_on_edits_through_every_door(url: str, tmp_path: Path) -> None:
    async with node(url, tmp_path / "a") as one, node(url, tmp_path / "b") as two:
        first = one.current
        assert two.current.digest == first.digest
        await one.put(policy(0.6).encode(), expected=first.policy_digest, author="key-1", why=None)
        await until_high(two, 0.6)
        (tmp_path / "b" / "p.yaml").write_text(policy(0.7))
        await until_high(one, 0.7)
        await two.restore(first.digest, author="key-2", why="back")
        await until_high(one, 0.5)
        # The files of the first node are still what they were, and have no say.
        assert not await one.reload()
        assert one.status.activation == two.status.activation
        assert [entry.change.source.value for entry in await one.versions(limit=9)] == [
            "rollback",
            "file",
            "api",
            "start",
        ]
    async with opened(url) as database:
        assert await SqlAuditLog(database).pending() == 4


async def test_nodes_that_edit_at_once_end_with_one_policy(url: str, tmp_path: Path) -> None:
    async with node(url, tmp_path / "a") as one, node(url, tmp_path / "b") as two:
        edits = [
            ruleset.put(policy(high).encode(), expected=None, author="key", why=None)
            for ruleset, high in ((one, 0.61), (two, 0.62), (one, 0.63), (two, 0.64))
        ]
        done = [edit.activation for edit in await asyncio.gather(*edits)]
        assert sorted(entry.seq for entry in done) == [2, 3, 4, 5]
        last = max(done, key=lambda entry: entry.seq)
        async with asyncio.timeout(30):
            while not one.current.digest == two.current.digest == last.digest:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


async def test_nodes_converge_on_what_is_tried_and_on_its_promotion(url: str, tmp_path: Path) -> None:
    async with (
        node(url, tmp_path / "a") as one,
        node(url, tmp_path / "b") as two,
        trying(url, tmp_path / "a", one) as first,
        trying(url, tmp_path / "b", two) as second,
    ):
        entry = await first.put(policy(0.6).encode(), author="key-1", why=None)
        await until(lambda: second.status.entry == entry)
        (tmp_path / "b" / "p.shadow.yaml").write_text(policy(0.7))
        await until(lambda: first.current is not None and first.current.policy.thresholds["high"] == 0.7)
        await first.promote(expected=None, shadow=None, author="key-1", why=None)
        await until_high(two, 0.7)
        await until(lambda: second.current is None)
        # The file of the second node is still there, and is not tried again.
        assert not await second.reload()
        assert not await second.follow()


@asynccontextmanager
async def trying(url: str, folder: Path, live: LiveRuleset) -> AsyncIterator[ShadowPolicy]:
    async with opened(url) as database:
        shadow = ShadowPolicy(folder / "p.shadow.yaml", live, store=SqlShadow(database))
        await shadow.start()
        watch = asyncio.create_task(shadow.watch())
        try:
            yield shadow
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - the database sets no event
            await asyncio.sleep(0.02)
