"""Why a person is asked. Cases from before were all opened because the decision said so."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("cases", sa.Column("kind", sa.String(), nullable=False, server_default="review"))


def downgrade() -> None:
    op.drop_column("cases", "kind")
