from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.http.rig import Rig
from tests.http.rig import rig as make_rig
from tests.store.databases import SqliteServer, opened, sqlite_server


@pytest.fixture(scope="session")
def sqlite() -> Iterator[SqliteServer]:
    with sqlite_server() as server:
        yield server


@pytest.fixture
async def rig(sqlite: SqliteServer, tmp_path: Path) -> AsyncIterator[Rig]:
    async with opened(sqlite.new_url()) as database, make_rig(tmp_path, database) as made:
        yield made


@pytest.fixture
async def own_rig(sqlite: SqliteServer, tmp_path: Path) -> AsyncIterator[Rig]:
    """With an application that the test may change."""
    async with opened(sqlite.new_url()) as database, make_rig(tmp_path, database, own_application=True) as made:
        yield made
