"""Bring a database to the shape that this code expects, at start."""

from collections.abc import Iterable
from pathlib import Path

import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.errors import ConfigurationError

log = structlog.get_logger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"

#: Any number, as long as every version of Portcullis uses the same: PostgreSQL's lock against two nodes migrating.
_MIGRATION_LOCK = 7_216_310_254
_LOCK_TIMEOUT = "60s"


def config() -> Config:
    settings = Config()
    settings.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return settings


async def upgrade(engine: AsyncEngine, *, only_new: bool = False) -> None:
    """Migrate in one transaction: it happens whole or not at all.

    On SQLite the engine's transactions must begin immediately, which keeps other nodes out.
    Raises ConfigurationError when the database is newer than this code; with `only_new`, also when it is older, unless
    nothing is in it.
    """
    async with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            await connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
            await connection.execute(text("SET LOCAL statement_timeout = 0"))
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        await connection.run_sync(_upgrade, only_new)


async def require_current(engine: AsyncEngine) -> None:
    """Raises ConfigurationError where `upgrade` would have something to do, or could not do it."""
    async with engine.connect() as connection:
        current = await connection.run_sync(lambda reading: MigrationContext.configure(reading).get_current_heads())
    if set(current) != set(ScriptDirectory.from_config(config()).get_heads()):
        raise _of_another_version(current)


def _of_another_version(current: Iterable[str]) -> ConfigurationError:
    return ConfigurationError(
        f"the database is at revision {', '.join(sorted(current)) or 'none'}, which is another than this version's: "
        "its service is of another version, or has not been started yet"
    )


def _upgrade(connection: Connection, only_new: bool) -> None:
    settings = config()
    scripts = ScriptDirectory.from_config(settings)
    known = {script.revision for script in scripts.walk_revisions()}
    current = set(MigrationContext.configure(connection).get_current_heads())
    if current - known:
        raise ConfigurationError(
            f"the database is at revision {', '.join(sorted(current - known))}, which this version of Portcullis does "
            "not know: a newer version has used it. Run that version, or restore a backup from before it."
        )
    if current == set(scripts.get_heads()):
        return
    if only_new and current:
        raise _of_another_version(current)
    settings.attributes["connection"] = connection
    command.upgrade(settings, "head")
    log.info("database migrated", action="database_migrated", from_revision=sorted(current), to=scripts.get_heads())
