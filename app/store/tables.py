"""The tables. What is searched is a column; the values themselves are kept as JSON text, exactly as they were given."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, String, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from app.store.types import UtcDateTime

#: SQLite counts up only what is called INTEGER; its integers have 64 bits anyway.
_Counter = BigInteger().with_variant(Integer, "sqlite")


class PictureRow(SQLModel, table=True):
    """A picture that decisions are about. `deleted_at` is set when retention removed its bytes."""

    __tablename__ = "pictures"
    #: Of those that are there: retention walks along it, past any number that are gone.
    __table_args__ = (
        Index(
            "ix_pictures_kept",
            "last_seen_at",
            "sha256",
            sqlite_where=text("deleted_at IS NULL"),
            postgresql_where=text("deleted_at IS NULL"),
        ),
    )

    sha256: str = Field(primary_key=True)
    media_type: str
    size_bytes: int
    first_seen_at: datetime = Field(sa_type=UtcDateTime)
    last_seen_at: datetime = Field(sa_type=UtcDateTime)
    deleted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class DecisionRow(SQLModel, table=True):
    """One decision. `decision`, `findings` and `context` are JSON text; the other columns are what is searched."""

    __tablename__ = "decisions"
    __table_args__ = (
        UniqueConstraint("key_id", "idempotency_key", name="uq_decisions_idempotency"),
        Index("ix_decisions_newest", "created_at", "id"),
        Index("ix_decisions_key_newest", "key_id", "created_at", "id"),
        Index("ix_decisions_outcome_newest", "outcome", "created_at", "id"),
    )

    id: str = Field(primary_key=True)
    created_at: datetime = Field(sa_type=UtcDateTime)
    outcome: str
    degraded: bool
    key_id: str
    image_sha256: str = Field(foreign_key="pictures.sha256", index=True)
    ruleset_digest: str = Field(index=True)
    supersedes: str | None = None
    media_type: str
    idempotency_key: str | None = None
    request_digest: str | None = None
    decision: str = Field(sa_type=Text)
    findings: str = Field(sa_type=Text)
    context: str = Field(sa_type=Text)


class DecisionCategoryRow(SQLModel, table=True):
    """A category that some violation of a decision is of. Retention asks for it, by today's policy."""

    __tablename__ = "decision_categories"

    decision_id: str = Field(
        sa_column=Column(String, ForeignKey("decisions.id", ondelete="CASCADE"), primary_key=True, nullable=False)
    )
    category: str = Field(primary_key=True)


class CaseRow(SQLModel, table=True):
    """One review case. `rank` is minus the priority, so that the queue's order is one ascending index."""

    __tablename__ = "cases"
    __table_args__ = (
        Index("ix_cases_queue", "state", "rank", "opened_at", "id"),
        Index("ix_cases_lease", "state", "lease_expires_at"),
    )

    id: str = Field(primary_key=True)
    decision_id: str = Field(foreign_key="decisions.id", index=True)
    kind: str
    state: str
    rank: int
    opened_at: datetime = Field(sa_type=UtcDateTime)
    claimed_by: str | None = None
    lease_expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    lapsed_from: str | None = None
    verdict_outcome: str | None = None
    verdict_reviewer: str | None = None
    verdict_note: str | None = Field(default=None, sa_type=Text)
    verdict_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    version: int


class OutboxRow(SQLModel, table=True):
    """An audit event that waits to be sealed. `position` gives a rough order and is no part of the chain."""

    __tablename__ = "audit_outbox"

    position: int | None = Field(default=None, sa_column=Column(_Counter, primary_key=True, autoincrement=True))
    event_id: str = Field(unique=True)
    event: str = Field(sa_type=Text)


class EntryRow(SQLModel, table=True):
    """One link of the chain. `body` is exactly what was hashed. The unique `prev` makes a fork impossible."""

    __tablename__ = "audit_entries"

    seq: int = Field(sa_column=Column(_Counter, primary_key=True, autoincrement=False))
    event_id: str = Field(unique=True)
    prev: bytes = Field(sa_column=Column(LargeBinary, nullable=False, unique=True))
    hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False, unique=True))
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class HeadRow(SQLModel, table=True):
    """The end of the chain, in its single row (`id` 1). Locking it is what makes sealers take turns."""

    __tablename__ = "audit_head"

    id: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    seq: int = Field(sa_type=BigInteger)
    hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class KeywordListRow(SQLModel, table=True):
    """A keyword list as some ruleset used it; `content` is JSON text."""

    __tablename__ = "keyword_lists"

    digest: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    content: str = Field(sa_type=Text)


class RulesetRow(SQLModel, table=True):
    """A ruleset that was active at some time. `lists` is JSON text: name to digest."""

    __tablename__ = "rulesets"

    digest: str = Field(primary_key=True)
    policy_digest: str
    policy: str = Field(sa_type=Text)
    lists: str = Field(sa_type=Text)
    first_activated_at: datetime = Field(sa_type=UtcDateTime)


class ActivationRow(SQLModel, table=True):
    """When which ruleset began to decide, and what made it so. Clocks of several nodes differ: `seq` is the order."""

    __tablename__ = "ruleset_activations"

    id: str = Field(primary_key=True)
    seq: int = Field(sa_column=Column(_Counter, nullable=False, unique=True))
    ruleset_digest: str = Field(foreign_key="rulesets.digest")
    activated_at: datetime = Field(sa_type=UtcDateTime, index=True)
    source: str
    author: str
    why: str | None = Field(default=None, sa_type=Text)
    forced: bool = False


class PolicyFileRow(SQLModel, table=True):
    """The ruleset that some node found in its files: the newest is the last file content that was brought here."""

    __tablename__ = "policy_files"

    seq: int = Field(sa_column=Column(_Counter, primary_key=True, autoincrement=False))
    ruleset_digest: str = Field(foreign_key="rulesets.digest")
    seen_at: datetime = Field(sa_type=UtcDateTime)


class ShadowPolicyRow(SQLModel, table=True):
    """A policy that was tried beside the live one, or (without text) that none is any more."""

    __tablename__ = "shadow_policies"

    seq: int = Field(sa_column=Column(_Counter, primary_key=True, autoincrement=False))
    policy_digest: str | None = None
    policy: str | None = Field(default=None, sa_type=Text)
    set_at: datetime = Field(sa_type=UtcDateTime)
    source: str
    author: str
    why: str | None = Field(default=None, sa_type=Text)


class ComparisonRow(SQLModel, table=True):
    """What was tried would have decided. `rules`, `fired` and `missing` are JSON lists, in order, so that equal ones
    are equal texts."""

    __tablename__ = "shadow_comparisons"
    __table_args__ = (Index("ix_shadow_comparisons_tried", "tried", "digest", "at"),)

    decision_id: str = Field(
        sa_column=Column(String, ForeignKey("decisions.id", ondelete="CASCADE"), primary_key=True, nullable=False)
    )
    tried: str = Field(primary_key=True)
    at: datetime = Field(sa_type=UtcDateTime)
    digest: str
    before: str
    after: str | None = None
    rules: str = Field(sa_type=Text)
    fired: str = Field(sa_type=Text)
    missing: str = Field(sa_type=Text)
    whole: bool


class TickRow(SQLModel, table=True):
    """A turn of a timed job that some node took."""

    __tablename__ = "job_ticks"

    job: str = Field(primary_key=True)
    slot: int = Field(sa_column=Column(_Counter, primary_key=True, autoincrement=False))
