"""SQLite's short transactions, in one piece each, several in one commit, in one thread.

The asynchronous driver goes to another thread and back for every statement, begin and commit, some twenty times a
decision: that cost five times the processor time of the statements themselves, and on a busy machine each way waits
for its turn.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

#: One transaction's statements; what it returns comes back when they are committed.
Work = Callable[[Connection], Any]


class Raised:
    """Instead of what a work returns."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self._traceback = error.__traceback__

    @property
    def error(self) -> Exception:
        """To be raised, by several if need be: with the trace that it came with."""
        return self._error.with_traceback(self._traceback)


class Locked(Exception):
    """Another process was writing all the while, and nothing was begun. `error` is the driver's."""

    def __init__(self, error: OperationalError) -> None:
        super().__init__()
        self.error = error


class WriterThread:
    """Runs one group of transactions after the other. `engine` is a synchronous one."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database writer")

    def start(self, works: Sequence[Work], **options: object) -> "asyncio.Future[list[Any]]":
        """What each of them returns, or Raised, when all are committed: one that raises writes nothing and does the
        others no harm. The future raises what makes all of them fail: Locked, and whatever else the database said.
        `options` are the transaction's execution options."""
        return asyncio.get_running_loop().run_in_executor(self._thread, self._commit, works, options)

    async def aclose(self) -> None:
        await asyncio.to_thread(self._thread.shutdown)
        self._engine.dispose()

    def _commit(self, works: Sequence[Work], options: dict[str, object]) -> list[Any]:
        with self._engine.connect() as connection:
            connection.execution_options(**options)
            _begin(connection)
            ends = [_apart(work, connection) for work in works]
            connection.commit()
            return ends


def _begin(connection: Connection) -> None:
    try:
        connection.begin()
    except OperationalError as error:
        code = getattr(error.orig, "sqlite_errorcode", 0)
        if code & 0xFF == sqlite3.SQLITE_BUSY:  # the upper bits say which kind of busy
            raise Locked(error) from error
        raise


def _apart(work: Work, connection: Connection) -> Any:
    """What it returns or raises, its statements taken back if it raises. Raises what it does where the database took
    back the whole transaction, as for a full disk: going on would commit each following statement by itself."""
    driver: Any = connection.connection.driver_connection
    driver.execute("SAVEPOINT work")
    try:
        result = work(connection)
    except Exception as error:
        if not driver.in_transaction:
            raise
        driver.execute("ROLLBACK TO work")
        result = Raised(error)
    driver.execute("RELEASE work")
    return result
