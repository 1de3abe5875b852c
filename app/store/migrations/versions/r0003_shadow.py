"""Policies that are tried beside the live one, and what they would have decided."""

import sqlalchemy as sa
from alembic import op

from app.store.types import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "shadow_policies",
        sa.Column("seq", _COUNTER, autoincrement=False, nullable=False),
        sa.Column("policy_digest", sa.String(), nullable=True),
        sa.Column("policy", sa.Text(), nullable=True),
        sa.Column("set_at", UtcDateTime(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("why", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_table(
        "shadow_comparisons",
        sa.Column("decision_id", sa.String(), nullable=False),
        sa.Column("tried", sa.String(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("before", sa.String(), nullable=False),
        sa.Column("after", sa.String(), nullable=True),
        sa.Column("rules", sa.Text(), nullable=False),
        sa.Column("fired", sa.Text(), nullable=False),
        sa.Column("missing", sa.Text(), nullable=False),
        sa.Column("whole", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["decision_id"], ["decisions.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("decision_id", "tried"),
    )
    op.create_index("ix_shadow_comparisons_tried", "shadow_comparisons", ["tried", "digest", "at"])


def downgrade() -> None:
    op.drop_table("shadow_comparisons")
    op.drop_table("shadow_policies")
