"""Run by Alembic. The connection and its transaction come from `app.store.migrate`; for writing a new revision,
`alembic -x url=sqlite:///… revision --autogenerate` brings its own."""

from alembic import context
from sqlalchemy import Connection, create_engine

from app.store.tables import DecisionRow

#: Importing one table declares them all.
_METADATA = DecisionRow.metadata


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=_METADATA,
        # SQLite can take back table changes like any other once transactions begin explicitly, as ours do.
        transactional_ddl=True,
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
