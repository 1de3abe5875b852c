"""Every test that asks for `database` runs on SQLite and on a real PostgreSQL."""

from collections.abc import AsyncIterator, Iterator

import pytest

from app.store import Database
from tests.store.databases import PostgresServer, SqliteServer, opened, postgres_server, sqlite_server


@pytest.fixture(scope="session")
def sqlite() -> Iterator[SqliteServer]:
    with sqlite_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def server(request: pytest.FixtureRequest) -> SqliteServer | PostgresServer:
    chosen: SqliteServer | PostgresServer = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture
def url(server: SqliteServer | PostgresServer) -> str:
    return server.new_url()


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    async with opened(url) as database:
        yield database
