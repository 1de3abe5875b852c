"""The one way into the database: transactions to read in and to write in, and the translation of what drivers raise."""

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

from app.errors import PortcullisError, StoreUnavailable
from app.store.commits import Commits
from app.store.migrate import require_current, upgrade
from app.store.room import LEAST_FREE_BYTES, require_room
from app.store.urls import driver_url, sqlite_path, thread_url
from app.store.writer import WriterThread

T = TypeVar("T")

log = structlog.get_logger(__name__)

#: How long one writer waits for another before the database counts as unavailable.
BUSY_TIMEOUT_S = 5.0
#: Longest that PostgreSQL may work on one statement; every statement here is short.
_STATEMENT_TIMEOUT_S = 30.0
_CONNECT_TIMEOUT_S = 5.0

_BEGIN = "portcullis_begin"
_PATIENCE_MS = "portcullis_patience_ms"


class Database:
    """SQLite (`sqlite:///…`) or PostgreSQL (`postgresql://…`); the repositories do not know which.

    Everything that a driver raises inside `reading` or `writing` comes out as StoreUnavailable.
    """

    def __init__(
        self,
        url: str,
        *,
        beside: bool = False,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        least_free_bytes: int = LEAST_FREE_BYTES,
    ) -> None:
        self._url = driver_url(url)
        self._beside = beside
        self._busy_timeout_s = busy_timeout_s
        self._least_free_bytes = least_free_bytes
        self._engine = _engine(self._url, busy_timeout_s)
        self._reading = async_sessionmaker(self._engine, class_=AsyncSession, expire_on_commit=False)
        self._writing = async_sessionmaker(
            self._engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"}), class_=AsyncSession, expire_on_commit=False
        )
        # SQLite takes one writer at a time and makes the others poll, unfairly. A queue in front of it is fair and
        # fast; the busy timeout is left for other processes.
        self._turn = asyncio.Lock() if self.is_sqlite else None
        self._commits = None if self._turn is None else self._sharing_commits(self._turn)
        self._file: _OpenFile | None = None
        self._closed = False

    @property
    def url(self) -> str:
        """To open the same database elsewhere. It may hold a password: never to be shown."""
        return self._url.render_as_string(hide_password=False)

    @property
    def is_sqlite(self) -> bool:
        return self._url.get_backend_name() == "sqlite"

    async def start(self) -> None:
        """Create or migrate the tables; `beside` a service only create them. Several nodes may do so at once.

        Raises ConfigurationError when the database is newer than this code, or older and not migrated, and
        StoreUnavailable.
        """
        path = sqlite_path(self._url)
        with _translated():
            if path is not None:
                await asyncio.to_thread(_prepare_file, path, self._busy_timeout_s)
                self._file = _OpenFile(path)
            await upgrade(self._engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"}), only_new=self._beside)

    async def start_as_is(self) -> None:
        """Leave the tables as they are: the database is that of a service, which may be of another version. Raises
        ConfigurationError where it is, and StoreUnavailable."""
        path = sqlite_path(self._url)
        with _translated():
            if path is not None:
                self._file = _OpenFile(path)
            await require_current(self._engine)

    async def aclose(self) -> None:
        self._closed = True
        if self._commits is not None:
            await self._commits.aclose()
        await self._engine.dispose()

    async def ping(self) -> None:
        """Raises StoreUnavailable when the database does not answer, or has no room for much more: SQLite reads from a
        full disk as if nothing were."""
        async with self.reading() as session:
            await session.connection()
        if self._file is not None:
            with _translated():
                await asyncio.to_thread(require_room, self._file.path.parent, self._least_free_bytes)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A transaction that only reads."""
        self._require_open()
        with _translated():
            async with self._reading() as session:
                yield session

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncSession]:
        """A transaction that commits at the end of the block, or not at all when the block raises."""
        self._require_open()
        with _translated():
            async with AsyncExitStack() as stack:
                patience_s = await self._take_turn(stack)
                session = await stack.enter_async_context(self._writing())
                await session.connection(execution_options={_PATIENCE_MS: int(patience_s * 1000)})
                yield session
                await session.commit()

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns; its statements are committed together, or not at all where it raises. For short
        transactions that are known beforehand: it runs in one piece, in a thread on SQLite, and may do nothing but
        talk to the database. Those that come at once share a commit there, each whole for itself. They leave the
        last of an SQLite database's disk to `writing`: what makes room goes on."""
        self._require_open()
        with _translated():
            if self._commits is not None:
                result: T = await self._commits.run(self._leaving_room(work))
                return result
            async with self._engine.connect() as connection:
                result = await connection.run_sync(work)
                await connection.commit()
                return result

    def _leaving_room(self, work: Callable[[Connection], T]) -> Callable[[Connection], T]:
        def run(connection: Connection) -> T:
            if self._file is not None:
                try:
                    require_room(self._file.path.parent, self._least_free_bytes)
                except OSError as error:
                    raise StoreUnavailable(f"the database's disk cannot be used: {error.strerror}") from error
            return work(connection)

        return run

    def _sharing_commits(self, turn: asyncio.Lock) -> Commits:
        def options(patience_s: float) -> dict[str, object]:
            return {_BEGIN: "BEGIN IMMEDIATE", _PATIENCE_MS: int(patience_s * 1000)}

        writer = WriterThread(_thread_engine(self._url, self._busy_timeout_s))
        return Commits(writer, turn, patience_s=self._busy_timeout_s, options=options, require_open=self._require_open)

    async def _take_turn(self, stack: AsyncExitStack) -> float:
        """How long the database may still be waited for, in seconds: uploads with a deadline wait here. Raises
        StoreUnavailable when it was closed meanwhile."""
        if self._turn is None:
            return self._busy_timeout_s
        began_at = time.monotonic()
        async with asyncio.timeout(self._busy_timeout_s):
            await stack.enter_async_context(self._turn)
        self._require_open()  # it may have been closed, or its file replaced, meanwhile
        return max(0.0, self._busy_timeout_s - (time.monotonic() - began_at))

    def _require_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the database is closed")
        if self._file is not None:
            self._file.require_there()


class _OpenFile:
    """The file behind an SQLite database. One that is removed or replaced can still be written to, and everything
    that is written is lost when the process ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._identity = self._look()

    def require_there(self) -> None:
        """Raises StoreUnavailable."""
        if self._look() != self._identity:
            log.error("the database file is not the one that was opened", action="database_replaced")
            raise StoreUnavailable("the database file was removed or replaced while it was open; restart the service")

    def _look(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except PortcullisError:
        raise
    except IntegrityError as error:
        # The driver's text may quote the row: only its kind is passed on.
        raise StoreUnavailable("the database refused a row that contradicts another one") from error
    except (SQLAlchemyError, sqlite3.Error, OSError, TimeoutError) as error:
        log.warning("the database does not answer", action="store_unavailable", reason=_reason(error))
        raise StoreUnavailable(f"the database does not answer ({type(error).__name__})") from error


def _reason(error: Exception) -> str:
    """For the operator. Other errors than these may quote what was to be written."""
    if isinstance(error, OperationalError | ProgrammingError) and error.orig is not None:
        return f"{type(error).__name__}: {error.orig}"
    return f"{type(error).__name__}: {error}" if isinstance(error, OSError) else type(error).__name__


def _prepare_file(path: Path, busy_timeout_s: float) -> None:
    """Write-ahead logging lets readers go on beside the writer. It is a property of the file, set once; SQLite does
    not wait for its turn here, so this does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Captions lie in it: only the service's user may read it. SQLite gives its side files the same mode.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    deadline_at = time.monotonic() + busy_timeout_s
    while True:
        try:
            with closing(sqlite3.connect(path, timeout=busy_timeout_s)) as connection:
                (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        except sqlite3.OperationalError:
            if time.monotonic() >= deadline_at:
                raise
            time.sleep(0.02)
            continue
        if mode != "wal":
            log.warning("this file system takes no write-ahead log", action="wal_refused", journal_mode=mode)
        return


def _engine(url: URL, busy_timeout_s: float) -> AsyncEngine:
    if url.get_backend_name() == "sqlite":
        engine = create_async_engine(url, **_sqlite_options(busy_timeout_s))
        _listen(engine.sync_engine, busy_timeout_s)
        return engine
    settings = {
        "application_name": "portcullis",
        "lock_timeout": str(int(busy_timeout_s * 1000)),
        "statement_timeout": str(int(_STATEMENT_TIMEOUT_S * 1000)),
    }
    return create_async_engine(
        url,
        connect_args={"timeout": _CONNECT_TIMEOUT_S, "server_settings": settings},
        pool_pre_ping=True,
        pool_size=8,
        max_overflow=8,
        pool_timeout=busy_timeout_s,
        hide_parameters=True,
    )


def _thread_engine(url: URL, busy_timeout_s: float) -> Engine:
    engine = create_engine(thread_url(url), **_sqlite_options(busy_timeout_s))
    _listen(engine, busy_timeout_s)
    return engine


def _sqlite_options(busy_timeout_s: float) -> dict[str, Any]:
    # isolation_level None: sqlite3 leaves transactions alone, so that `_begin` can choose their kind.
    return {"connect_args": {"isolation_level": None, "timeout": busy_timeout_s}, "hide_parameters": True}


def _listen(engine: Engine, busy_timeout_s: float) -> None:
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin(int(busy_timeout_s * 1000)))


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys=ON")
    # FULL: an answer that was given is on the disk. NORMAL would be about three times as fast to commit, but a power
    # cut could take back decisions that platforms already acted on, and their audit entries with them.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _begin(patience_ms: int) -> Callable[[Connection], None]:
    def begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        # Each time: a connection of the pool remembers what the last transaction had left.
        connection.exec_driver_sql(f"PRAGMA busy_timeout={options.get(_PATIENCE_MS, patience_ms)}")
        # A deferred transaction that turns from reading to writing fails at once when another writer was faster:
        # writers say so at the beginning.
        connection.exec_driver_sql(options.get(_BEGIN, "BEGIN"))

    return begin
