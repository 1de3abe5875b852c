"""First tables."""

import hashlib

import sqlalchemy as sa
from alembic import op

from app.store.types import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
#: As `app.audit.chain.GENESIS_HASH` at this revision; a migration does not change with the code.
_GENESIS_HASH = hashlib.sha256(b"portcullis.audit/1").digest()


def upgrade() -> None:
    _pictures_and_decisions()
    _cases()
    _audit()
    _rulesets()
    op.create_table(
        "job_ticks",
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("slot", _COUNTER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("job", "slot"),
    )


def _pictures_and_decisions() -> None:
    op.create_table(
        "pictures",
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("first_seen_at", UtcDateTime(), nullable=False),
        sa.Column("last_seen_at", UtcDateTime(), nullable=False),
        sa.Column("deleted_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("sha256"),
    )
    op.create_index("ix_pictures_last_seen_at", "pictures", ["last_seen_at"])
    op.create_table(
        "decisions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("degraded", sa.Boolean(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("image_sha256", sa.String(), nullable=False),
        sa.Column("ruleset_digest", sa.String(), nullable=False),
        sa.Column("supersedes", sa.String(), nullable=True),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("idempotency_key", sa.String(), nullable=True),
        sa.Column("request_digest", sa.String(), nullable=True),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("findings", sa.Text(), nullable=False),
        sa.Column("context", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["image_sha256"], ["pictures.sha256"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key_id", "idempotency_key", name="uq_decisions_idempotency"),
    )
    op.create_index("ix_decisions_image_sha256", "decisions", ["image_sha256"])
    op.create_index("ix_decisions_ruleset_digest", "decisions", ["ruleset_digest"])
    op.create_index("ix_decisions_newest", "decisions", ["created_at", "id"])
    op.create_index("ix_decisions_key_newest", "decisions", ["key_id", "created_at", "id"])
    op.create_index("ix_decisions_outcome_newest", "decisions", ["outcome", "created_at", "id"])


def _cases() -> None:
    op.create_table(
        "cases",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("decision_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("opened_at", UtcDateTime(), nullable=False),
        sa.Column("claimed_by", sa.String(), nullable=True),
        sa.Column("lease_expires_at", UtcDateTime(), nullable=True),
        sa.Column("lapsed_from", sa.String(), nullable=True),
        sa.Column("verdict_outcome", sa.String(), nullable=True),
        sa.Column("verdict_reviewer", sa.String(), nullable=True),
        sa.Column("verdict_note", sa.Text(), nullable=True),
        sa.Column("verdict_at", UtcDateTime(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["decision_id"], ["decisions.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_cases_decision_id", "cases", ["decision_id"])
    op.create_index("ix_cases_queue", "cases", ["state", "rank", "opened_at", "id"])
    op.create_index("ix_cases_lease", "cases", ["state", "lease_expires_at"])


def _audit() -> None:
    op.create_table(
        "audit_outbox",
        sa.Column("position", _COUNTER, autoincrement=True, nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("event_id"),
    )
    op.create_table(
        "audit_entries",
        sa.Column("seq", _COUNTER, autoincrement=False, nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("prev", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("event_id"),
        sa.UniqueConstraint("prev"),
        sa.UniqueConstraint("hash"),
    )
    head = op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.bulk_insert(head, [{"id": 1, "seq": 0, "hash": _GENESIS_HASH}])


def _rulesets() -> None:
    op.create_table(
        "keyword_lists",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", "name"),
    )
    op.create_table(
        "rulesets",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("policy_digest", sa.String(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("lists", sa.Text(), nullable=False),
        sa.Column("first_activated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_table(
        "ruleset_activations",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("ruleset_digest", sa.String(), nullable=False),
        sa.Column("activated_at", UtcDateTime(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["ruleset_digest"], ["rulesets.digest"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_ruleset_activations_activated_at", "ruleset_activations", ["activated_at"])


def downgrade() -> None:
    for table in (
        "job_ticks",
        "ruleset_activations",
        "rulesets",
        "keyword_lists",
        "audit_head",
        "audit_entries",
        "audit_outbox",
        "cases",
        "decisions",
        "pictures",
    ):
        op.drop_table(table)
