import asyncio

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlmodel import SQLModel

from app.audit.chain import GENESIS
from app.errors import ConfigurationError
from app.store import Database, SqlAuditLog
from app.store.migrate import config
from tests.store.databases import PostgresServer, SqliteServer, opened

_ATTEMPTS_AT_ONCE = 4


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, SQLModel.metadata))


async def test_the_migrations_make_the_tables_that_the_code_declares(database: Database) -> None:
    async with database.reading() as session:
        differences = await (await session.connection()).run_sync(_differences)

    assert differences == []


async def test_a_new_chain_begins_at_genesis(database: Database) -> None:
    assert await SqlAuditLog(database).head() == GENESIS
    assert (await SqlAuditLog(database).verify()).sound


@pytest.fixture
def empty_url(server: SqliteServer | PostgresServer) -> str:
    return server.empty_url()


async def test_several_nodes_may_start_at_once(empty_url: str) -> None:
    nodes = [Database(empty_url) for _ in range(_ATTEMPTS_AT_ONCE)]
    try:
        await asyncio.gather(*(node.start() for node in nodes))
        assert await SqlAuditLog(nodes[0]).head() == GENESIS
    finally:
        await asyncio.gather(*(node.aclose() for node in nodes))


async def test_a_second_start_changes_nothing(url: str) -> None:
    async with opened(url) as database:
        await database.start()
        await database.start()


async def test_a_newer_database_is_refused(url: str) -> None:
    async with opened(url) as database:
        async with database.writing() as session:
            await (await session.connection()).execute(text("UPDATE alembic_version SET version_num = '9999'"))

        with pytest.raises(ConfigurationError, match=r"revision 9999.*newer version"):
            await database.start()


async def test_beside_a_service_an_older_database_is_left_as_it_is(url: str) -> None:
    beside = Database(url, beside=True)
    try:
        async with opened(url) as database:
            await beside.start()
            async with database.writing() as session:
                await (await session.connection()).execute(text("UPDATE alembic_version SET version_num = '0001'"))

            with pytest.raises(ConfigurationError, match=r"revision 0001, which is another than this version's"):
                await beside.start()

            async with database.reading() as session:
                kept = await (await session.connection()).scalar(text("SELECT version_num FROM alembic_version"))
            assert kept == "0001"
    finally:
        await beside.aclose()


async def test_beside_no_service_the_tables_are_made(empty_url: str) -> None:
    database = Database(empty_url, beside=True)
    try:
        await database.start()
        assert await SqlAuditLog(database).head() == GENESIS
    finally:
        await database.aclose()


def test_there_is_one_line_of_revisions() -> None:
    assert len(ScriptDirectory.from_config(config()).get_heads()) == 1
