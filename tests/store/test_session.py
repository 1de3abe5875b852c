"""What goes in and comes out of the database's only door."""

import asyncio
import sqlite3
import stat
import traceback
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.domain import ActivationSource, CaseState, Change, Outcome, RulesetText
from app.errors import ConfigurationError, StoreUnavailable
from app.store import (
    Database,
    SqlAuditLog,
    SqlCaseStore,
    SqlDecisionStore,
    SqlRetention,
    SqlRulesets,
    SqlTicks,
)
from app.store.tables import TickRow
from app.store.urls import driver_url
from tests.store import samples
from tests.store.databases import PostgresServer, SqliteServer, opened

_NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "driver"),
    [
        ("sqlite:///var/x.db", "sqlite+aiosqlite:///var/x.db"),
        ("sqlite:////srv/x.db", "sqlite+aiosqlite:////srv/x.db"),
        ("postgres://u:p@h/d", "postgresql+asyncpg://u:p@h/d"),
        ("postgresql://u@h:5433/d?sslmode=require", "postgresql+asyncpg://u@h:5433/d?ssl=require"),
        ("postgresql+asyncpg:///d?host=/run/pg", "postgresql+asyncpg:///d?host=%2Frun%2Fpg"),
    ],
)
def test_urls_as_people_write_them(text: str, driver: str) -> None:
    assert driver_url(text).render_as_string(hide_password=False) == driver


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "mysql://u:secret@h/d", "sqlite://", "sqlite:///:memory:", "postgresql://u:secret@h:port/d"],
)
def test_other_urls_are_refused_without_quoting_them(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Database(text)

    assert "secret" not in str(caught.value)


async def test_a_started_database_answers(database: Database) -> None:
    await database.ping()


async def test_a_block_that_raises_writes_nothing(database: Database) -> None:
    async def write() -> None:
        async with database.writing() as session:
            session.add(TickRow(job="x", slot=1))
            await session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await write()

    assert await SqlTicks(database).take("x", 1)


async def test_a_cancelled_write_leaves_the_database_usable(database: Database) -> None:
    inside = asyncio.Event()

    async def write() -> None:
        async with database.writing() as session:
            session.add(TickRow(job="x", slot=1))
            await session.flush()
            inside.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(write())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await SqlTicks(database).take("x", 1)


async def test_a_row_that_contradicts_another_is_refused(database: Database) -> None:
    case = samples.case_of(samples.decision(), at=_NOW).model_copy(update={"decision_id": "dec_that_is_not_there"})
    orphan = samples.record(outcome=Outcome.REVIEW)

    with pytest.raises(StoreUnavailable):
        await SqlDecisionStore(database).record(orphan, [], case)

    assert await SqlDecisionStore(database).page(limit=5) == ([], None)


_OPERATIONS: dict[str, Callable[[Database], Awaitable[object]]] = {
    "ping": lambda database: database.ping(),
    "record": lambda database: SqlDecisionStore(database).record(samples.record(), [samples.event()], None),
    "find": lambda database: SqlDecisionStore(database).find("dec_1"),
    "find_record": lambda database: SqlDecisionStore(database).find_record("dec_1"),
    "find_idempotent": lambda database: SqlDecisionStore(database).find_idempotent("key_1", "a", "b"),
    "page": lambda database: SqlDecisionStore(database).page(limit=1),
    "case": lambda database: SqlCaseStore(database).find("case_1"),
    "cases": lambda database: SqlCaseStore(database).page(limit=1, state=CaseState.OPEN),
    "claimable": lambda database: SqlCaseStore(database).claimable(at=_NOW, limit=1),
    "lapsed": lambda database: SqlCaseStore(database).lapsed(at=_NOW, not_after=_NOW, limit=1),
    "counts": lambda database: SqlCaseStore(database).count_by_state(),
    "save": lambda database: SqlCaseStore(database).save(
        samples.case_of(samples.decision()), expected_version=0, events=[]
    ),
    "append": lambda database: SqlAuditLog(database).append([samples.event()]),
    "seal": lambda database: SqlAuditLog(database).seal(limit=1),
    "pending": lambda database: SqlAuditLog(database).pending(),
    "entries": lambda database: SqlAuditLog(database).entries(limit=1),
    "head": lambda database: SqlAuditLog(database).head(),
    "verify": lambda database: SqlAuditLog(database).verify(),
    "activate": lambda database: SqlRulesets(database).activate(
        RulesetText("d", "p", "y", ()),
        Change(ActivationSource.START, "system", _NOW),
        after_seq=None,
        events=[],
    ),
    "active": lambda database: SqlRulesets(database).head(),
    "versions": lambda database: SqlRulesets(database).versions(limit=1),
    "knows": lambda database: SqlRulesets(database).knows("d"),
    "find_ruleset": lambda database: SqlRulesets(database).find("d"),
    "expired": lambda database: SqlRetention(database).expired_evidence(
        samples.keeping(), now=_NOW, seen_before=_NOW, after=None, limit=1
    ),
    "deleted": lambda database: SqlRetention(database).evidence_deleted(["a"], seen_before=_NOW, at=_NOW, events=[]),
    "unknown": lambda database: SqlRetention(database).unknown_evidence(["a"]),
    "tick": lambda database: SqlTicks(database).take("job", 1),
}
_WRITES = {"record", "save", "append", "seal", "activate", "deleted", "tick"}


@pytest.mark.parametrize("operation", _OPERATIONS)
async def test_a_closed_database_is_unavailable(sqlite: SqliteServer, operation: str) -> None:
    async with opened(sqlite.new_url()) as database:
        await database.aclose()
        with pytest.raises(StoreUnavailable):
            await _OPERATIONS[operation](database)


@pytest.mark.parametrize("operation", sorted(_OPERATIONS.keys() - {"ping"}))
async def test_a_database_without_tables_is_unavailable(
    sqlite: SqliteServer, operation: str, empty_postgres: str
) -> None:
    for url in (sqlite.empty_url(), empty_postgres):
        async with opened(url) as database:
            with pytest.raises(StoreUnavailable):
                await _OPERATIONS[operation](database)


@pytest.fixture(scope="module")
def empty_postgres(postgres: PostgresServer) -> str:
    return postgres.empty_url()


@pytest.mark.parametrize("operation", sorted(_WRITES))
async def test_a_locked_database_is_unavailable_after_its_patience(sqlite: SqliteServer, operation: str) -> None:
    url = sqlite.new_url()
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        database = Database(url, busy_timeout_s=0.05)
        try:
            await database.ping()
            with pytest.raises(StoreUnavailable):
                await _OPERATIONS[operation](database)
        finally:
            await database.aclose()


async def _make_readonly(database: Database) -> None:
    async with database.writing() as session:
        await (await session.connection()).exec_driver_sql("PRAGMA query_only=ON")
    await database.transact(lambda connection: connection.exec_driver_sql("PRAGMA query_only=ON").close())


@pytest.mark.parametrize("operation", sorted(_WRITES))
async def test_a_readonly_database_is_unavailable_for_writing(sqlite: SqliteServer, operation: str) -> None:
    url = sqlite.new_url()
    async with opened(url) as database:
        await _make_readonly(database)
        with pytest.raises(StoreUnavailable):
            await _OPERATIONS[operation](database)


@pytest.mark.parametrize("operation", _OPERATIONS)
async def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path, operation: str) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(b"this is not a database" * 500)
    async with opened(f"sqlite:///{path}") as database:
        with pytest.raises(StoreUnavailable):
            await _OPERATIONS[operation](database)


@pytest.mark.parametrize("operation", ["ping", "record"])
async def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path, operation: str) -> None:
    async with opened(f"postgresql://postgres@/postgres?host={tmp_path}") as database:
        with pytest.raises(StoreUnavailable):
            await _OPERATIONS[operation](database)
        with pytest.raises(StoreUnavailable):
            await database.start()


async def test_the_operator_hears_why_and_nothing_that_was_to_be_written(sqlite: SqliteServer) -> None:
    url = sqlite.new_url()
    record = samples.record(key_id="the secret of the row")
    async with opened(url) as database:
        await _make_readonly(database)
        with capture_logs() as logs, pytest.raises(StoreUnavailable) as caught:
            await SqlDecisionStore(database).record(record, [], None)

    (entry,) = logs
    assert (entry["action"], entry["reason"]) == (
        "store_unavailable",
        "OperationalError: attempt to write a readonly database",
    )
    assert "the secret of the row" not in "".join(traceback.format_exception(caught.value))


async def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with opened(f"sqlite:///{tmp_path}/file/x.db") as database:
        with pytest.raises(StoreUnavailable):
            await database.start()


async def test_connections_that_the_server_ended_are_replaced(postgres: PostgresServer) -> None:
    async with opened(await asyncio.to_thread(postgres.new_url)) as database:
        await database.ping()
        await asyncio.to_thread(postgres.end_connections)
        await database.ping()


async def test_many_writers_at_once_all_succeed(database: Database) -> None:
    ticks = SqlTicks(database)

    assert all(await asyncio.gather(*(ticks.take(f"job {number}", 1) for number in range(60))))


async def test_two_databases_on_one_file_take_turns(sqlite: SqliteServer) -> None:
    url = sqlite.new_url()
    async with opened(url) as one, opened(url) as other:
        logs = [SqlAuditLog(one), SqlAuditLog(other)]
        await asyncio.gather(*(logs[number % 2].append([samples.event()]) for number in range(40)))

        assert await logs[0].pending() == 40


async def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    async with opened(f"sqlite:///{tmp_path}/new/x.db") as database:
        await database.start()
        await SqlTicks(database).take("x", 1)

        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()}

    assert set(modes) >= {"x.db", "x.db-wal"}
    assert set(modes.values()) == {0o600}
