"""Uploaded pictures as files: `ab/cd/abcd….bin` with its preview `abcd….preview.jpg` beside it."""

import asyncio
import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from app.domain import Image
from app.errors import NotFound, StoreUnavailable
from app.store.intact import IntactFiles
from app.store.room import LEAST_FREE_BYTES, require_room

T = TypeVar("T")

_SHA256 = re.compile(r"[0-9a-f]{64}")
_BATCH = 200


class LocalEvidenceStore:
    """A folder that several processes may use at once. Files are written whole or not at all, for the service's user
    alone. A name is only ever made from 64 hex digits, so that no request can point elsewhere."""

    def __init__(self, root: Path, *, least_free_bytes: int = LEAST_FREE_BYTES) -> None:
        self._root = root
        self._least_free_bytes = least_free_bytes
        self._intact = IntactFiles()

    async def ping(self) -> None:
        """Raises StoreUnavailable when the folder cannot be written to, or has no room for much more."""
        await _in_thread(self._require_room)

    async def put(self, image: Image, data: bytes) -> None:
        """Raises StoreUnavailable, also when there is no room for much more."""
        await _in_thread(self._put, image.facts.sha256, data, image.preview)

    async def get(self, sha256: str) -> bytes:
        """The upload's own bytes. Raises NotFound, and StoreUnavailable when they are not what was stored."""
        data = await _in_thread(_read, self._picture(sha256))
        if hashlib.sha256(data).hexdigest() != sha256:
            raise StoreUnavailable("the stored picture was damaged: it does not have its digest any more")
        return data

    async def preview(self, sha256: str) -> bytes:
        """The grey, blurred JPEG. Raises NotFound."""
        return await _in_thread(_read, self._preview(sha256))

    async def delete(self, sha256: str) -> None:
        """Picture and preview; nothing happens when they are gone."""
        await _in_thread(self._delete, sha256, None)

    async def delete_if_put_before(self, sha256: str, moment: datetime) -> bool:
        """Delete unless the picture was put again since; whether it is gone now."""
        return await _in_thread(self._delete, sha256, moment.timestamp())

    async def put_before(self, moment: datetime) -> AsyncIterator[list[str]]:
        """Every stored picture that was last put before then, some at a time. Remains of interrupted writes from
        before then are removed on the way."""
        folders = await _in_thread(self._folders)
        batch: list[str] = []
        for folder in folders:
            batch += await _in_thread(_put_before, folder, moment.timestamp())
            if len(batch) >= _BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    def _require_room(self) -> None:
        require_room(self._root if self._root.exists() else self._root.parent, self._least_free_bytes)

    def _put(self, sha256: str, data: bytes, preview: bytes) -> None:
        picture, beside = self._picture(sha256), self._preview(sha256)
        if self._touch(picture, beside, size_bytes=len(data), preview=preview):
            return
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ValueError("the bytes do not have the digest of the picture")
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        picture.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(picture.parent):
            if _holds(picture, data) and _holds(beside, preview):
                os.utime(picture)  # retention counts from the last time it was put
                # Who wrote it may have been killed before its name was on the disk.
                _sync_folder(picture.parent)
            else:
                # The rest is the database's, which mostly lies on the same disk, and takes no decisions then either:
                # verdicts and the audit log go on, and so does retention, which makes room.
                self._require_room()
                # The preview first: where there is a picture, there is something to show for it.
                _write(beside, preview)
                _write(picture, data)
            self._intact.note(picture, beside, preview)

    def _touch(self, picture: Path, beside: Path, *, size_bytes: int, preview: bytes) -> bool:
        """Whether this was put a moment ago, and is there still."""
        if not self._intact.knows(picture):
            return False
        try:
            with _locked(picture.parent):
                return self._intact.touch(picture, beside, size_bytes=size_bytes, preview_data=preview)
        except FileNotFoundError:
            return False

    def _delete(self, sha256: str, put_before_s: float | None) -> bool:
        picture = self._picture(sha256)
        try:
            with _locked(picture.parent):
                if put_before_s is not None and picture.exists() and picture.stat().st_mtime >= put_before_s:
                    return False
                self._intact.forget(picture)
                picture.unlink(missing_ok=True)
                self._preview(sha256).unlink(missing_ok=True)
                _sync_folder(picture.parent)
        except FileNotFoundError:
            pass  # not even the folder is there
        return True

    def _folders(self) -> list[Path]:
        return sorted(path for path in self._root.glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]") if path.is_dir())

    def _picture(self, sha256: str) -> Path:
        return self._folder(sha256) / f"{sha256}.bin"

    def _preview(self, sha256: str) -> Path:
        return self._folder(sha256) / f"{sha256}.preview.jpg"

    def _folder(self, sha256: str) -> Path:
        if _SHA256.fullmatch(sha256) is None:
            raise NotFound("there is no such picture")
        return self._root / sha256[:2] / sha256[2:4]


async def _in_thread(function: Callable[..., T], *args: object) -> T:
    try:
        return await asyncio.to_thread(function, *args)
    except FileNotFoundError as error:
        raise NotFound("there is no such picture") from error
    except OSError as error:
        raise StoreUnavailable(
            f"the evidence folder does not answer ({error.strerror or type(error).__name__})"
        ) from error


def _read(path: Path) -> bytes:
    return path.read_bytes()


def _holds(path: Path, data: bytes) -> bool:
    """Whether these bytes are there already; what is damaged is written anew. No file is visible before its bytes are
    on the disk."""
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_size == len(data) and file.read() == data
    except OSError:
        return False


def _write(path: Path, data: bytes) -> None:
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """A rename is only on the disk when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Between processes: a picture that is put again is not deleted in the same moment."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _put_before(folder: Path, moment_s: float) -> list[str]:
    found = []
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            if path.stat().st_mtime >= moment_s:
                continue
            if path.name.startswith("."):
                path.unlink(missing_ok=True)
            elif path.suffix == ".bin":
                found.append(path.stem)
    return found
