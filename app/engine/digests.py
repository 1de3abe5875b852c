"""Digests of model files: gigabytes, so each file is read once."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What changes when a file does. Two stamps that are equal mean the same content unless somebody forges times."""

    path: Path
    inode: int
    size_bytes: int
    mtime_ns: int


def stamp(path: Path) -> FileStamp:
    """Raises OSError."""
    facts = path.stat()
    return FileStamp(path.resolve(), facts.st_ino, facts.st_size, facts.st_mtime_ns)


def file_digest(path: Path) -> str:
    """`sha256:…` of the file's bytes. Blocking: about 2 s a gigabyte the first time. Raises OSError."""
    return _digest(stamp(path))


@lru_cache(maxsize=16)
def _digest(wanted: FileStamp) -> str:
    with wanted.path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
