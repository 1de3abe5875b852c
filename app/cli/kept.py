"""What a service has kept, for commands beside one that may be running, and of another version."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from app.audit.ports import AuditLog
from app.errors import ConfigurationError
from app.logs import configure_logs
from app.settings import Settings
from app.store.audit import SqlAuditLog
from app.store.session import Database
from app.store.urls import driver_url, sqlite_path


@asynccontextmanager
async def open_audit_log(settings: Settings) -> AsyncIterator[AuditLog]:
    """Raises StoreUnavailable and ConfigurationError."""
    async with open_database(settings) as database:
        yield SqlAuditLog(database)


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[Database]:
    """Raises StoreUnavailable, and ConfigurationError where the service is of another version or none has kept a
    database: an empty one would look like nothing to find."""
    configure_logs(level="error", as_json=settings.log_json)
    url = settings.database
    path = sqlite_path(driver_url(url))
    if path is not None and not path.is_file():
        raise ConfigurationError(
            f"there is no database at {path}: PORTCULLIS_DATA_DIR and PORTCULLIS_DATABASE_URL must be the service's"
        )
    async with aclosing(Database(url)) as database:
        await database.start_as_is()
        yield database
