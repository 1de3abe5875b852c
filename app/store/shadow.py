"""The shadow policy on which all nodes agree, and what it would have decided."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func
from sqlalchemy import select as select_columns
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.domain import ActivationSource, AuditEvent, Change, Comparison, ComparisonGroup, Outcome, ShadowText, Tried
from app.store.dialects import insert, take_turn
from app.store.outbox import put_events
from app.store.session import Database
from app.store.tables import ComparisonRow, DecisionRow, ShadowPolicyRow

#: PostgreSQL's lock that changes of the shadow policy take turns at; any number that no other lock has.
_SHADOW_LOCK = 7_216_310_256

_FROM_FILES = frozenset({ActivationSource.START, ActivationSource.FILE})
_Row: Any = ComparisonRow
_SAME = (_Row.before, _Row.after, _Row.rules, _Row.fired, _Row.missing, _Row.whole)


class SqlShadow:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def head(self) -> ShadowText | None:
        """The newest entry, which may say that there is no shadow policy; None before the first."""
        async with self._database.reading() as session:
            row = await _newest(session)
        return None if row is None else _text(row)

    async def knows(self, policy_digest: str) -> bool:
        """Whether the policy was ever the shadow policy."""
        query = select(ShadowPolicyRow.seq).where(ShadowPolicyRow.policy_digest == policy_digest).limit(1)
        async with self._database.reading() as session:
            return (await session.exec(query)).first() is not None

    async def change(
        self,
        policy_digest: str | None,
        policy: str | None,
        change: Change,
        *,
        events: Sequence[AuditEvent],
        after_seq: int | None = None,
    ) -> ShadowText | None:
        """Add an entry with its events, in one transaction; None when nothing is to be done: it says what the newest
        one says, or it comes from a file that said so last time. With `after_seq`, only if that is still the newest."""
        async with self._database.writing() as session:
            await take_turn(session, _SHADOW_LOCK)
            newest = await _newest(session)
            seq = newest.seq if newest else 0
            if after_seq is not None and seq != after_seq:
                return None
            if change.source in _FROM_FILES:
                same = await _newest(session, from_files=True)
            else:
                same = newest
            if (same.policy_digest if same else None) == policy_digest:
                return None
            entry = ShadowText(seq + 1, policy_digest, policy, change)
            session.add(_row(entry))
            await put_events(session, events)
            return entry

    async def record(self, comparisons: Sequence[Comparison]) -> None:
        """Those of a decision that was compared already are left as they are. Raises StoreUnavailable."""
        if not comparisons:
            return
        async with self._database.writing() as session:
            statement = insert(session, ComparisonRow).values([_columns(one) for one in comparisons])
            await session.exec(statement.on_conflict_do_nothing(index_elements=["decision_id", "tried"]))

    async def comparisons(self, tried: Tried, digest: str, *, since: datetime) -> list[ComparisonGroup]:
        """Those of decisions made from then on, counted."""
        query = (
            select_columns(*_SAME, func.count(), func.min(_Row.decision_id), func.max(_Row.decision_id))
            .add_columns(func.min(_Row.at), func.max(_Row.at))
            .where(_Row.tried == tried.value, _Row.digest == digest, _Row.at >= since)
            .group_by(*_SAME)
        )
        async with self._database.reading() as session:
            rows = (await (await session.connection()).execute(query)).all()
        return [_group(row) for row in rows]

    async def decided(self, *, since: datetime) -> int:
        """How many decisions were made from then on."""
        query = select_columns(func.count()).select_from(DecisionRow).where(col(DecisionRow.created_at) >= since)
        async with self._database.reading() as session:
            return int((await (await session.connection()).execute(query)).scalar_one())


async def _newest(session: AsyncSession, *, from_files: bool = False) -> ShadowPolicyRow | None:
    query = select(ShadowPolicyRow).order_by(col(ShadowPolicyRow.seq).desc()).limit(1)
    if from_files:
        query = query.where(col(ShadowPolicyRow.source).in_([source.value for source in _FROM_FILES]))
    return (await session.exec(query)).first()


def _text(row: ShadowPolicyRow) -> ShadowText:
    change = Change(ActivationSource(row.source), row.author, row.set_at, row.why)
    return ShadowText(row.seq, row.policy_digest, row.policy, change)


def _row(entry: ShadowText) -> ShadowPolicyRow:
    change = entry.change
    return ShadowPolicyRow(
        seq=entry.seq,
        policy_digest=entry.policy_digest,
        policy=entry.policy,
        set_at=change.at,
        source=change.source.value,
        author=change.author,
        why=change.why,
    )


def _columns(one: Comparison) -> dict[str, Any]:
    return {
        "decision_id": one.decision_id,
        "tried": one.tried.value,
        "at": one.at,
        "digest": one.digest,
        "before": one.before.value,
        "after": None if one.after is None else one.after.value,
        "rules": json.dumps(sorted(one.rules)),
        "fired": json.dumps(sorted(one.fired)),
        "missing": json.dumps(sorted(one.missing)),
        "whole": one.whole,
    }


def _group(row: Any) -> ComparisonGroup:
    before, after, rules, fired, missing, whole, count, *examples, first_at, last_at = row
    return ComparisonGroup(
        before=Outcome(before),
        after=None if after is None else Outcome(after),
        rules=tuple(json.loads(rules)),
        fired=tuple(json.loads(fired)),
        missing=tuple(json.loads(missing)),
        whole=whole,
        count=count,
        examples=tuple(dict.fromkeys(examples)),
        first_at=first_at,
        last_at=last_at,
    )
