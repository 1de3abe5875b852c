"""When the disk, the file or the turn to write is not to be had."""

import asyncio
from pathlib import Path

import pytest

from app.errors import StoreUnavailable
from app.store import Database, LocalEvidenceStore, SqlTicks
from tests.store.databases import SqliteServer, opened


async def test_the_wait_for_a_turn_counts_as_waiting_for_the_database(sqlite: SqliteServer) -> None:
    """Else the upload that is next when another gave up on a locked database would begin to wait anew."""
    patience_ms: dict[str, int] = {}
    inside = asyncio.Event()

    async def write(name: str, database: Database) -> None:
        async with database.writing() as session:
            pragma = await (await session.connection()).exec_driver_sql("PRAGMA busy_timeout")
            patience_ms[name] = pragma.scalar_one()
            inside.set()
            await asyncio.sleep(0.05)

    async with opened(sqlite.new_url()) as database:
        first = asyncio.create_task(write("first", database))
        await inside.wait()
        await write("second", database)
        await first
        async with database.reading() as session:
            pragma = await (await session.connection()).exec_driver_sql("PRAGMA busy_timeout")
            patience_ms["reader"] = pragma.scalar_one()
    assert patience_ms["second"] <= patience_ms["first"] - 40
    assert patience_ms["reader"] >= patience_ms["first"], "a reader does not inherit what a writer had left"


def _take_away(path: Path, *, replaced: bool) -> Path:
    kept = path.rename(path.with_suffix(".kept"))
    if replaced:
        path.write_bytes(kept.read_bytes())
    return kept


def _bring_back(kept: Path, path: Path) -> None:
    kept.replace(path)


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_database_whose_file_is_gone_takes_nothing_more(sqlite: SqliteServer, *, replaced: bool) -> None:
    """SQLite would go on writing to the removed file, and all of it would be lost with the process."""
    url = sqlite.new_url()
    path = Path(url.removeprefix("sqlite:///"))
    async with opened(url) as database:
        await database.start()
        kept = _take_away(path, replaced=replaced)
        with pytest.raises(StoreUnavailable, match="removed or replaced"):
            await SqlTicks(database).take("sweep", 1)
        with pytest.raises(StoreUnavailable, match="removed or replaced"):
            await database.ping()
        _bring_back(kept, path)
        assert await SqlTicks(database).take("sweep", 1)


async def test_a_full_disk_is_said_before_an_upload_is_lost_to_it(tmp_path: Path) -> None:
    await LocalEvidenceStore(tmp_path / "evidence").ping()
    with pytest.raises(StoreUnavailable, match="MiB are left"):
        await LocalEvidenceStore(tmp_path / "evidence", least_free_bytes=1 << 60).ping()
