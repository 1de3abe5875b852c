"""What was found of the pictures seen last, kept in memory so that the same picture is not asked the same thing twice.

It holds findings, never decisions, and of those only what is sound: an unknown is asked again. A picture is named by a
keyed digest of its upload, which nobody outside this process can make, and what is kept of it goes together: with its
place among the last used, when its time is over, or when the picture is erased.
"""

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import Generic, TypeVar

import structlog
from pydantic import TypeAdapter

from app.metrics import FINDINGS_CACHE_BYTES, FINDINGS_CACHE_PICTURES

log = structlog.get_logger(__name__)

T = TypeVar("T")

_DIGEST_BYTES = 16
#: What a kept finding takes beside its own bytes: dictionary entry, key, object headers. Measured, rounded up.
_PART_OVERHEAD_BYTES = 250
#: The same of a picture: its shelf, two places in order, its key.
_SHELF_OVERHEAD_BYTES = 900
#: One picture takes at most such a part of the memory: each caption that it comes with adds to what is known of it.
_SHARES = 4
#: Names of what can be asked: a few dozen of each policy, model and kind of frame plan.
_NAMES_KEPT = 2048


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """`bytes_kept` counts what the findings take in memory, at least; `ttl_s` runs from the first finding of a picture
    that was kept, whatever is used or added later."""

    bytes_kept: int
    ttl_s: float
    pictures: int = 65_536


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """One thing to know of a picture. `of` says everything but the picture that it depends on; `shape` is how it is
    written down."""

    picture: bytes
    of: bytes
    shape: TypeAdapter[T] = field(compare=False, repr=False)


@dataclass(slots=True)
class _Shelf:
    """All that is kept of one picture, as JSON."""

    expires_at: float
    size_bytes: int = _SHELF_OVERHEAD_BYTES
    parts: dict[bytes, bytes] = field(default_factory=dict)

    def add(self, of: bytes, kept: bytes, *, room_bytes: int) -> None:
        """What was added first goes first where it is more than the room; this itself stays."""
        self._remove(of)
        self.size_bytes += len(kept) + _PART_OVERHEAD_BYTES
        self.parts[of] = kept
        while self.size_bytes > room_bytes and len(self.parts) > 1:
            self._remove(next(iter(self.parts)))

    def _remove(self, of: bytes) -> None:
        before = self.parts.pop(of, None)
        if before is not None:
            self.size_bytes -= len(before) + _PART_OVERHEAD_BYTES


class FindingsCache:
    """One event loop uses it, so it needs no lock. `clock` is in seconds and never goes back."""

    def __init__(self, limits: CacheLimits, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._by_use: OrderedDict[bytes, _Shelf] = OrderedDict()
        #: When each ends. All live equally long, so the first to come is the first to go.
        self._by_age: dict[bytes, float] = {}
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._named = lru_cache(_NAMES_KEPT)(self.digest)

    @property
    def pictures(self) -> int:
        return len(self._by_use)

    @property
    def size_bytes(self) -> int:
        return self._bytes

    def digest(self, *what: object) -> bytes:
        """A name for `what`, the same only in this process. Each is named by its `repr`."""
        return blake2b(
            repr(what).encode("utf-8", "surrogatepass"), key=self._secret, digest_size=_DIGEST_BYTES
        ).digest()

    def name(self, *what: Hashable) -> bytes:
        """The digest of what is asked of many pictures, made once. For nothing that an uploader wrote: it outlives the
        picture."""
        return self._named(*what)

    def picture(self, sha256: str) -> bytes:
        """The name of the upload with this digest (hex)."""
        return self.digest("picture", sha256)

    def get(self, part: Part[T]) -> T | None:
        self._expire()
        shelf = self._by_use.get(part.picture)
        kept = None if shelf is None else shelf.parts.get(part.of)
        if kept is None:
            return None
        self._by_use.move_to_end(part.picture)
        return part.shape.validate_json(kept)

    def put(self, part: Part[T], value: T) -> None:
        """Keep a sound finding. The least recently used pictures make room; a picture that would fill the cache alone,
        and text that cannot be written down, is not kept."""
        try:
            kept = part.shape.dump_json(value)
        except ValueError:  # half a surrogate pair
            return
        self._expire()
        shelf = self._taken(part.picture) or _Shelf(self._clock() + self._limits.ttl_s)
        shelf.add(part.of, kept, room_bytes=self._limits.bytes_kept // _SHARES)
        if shelf.size_bytes <= self._limits.bytes_kept:
            self._make_room(shelf.size_bytes)
            self._by_use[part.picture] = shelf
            self._bytes += shelf.size_bytes
            self._by_age.setdefault(part.picture, shelf.expires_at)
        else:
            self._by_age.pop(part.picture, None)
        self._tell()
        self._arm()

    def forget(self, sha256: str) -> None:
        """Whatever is kept of the picture with this digest (hex)."""
        if self._drop(self.picture(sha256)):
            self._tell()
            log.info("cached findings dropped", action="findings_cache_forgot")

    def _taken(self, picture: bytes) -> _Shelf | None:
        """The shelf out of its place; its age goes on counting."""
        shelf = self._by_use.pop(picture, None)
        if shelf is not None:
            self._bytes -= shelf.size_bytes
        return shelf

    def _drop(self, picture: bytes) -> bool:
        self._by_age.pop(picture, None)
        return self._taken(picture) is not None

    def _make_room(self, size_bytes: int) -> None:
        while self._by_use and (
            self._bytes + size_bytes > self._limits.bytes_kept or len(self._by_use) >= self._limits.pictures
        ):
            self._drop(next(iter(self._by_use)))

    def _expire(self) -> None:
        now = self._clock()
        while self._by_age and next(iter(self._by_age.values())) <= now:
            self._drop(next(iter(self._by_age)))
            self._tell()

    def _arm(self) -> None:
        """Nothing outlives its time, also where nobody asks any more."""
        if self._timer is None and self._by_age:
            left_s = max(0.0, next(iter(self._by_age.values())) - self._clock())
            self._timer = asyncio.get_running_loop().call_later(left_s, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._expire()
        self._arm()

    def _tell(self) -> None:
        FINDINGS_CACHE_BYTES.set(self._bytes)
        FINDINGS_CACHE_PICTURES.set(len(self._by_use))
