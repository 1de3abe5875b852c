"""Database URLs as people write them, mapped to the asynchronous drivers."""

from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from app.errors import ConfigurationError

_SQLITE = {"sqlite", "sqlite+aiosqlite"}
_POSTGRESQL = {"postgres", "postgresql", "postgresql+asyncpg"}


def driver_url(text: str) -> URL:
    """`sqlite:///relative`, `sqlite:////absolute` or `postgresql://…` for SQLAlchemy's async engines.

    Raises ConfigurationError, never naming the URL itself: it may hold a password.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise ConfigurationError("the database URL cannot be read: write sqlite:///… or postgresql://…") from error
    if url.drivername in _SQLITE:
        return _sqlite(url)
    if url.drivername in _POSTGRESQL:
        return _postgresql(url)
    raise ConfigurationError(
        f"databases of kind {url.drivername!r} are not supported: write sqlite:///… or postgresql://…"
    )


def thread_url(url: URL) -> URL:
    """The same SQLite database for an engine that is used in a thread."""
    return url.set(drivername="sqlite+pysqlite")


def sqlite_path(url: URL) -> Path | None:
    """Where an SQLite database lies; None for another kind of database."""
    if url.get_backend_name() != "sqlite" or url.database is None:
        return None
    return Path(url.database)


def _sqlite(url: URL) -> URL:
    if url.database in (None, "", ":memory:") or str(url.database).startswith("file:"):
        raise ConfigurationError(
            "SQLite needs a file, as in sqlite:///var/portcullis.db: decisions must outlive the process"
        )
    return url.set(drivername="sqlite+aiosqlite")


def _postgresql(url: URL) -> URL:
    url = url.set(drivername="postgresql+asyncpg")
    # libpq's name for what asyncpg calls `ssl`; both take the same words.
    if "sslmode" in url.query:
        mode = url.query["sslmode"]
        url = url.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})
    return url
