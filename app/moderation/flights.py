"""Who is finding out what at the moment, so that uploads of one picture at once do not all ask the same."""

import asyncio
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Landed(Generic[T]):
    """What came of it. Only what is `sound` is good for others: a fault may be the asker's own, such as a deadline."""

    value: T
    sound: bool


class Flights(Generic[T]):
    """Every key has at most one leader. One event loop uses it."""

    def __init__(self) -> None:
        self._open: dict[Hashable, asyncio.Future[Landed[T] | None]] = {}

    def under_way(self, key: Hashable) -> asyncio.Future[Landed[T] | None] | None:
        """What its leader finds out, or None as a result where the leader gave up: then somebody else may lead. It
        never raises; wait for it with `landing`, which leaves it whole."""
        return self._open.get(key)

    @contextmanager
    def leading(self, keys: Iterable[Hashable]) -> "Iterator[Leader[T]]":
        """Lead these, none of which is under way. Whatever has not landed at the end, for whatever reason, is given
        up."""
        led = {key: asyncio.get_running_loop().create_future() for key in keys}
        self._open.update(led)
        try:
            yield Leader(self._open, led)
        finally:
            for key, future in led.items():
                if not future.done():
                    del self._open[key]
                    future.set_result(None)


class Leader(Generic[T]):
    def __init__(
        self,
        flights: dict[Hashable, asyncio.Future[Landed[T] | None]],
        led: dict[Hashable, asyncio.Future[Landed[T] | None]],
    ) -> None:
        self._flights = flights
        self._led = led

    def land(self, key: Hashable, value: T, *, sound: bool) -> None:
        """Tell who follows. Of what landed already, and of what somebody else leads, nothing is heard."""
        self._end(key, Landed(value, sound))

    def give_up(self, key: Hashable) -> None:
        """This one does not want it any more; others may."""
        self._end(key, None)

    def _end(self, key: Hashable, landed: Landed[T] | None) -> None:
        future = self._led.get(key)
        if future is not None and not future.done():
            del self._flights[key]
            future.set_result(landed)


async def landing(future: "asyncio.Future[Landed[T] | None]", *, timeout_s: float) -> Landed[T] | None:
    """What came of it in that time; raises TimeoutError. To stop waiting does not touch the leader's work."""
    done, _ = await asyncio.wait((future,), timeout=timeout_s)
    if not done:
        raise TimeoutError
    return future.result()
