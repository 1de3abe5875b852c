"""What retention by the policy asks: the categories of decisions, and the pictures that are there in the order in which
they were last seen."""

import json
from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_ROWS = 1000


def upgrade() -> None:
    categories = op.create_table(
        "decision_categories",
        sa.Column("decision_id", sa.String(), nullable=False),
        sa.Column("category", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["decision_id"], ["decisions.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("decision_id", "category"),
    )
    connection = op.get_bind()
    for rows in _found(connection):
        connection.execute(sa.insert(categories), rows)
    op.drop_index("ix_pictures_last_seen_at", "pictures")
    there = sa.text("deleted_at IS NULL")
    op.create_index(
        "ix_pictures_kept", "pictures", ["last_seen_at", "sha256"], sqlite_where=there, postgresql_where=there
    )


def downgrade() -> None:
    op.drop_index("ix_pictures_kept", "pictures")
    op.create_index("ix_pictures_last_seen_at", "pictures", ["last_seen_at"])
    op.drop_table("decision_categories")


def _found(connection: sa.Connection) -> Iterator[list[dict[str, str]]]:
    """Of the violations of all decisions, read here: PostgreSQL's JSON functions refuse NUL, which text that was found
    may hold."""
    decisions = sa.table("decisions", sa.column("id"), sa.column("decision"))
    last = ""
    while True:
        query = sa.select(decisions.c.id, decisions.c.decision).where(decisions.c.id > last)
        page = connection.execute(query.order_by(decisions.c.id).limit(_ROWS)).all()
        found = [
            {"decision_id": decision_id, "category": category}
            for decision_id, text in page
            for category in sorted({one["category"] for one in json.loads(text).get("violations", ())})
        ]
        if found:
            yield found
        if len(page) < _ROWS:
            return
        last = page[-1][0]
