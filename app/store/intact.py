"""Which stored files were seen whole a moment ago, so that a picture that comes in a wave is not compared each time."""

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

#: After so long the bytes are compared again, whatever the file system says of the file.
_TRUSTED_S = 60.0
_MOST = 1024

#: What changes whenever a file is written, replaced or only touched.
_Look = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class _Seen:
    """`until_s` is on the clock's."""

    looks: tuple[_Look, _Look]
    preview: bytes
    until_s: float


class IntactFiles:
    """Safe to use from several threads, each holding the lock on the folder of the files that it names. `clock` is in
    seconds and never goes back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: OrderedDict[Path, _Seen] = OrderedDict()
        self._lock = threading.Lock()

    def knows(self, picture: Path) -> bool:
        """Whether it is worth looking."""
        with self._lock:
            return picture in self._seen

    def touch(self, picture: Path, preview: Path, *, size_bytes: int, preview_data: bytes) -> bool:
        """Whether both were seen whole and nobody has touched them since; then the picture's time is set to now."""
        with self._lock:
            seen = self._seen.get(picture)
        if seen is None or seen.until_s <= self._clock() or seen.preview != sha256(preview_data).digest():
            return False
        try:
            looks = _look(picture), _look(preview)
            if looks != seen.looks or looks[0][2] != size_bytes:
                return False
            os.utime(picture)
            self._keep(picture, _Seen((_look(picture), looks[1]), seen.preview, seen.until_s))
        except FileNotFoundError:
            return False
        return True

    def note(self, picture: Path, preview: Path, preview_data: bytes) -> None:
        """Both are whole and on the disk, as they are now."""
        looks = _look(picture), _look(preview)
        self._keep(picture, _Seen(looks, sha256(preview_data).digest(), self._clock() + _TRUSTED_S))

    def forget(self, picture: Path) -> None:
        with self._lock:
            self._seen.pop(picture, None)

    def _keep(self, picture: Path, seen: _Seen) -> None:
        with self._lock:
            self._seen[picture] = seen
            self._seen.move_to_end(picture)
            if len(self._seen) > _MOST:
                self._seen.popitem(last=False)


def _look(path: Path) -> _Look:
    found = path.lstat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
