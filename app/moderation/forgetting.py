"""When a picture is erased, what was found of it is forgotten too."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Protocol

from app.moderation.findings_cache import FindingsCache


class _Files(Protocol):
    """The kept pictures, by SHA-256 (hex)."""

    async def delete_if_put_before(self, sha256: str, moment: datetime) -> bool: ...

    def put_before(self, moment: datetime) -> AsyncIterator[list[str]]: ...


class ForgettingFiles:
    """The files as retention sees them (`app.jobs.ports.EvidenceFiles`). Other nodes' caches are their own: what they
    hold ends with its time to live."""

    def __init__(self, files: _Files, cache: FindingsCache | None) -> None:
        self._files = files
        self._cache = cache

    async def delete_if_put_before(self, sha256: str, moment: datetime) -> bool:
        gone = await self._files.delete_if_put_before(sha256, moment)
        if gone and self._cache is not None:
            self._cache.forget(sha256)
        return gone

    def put_before(self, moment: datetime) -> AsyncIterator[list[str]]:
        return self._files.put_before(moment)
