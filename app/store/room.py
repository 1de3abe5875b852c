"""Whether a folder can be written to, and has room for more."""

import errno
import os
from pathlib import Path

#: Less than this is full, in bytes: a few of the largest uploads, and the database that mostly lies beside them.
LEAST_FREE_BYTES = 64 << 20


def require_room(folder: Path, least_free_bytes: int) -> None:
    """Raises OSError."""
    system = os.statvfs(folder)
    if system.f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))
    if system.f_bavail * system.f_frsize < least_free_bytes:
        raise OSError(errno.ENOSPC, f"less than {least_free_bytes >> 20} MiB are left")
