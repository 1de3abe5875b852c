"""When the disk, the file or the turn to write is not to be had."""

import asyncio
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.errors import NotFound, StoreUnavailable
from app.store import Database, LocalEvidenceStore, SqlDecisionStore, SqlTicks
from tests.store import samples
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


async def test_pictures_leave_the_last_of_the_disk_to_the_database(tmp_path: Path) -> None:
    full = LocalEvidenceStore(tmp_path, least_free_bytes=1 << 60)
    with pytest.raises(StoreUnavailable, match="MiB are left"):
        await full.put(samples.image(b"one"), b"one")
    assert _files(tmp_path) == []


async def test_a_database_on_a_full_disk_is_not_ready(sqlite: SqliteServer) -> None:
    database = Database(sqlite.new_url(), least_free_bytes=1 << 60)
    await database.start()
    try:
        with pytest.raises(StoreUnavailable):
            await database.ping()
        with pytest.raises(StoreUnavailable, match="MiB are left"):
            await SqlDecisionStore(database).record(samples.record(), [samples.event()], None)
        assert (await SqlDecisionStore(database).page(limit=1))[0] == []
        assert await SqlTicks(database).take("sweep", 1), "what makes room uses what there is"
    finally:
        await database.aclose()


@pytest.mark.parametrize("limit_bytes", [0, 5, 3000])
async def test_a_picture_that_finds_no_room_leaves_nothing_behind(tmp_path: Path, limit_bytes: int) -> None:
    """The preview has four letters and more, the picture 4,000."""
    store, data = LocalEvidenceStore(tmp_path), b"four" * 1000
    image = samples.image(data)
    with files_of_at_most(limit_bytes), pytest.raises(StoreUnavailable, match="File too large"):
        await store.put(image, data)
    assert not any(name.startswith(".") for name in _files(tmp_path))
    with pytest.raises(NotFound):
        await store.get(image.facts.sha256)

    await store.put(image, data)
    assert await store.get(image.facts.sha256) == data


def _files(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


@contextmanager
def files_of_at_most(limit_bytes: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
