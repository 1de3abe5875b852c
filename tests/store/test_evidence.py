import asyncio
import os
import stat
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.errors import NotFound, StoreUnavailable
from app.store import LocalEvidenceStore
from app.store.intact import IntactFiles
from tests.store import samples

_DATA = b"a picture"
_IMAGE = samples.image(_DATA)
_SHA = _IMAGE.facts.sha256


@pytest.fixture
def store(tmp_path: Path) -> LocalEvidenceStore:
    return LocalEvidenceStore(tmp_path / "evidence")


def _files(tmp_path: Path) -> list[Path]:
    return sorted(path for path in tmp_path.rglob("*") if path.is_file())


def _age(tmp_path: Path, by: timedelta) -> None:
    moment = (datetime.now(UTC) - by).timestamp()
    for path in _files(tmp_path):
        os.utime(path, (moment, moment))


async def test_a_picture_comes_back_with_its_preview(store: LocalEvidenceStore, tmp_path: Path) -> None:
    await store.put(_IMAGE, _DATA)

    assert await store.get(_SHA) == _DATA
    assert await store.preview(_SHA) == _IMAGE.preview
    assert [path.parent for path in _files(tmp_path)] == [tmp_path / "evidence" / _SHA[:2] / _SHA[2:4]] * 2


async def test_only_the_owner_may_look(store: LocalEvidenceStore, tmp_path: Path) -> None:
    await store.put(_IMAGE, _DATA)

    assert {stat.S_IMODE(path.stat().st_mode) for path in _files(tmp_path)} == {0o600}
    assert stat.S_IMODE((tmp_path / "evidence").stat().st_mode) == 0o700


async def test_putting_twice_is_fine(store: LocalEvidenceStore, tmp_path: Path) -> None:
    await asyncio.gather(*(store.put(_IMAGE, _DATA) for _ in range(8)))

    assert await store.get(_SHA) == _DATA
    assert len(_files(tmp_path)) == 2


async def test_deleting_removes_both_and_may_be_repeated(store: LocalEvidenceStore, tmp_path: Path) -> None:
    await store.put(_IMAGE, _DATA)
    for _ in range(2):
        await store.delete(_SHA)

    assert _files(tmp_path) == []
    with pytest.raises(NotFound):
        await store.get(_SHA)
    with pytest.raises(NotFound):
        await store.preview(_SHA)


async def test_deleting_what_never_was_is_fine(store: LocalEvidenceStore) -> None:
    await store.delete(_SHA)
    assert await store.delete_if_put_before(_SHA, datetime.now(UTC))


@pytest.mark.parametrize(
    "name",
    ["", "../../etc/passwd", "a" * 63, "a" * 65, "A" * 64, "g" * 64, "a" * 64 + "\n", "..", "/" * 64, "a" * 63 + "/"],
)
async def test_a_name_that_is_no_digest_is_not_found(store: LocalEvidenceStore, name: str) -> None:
    for look in (store.get, store.preview, store.delete):
        with pytest.raises(NotFound):
            await look(name)


async def test_bytes_of_another_picture_are_refused(store: LocalEvidenceStore, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="digest"):
        await store.put(_IMAGE, b"another")

    assert _files(tmp_path) == []


async def test_damaged_bytes_are_never_shown(store: LocalEvidenceStore, tmp_path: Path) -> None:
    await store.put(_IMAGE, _DATA)
    (picture,) = [path for path in _files(tmp_path) if path.suffix == ".bin"]
    picture.write_bytes(b"other bytes")

    with pytest.raises(StoreUnavailable):
        await store.get(_SHA)


@pytest.mark.parametrize("suffix", [".bin", ".jpg"])
@pytest.mark.parametrize("damage", [None, b"", b"other bytes", b"a"])
async def test_what_is_damaged_or_missing_is_written_anew(
    store: LocalEvidenceStore, tmp_path: Path, suffix: str, damage: bytes | None
) -> None:
    await store.put(_IMAGE, _DATA)
    (path,) = [path for path in _files(tmp_path) if path.suffix == suffix]
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    await store.put(_IMAGE, _DATA)

    assert (await store.get(_SHA), await store.preview(_SHA)) == (_DATA, _IMAGE.preview)


async def test_what_is_there_is_not_written_again(store: LocalEvidenceStore, tmp_path: Path) -> None:
    await store.put(_IMAGE, _DATA)
    written = [path.stat().st_ino for path in _files(tmp_path)]
    await store.put(_IMAGE, _DATA)

    assert [path.stat().st_ino for path in _files(tmp_path)] == written


@pytest.fixture
def synchronised(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What is brought to the disk, by descriptor; it is brought there all the same."""
    brought: list[int] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        brought.append(descriptor)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    return brought


async def test_what_was_put_a_moment_ago_costs_no_synchronisation(
    store: LocalEvidenceStore, tmp_path: Path, synchronised: list[int]
) -> None:
    await store.put(_IMAGE, _DATA)
    once = len(synchronised)
    (picture,) = [path for path in _files(tmp_path) if path.suffix == ".bin"]
    put_at = picture.stat().st_mtime_ns
    await asyncio.sleep(0.02)
    for _ in range(3):
        await store.put(_IMAGE, _DATA)

    assert len(synchronised) == once
    assert picture.stat().st_mtime_ns > put_at, "retention counts from the last time it was put"


async def test_what_another_process_had_put_is_brought_to_the_disk_once(
    store: LocalEvidenceStore, tmp_path: Path, synchronised: list[int]
) -> None:
    await LocalEvidenceStore(tmp_path / "evidence").put(_IMAGE, _DATA)
    synchronised.clear()
    for _ in range(3):
        await store.put(_IMAGE, _DATA)

    assert len(synchronised) == 1


@pytest.mark.parametrize("by_another", [False, True])
async def test_what_was_deleted_is_written_anew(
    store: LocalEvidenceStore, tmp_path: Path, synchronised: list[int], by_another: bool
) -> None:
    for _ in range(2):
        await store.put(_IMAGE, _DATA)
    await (LocalEvidenceStore(tmp_path / "evidence") if by_another else store).delete(_SHA)
    synchronised.clear()
    await store.put(_IMAGE, _DATA)

    assert (await store.get(_SHA), await store.preview(_SHA)) == (_DATA, _IMAGE.preview)
    assert len(synchronised) == 4, "two files and twice their folder"


async def test_damage_that_hides_its_time_and_size_is_found(store: LocalEvidenceStore, tmp_path: Path) -> None:
    await store.put(_IMAGE, _DATA)
    (picture,) = [path for path in _files(tmp_path) if path.suffix == ".bin"]
    before = picture.stat()
    await asyncio.sleep(0.02)  # the file system's clock has steps of some milliseconds
    picture.write_bytes(_DATA.upper())
    os.utime(picture, ns=(before.st_atime_ns, before.st_mtime_ns))
    await store.put(_IMAGE, _DATA)

    assert await store.get(_SHA) == _DATA


async def test_bytes_and_previews_are_compared_whatever_was_put_a_moment_ago(
    store: LocalEvidenceStore, tmp_path: Path
) -> None:
    await store.put(_IMAGE, _DATA)
    with pytest.raises(ValueError, match="digest"):
        await store.put(_IMAGE, b"a picture of something else")
    await store.put(replace(_IMAGE, preview=b"another"), _DATA)

    assert await store.preview(_SHA) == b"another"


def test_what_was_seen_whole_is_trusted_for_a_minute(tmp_path: Path) -> None:
    now = 0.0
    picture, preview = tmp_path / "a.bin", tmp_path / "a.jpg"
    picture.write_bytes(_DATA)
    preview.write_bytes(b"grey")
    files = IntactFiles(lambda: now)
    files.note(picture, preview, b"grey")
    for now, known in ((0.0, True), (59.0, True), (61.0, False)):  # noqa: B007 - the clock reads it
        assert files.touch(picture, preview, size_bytes=len(_DATA), preview_data=b"grey") is known


async def test_a_picture_that_was_put_again_is_kept(store: LocalEvidenceStore, tmp_path: Path) -> None:
    await store.put(_IMAGE, _DATA)
    _age(tmp_path, timedelta(hours=2))
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    await store.put(_IMAGE, _DATA)

    assert not await store.delete_if_put_before(_SHA, an_hour_ago)
    assert await store.get(_SHA) == _DATA

    _age(tmp_path, timedelta(hours=2))
    assert await store.delete_if_put_before(_SHA, an_hour_ago)
    assert _files(tmp_path) == []


async def test_what_was_put_before_is_found_and_remains_are_cleared(store: LocalEvidenceStore, tmp_path: Path) -> None:
    old = [samples.image(b"%d" % number) for number in range(5)]
    for number, image in enumerate(old):
        await store.put(image, b"%d" % number)
    interrupted = tmp_path / "evidence" / _SHA[:2] / _SHA[2:4] / f".{_SHA}.bin.0123456789ab"
    interrupted.parent.mkdir(parents=True, exist_ok=True)
    interrupted.write_bytes(b"half")
    _age(tmp_path, timedelta(hours=2))
    await store.put(_IMAGE, _DATA)

    found = [sha256 async for batch in store.put_before(datetime.now(UTC) - timedelta(hours=1)) for sha256 in batch]

    assert sorted(found) == sorted(image.facts.sha256 for image in old)
    assert not interrupted.exists()


async def test_there_is_nothing_before_the_first_picture(store: LocalEvidenceStore) -> None:
    assert [batch async for batch in store.put_before(datetime.now(UTC))] == []


async def test_a_write_that_fails_leaves_nothing(
    store: LocalEvidenceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreUnavailable, match="No space left"):
        await store.put(_IMAGE, _DATA)

    assert _files(tmp_path) == []


async def test_a_folder_that_is_none_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = LocalEvidenceStore(tmp_path / "file")

    with pytest.raises(StoreUnavailable):
        await store.put(_IMAGE, _DATA)
    with pytest.raises(StoreUnavailable):
        await store.get(_SHA)


async def test_readers_never_see_half_a_picture(store: LocalEvidenceStore, tmp_path: Path) -> None:
    data = b"x" * 3_000_000
    image = samples.image(data)
    await store.put(image, data)
    stop = threading.Event()

    async def keep_reading() -> int:
        reads = 0
        while not stop.is_set():
            assert await store.get(image.facts.sha256) == data
            reads += 1
        return reads

    reader = asyncio.create_task(keep_reading())
    for _ in range(5):
        next(path for path in _files(tmp_path) if path.suffix == ".jpg").unlink()
        await store.put(image, data)
    stop.set()
    assert await reader > 0
