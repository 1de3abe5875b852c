from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta

import pytest

from app.store import Database
from tests.store import samples
from tests.store.databases import SqliteServer, opened, sqlite_server


@pytest.fixture(scope="session")
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


class Clock:
    def __init__(self) -> None:
        self.now = samples.NOON

    def __call__(self) -> datetime:
        return self.now

    def forward(self, by: timedelta) -> None:
        self.now += by


@pytest.fixture
def clock() -> Clock:
    return Clock()
