"""Reading files that somebody else names: what is no regular file is refused instead of waited on."""

import os
import stat
from pathlib import Path


def read_regular(path: Path, limit_bytes: int) -> bytes:
    """The file's first bytes. Raises OSError, also for a directory, a pipe or a device: opening a pipe that nobody
    writes to would wait for ever, and reading a device might never end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("it is not a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            return stream.read(limit_bytes)
    finally:
        os.close(descriptor)
