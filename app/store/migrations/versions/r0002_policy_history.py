"""The history of policies: an order that no clock decides, who and why; the last content of the files."""

import sqlalchemy as sa
from alembic import op

from app.store.types import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "policy_files",
        sa.Column("seq", _COUNTER, autoincrement=False, nullable=False),
        sa.Column("ruleset_digest", sa.String(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["ruleset_digest"], ["rulesets.digest"]),
        sa.PrimaryKeyConstraint("seq"),
    )
    with op.batch_alter_table("ruleset_activations") as table:
        table.add_column(sa.Column("seq", _COUNTER, nullable=True))
        table.add_column(sa.Column("author", sa.String(), nullable=False, server_default="system"))
        table.add_column(sa.Column("why", sa.Text(), nullable=True))
        table.add_column(sa.Column("forced", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute(
        "UPDATE ruleset_activations SET seq = (SELECT COUNT(*) FROM ruleset_activations AS earlier"
        " WHERE earlier.activated_at < ruleset_activations.activated_at"
        " OR (earlier.activated_at = ruleset_activations.activated_at AND earlier.id <= ruleset_activations.id))"
    )
    # Until now every activation came from a file.
    op.execute(
        "INSERT INTO policy_files (seq, ruleset_digest, seen_at)"
        " SELECT 1, ruleset_digest, activated_at FROM ruleset_activations ORDER BY seq DESC LIMIT 1"
    )
    with op.batch_alter_table("ruleset_activations") as table:
        table.alter_column("seq", existing_type=_COUNTER, nullable=False)
        table.alter_column("author", existing_type=sa.String(), server_default=None)
        table.alter_column("forced", existing_type=sa.Boolean(), server_default=None)
        table.create_unique_constraint("ruleset_activations_seq_key", ["seq"])
