"""One application for all rigs: putting it together takes longer than most tests take."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import cache
from typing import Any

from litestar import Litestar

from app.http.app import HttpLimits, create_app
from app.http.auth import Access
from app.http.services import Services
from app.http.uploads import UploadLimits
from app.web import console_handlers, problem_page

MIB = 1 << 20
UPLOAD_BYTES = MIB


def application(services: Services) -> Litestar:
    """One of its own, for a test that changes it."""
    return create_app(
        services,
        HttpLimits(UploadLimits(upload_bytes=UPLOAD_BYTES, body_bytes_in_flight=16 * MIB), longest_wait_s=60),
        console=console_handlers(largest_upload_bytes=UPLOAD_BYTES),
        problem_page=problem_page(services.engine_info),
    )


@contextmanager
def in_front_of(services: Services) -> Iterator[Litestar]:
    """The shared application, for as long as it serves these services; a test must leave it as it found it."""
    assert not _behind, "two rigs at once would answer each other's requests"
    shared = _shared(services.version)
    _behind.append(services)
    try:
        yield shared
    finally:
        _behind.clear()


#: The services of the rig that is open, if one is.
_behind: list[Services] = []


class _Stand:
    """Given to the application in a service's place; hands on to that service of the open rig."""

    def __init__(self, find: Callable[[Services], Any]) -> None:
        self._find = find

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._find(_behind[0]), name)

    def __call__(self, *arguments: Any) -> Any:
        return self._find(_behind[0])(*arguments)


@cache
def _shared(version: str) -> Litestar:
    stands: dict[str, Any] = {field.name: _stand_for(field.name) for field in fields(Services)}
    stands["access"] = Access(_Stand(lambda behind: behind.access.keys), _Stand(lambda behind: behind.access.sessions))  # type: ignore[arg-type]
    return application(Services(**{**stands, "version": version}))


def _stand_for(name: str) -> _Stand:
    return _Stand(lambda behind: getattr(behind, name))
