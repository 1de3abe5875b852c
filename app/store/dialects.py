"""What SQLite and PostgreSQL both do, under one name."""

from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import SQLModel, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.errors import NotFound


def insert(into: AsyncSession | str, table: type[SQLModel]) -> postgresql.Insert:
    """An INSERT that can say ON CONFLICT, for a session or a dialect by name; both databases take the same words."""
    dialect = into if isinstance(into, str) else into.get_bind().dialect.name
    if dialect == "postgresql":
        return postgresql.insert(table)
    statement: postgresql.Insert = sqlite.insert(table)  # type: ignore[assignment]  # same methods, no common base
    return statement


async def take_turn(session: AsyncSession, lock: int) -> None:
    """Wait until no other transaction holds this lock; it is held until this one ends. SQLite has one writer anyway."""
    if session.get_bind().dialect.name == "postgresql":
        await session.exec(select(func.pg_advisory_xact_lock(lock)))


def storable(text: str) -> bool:
    """Whether the databases can hold a text: PostgreSQL takes no NUL, and neither takes half a surrogate pair."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def known_id(kind: str, text: str) -> str:
    """An id to look up. Raises NotFound for what cannot be one: no row was ever stored under it."""
    if not storable(text):
        raise NotFound(f"there is no such {kind}")
    return text
