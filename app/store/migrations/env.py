"""Run by Alembic, on the connection and in the transaction that `app.store.migrate` brings; on a connection of its own
to `-x url=…` when a new revision is written (`python -m app.store.migrations`)."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection, create_engine

from app.store.tables import DecisionRow
from app.store.types import UtcDateTime

#: Importing one table declares them all.
_METADATA = DecisionRow.metadata


def _render(_kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    if not isinstance(item, UtcDateTime):
        return False
    autogen.imports.add("from app.store.types import UtcDateTime")
    return "UtcDateTime()"


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=_METADATA,
        # SQLite can take back table changes like any other once transactions begin explicitly, as ours do.
        transactional_ddl=True,
        render_item=_render,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    _migrate(given)
else:
    with create_engine(context.get_x_argument(as_dictionary=True)["url"]).connect() as own:
        _migrate(own)
