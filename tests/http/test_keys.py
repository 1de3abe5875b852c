"""The admin key's file."""

import threading
from pathlib import Path

import pytest

from app.errors import ConfigurationError
from app.http.keys import FileKeyRing, admin_key, session_secret


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "admin.key"
    key = admin_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert admin_key(path) == key
    assert len(key) > 40
    assert [one.name for one in path.parent.iterdir()] == ["admin.key"]


def test_of_many_that_start_at_once_one_makes_it(tmp_path: Path) -> None:
    keys: list[str] = []
    barrier = threading.Barrier(8)

    def start() -> None:
        barrier.wait()
        keys.append(admin_key(tmp_path / "admin.key"))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "admin.key"
    admin_key(path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        admin_key(path)


@pytest.mark.parametrize("content", [b"", b"\n", b"short", b"x" * 300, b"two words " * 5, b"\xff" * 40])
def test_what_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "admin.key"
    path.touch(0o600)
    path.write_bytes(content)
    with pytest.raises(ConfigurationError):
        admin_key(path)


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError):
        admin_key(tmp_path / "file" / "admin.key")


async def test_the_ring_knows_its_key_and_no_other(tmp_path: Path) -> None:
    key = admin_key(tmp_path / "admin.key")
    ring = FileKeyRing(key)
    principal = await ring.find(key)
    assert principal is not None
    assert principal.may("review")
    assert await ring.get(principal.key_id) == principal
    for wrong in ("", key[:-1], key + "x", key.upper(), "\udcff"):
        assert await ring.find(wrong) is None
    assert await ring.get("key_other") is None


def test_a_new_key_ends_every_session() -> None:
    assert session_secret("a" * 40) != session_secret("b" * 40)
    assert "a" * 40 not in session_secret("a" * 40).decode("latin-1")
