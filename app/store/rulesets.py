"""Every ruleset that ever decided, when it began to, and who made it so. This is what all nodes agree on."""

import json
from collections.abc import Sequence
from datetime import datetime

from pydantic import TypeAdapter
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.domain import (
    DEFAULT_VIEWS,
    Activation,
    ActivationSource,
    AuditEvent,
    Change,
    KeywordList,
    RulesetText,
    Severity,
    TermOptions,
    TextSource,
    new_id,
)
from app.errors import NotFound, PolicyConflict, StoreUnavailable
from app.store.dialects import insert, known_id, take_turn
from app.store.outbox import put_events
from app.store.session import Database
from app.store.tables import ActivationRow, KeywordListRow, PolicyFileRow, RulesetRow

_OPTIONS = TypeAdapter(TermOptions)


#: PostgreSQL's lock that activations take turns at; any number that no other lock has.
_ACTIVATION_LOCK = 7_216_310_255

_FROM_FILES = frozenset({ActivationSource.START, ActivationSource.FILE})


class SqlRulesets:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def head(self) -> Activation | None:
        """The newest activation; None before the first."""
        async with self._database.reading() as session:
            found = await _history(session, limit=1)
        return found[0] if found else None

    async def versions(self, *, limit: int, before_seq: int | None = None) -> list[Activation]:
        """The history, the newest first."""
        async with self._database.reading() as session:
            return await _history(session, limit=limit, before_seq=before_seq)

    async def in_force_since(self, moment: datetime) -> list[Activation]:
        """What decided then, and all that was activated after that one, the newest last; all there ever were where none
        was before. The order is that of the activations: one made under a clock that was ahead has not taken effect
        before its time has come."""
        async with self._database.reading() as session:
            return (await _history(session, since=moment))[::-1]

    async def knows(self, digest: str) -> bool:
        """Whether the ruleset was ever active."""
        async with self._database.reading() as session:
            query = select(ActivationRow.seq).where(ActivationRow.ruleset_digest == known_id("ruleset", digest))
            return (await session.exec(query.limit(1))).first() is not None

    async def activate(
        self, ruleset: RulesetText, change: Change, *, after_seq: int | None, events: Sequence[AuditEvent]
    ) -> Activation | None:
        """Keep the ruleset, its activation and the events, in one transaction; None when nothing is to be done: it is
        active already, or it comes from a file whose content is the last one that any node brought here.

        With `after_seq`, only if that is still the newest activation. Raises PolicyConflict and StoreUnavailable.
        """
        async with self._database.writing() as session:
            await take_turn(session, _ACTIVATION_LOCK)
            newest = next(iter(await _history(session, limit=1)), None)
            if after_seq is not None and (newest.seq if newest else 0) != after_seq:
                raise PolicyConflict(
                    "another version was activated meanwhile", current=newest.policy_digest if newest else None
                )
            await _keep(session, ruleset, change)
            if change.source in _FROM_FILES and not await _note_file(session, ruleset.digest, change):
                return None
            if newest is not None and newest.digest == ruleset.digest:
                return None
            activation = Activation((newest.seq if newest else 0) + 1, ruleset.digest, ruleset.policy_digest, change)
            session.add(_row(activation))
            await put_events(session, events)
            return activation

    async def find(self, digest: str) -> RulesetText:
        """Raises NotFound."""
        known_id("ruleset", digest)
        async with self._database.reading() as session:
            row = (await session.exec(select(RulesetRow).where(RulesetRow.digest == digest))).first()
            if row is None:
                raise NotFound("there is no such ruleset")
            names: dict[str, str] = json.loads(row.lists)
            query = select(KeywordListRow).where(col(KeywordListRow.digest).in_(set(names.values())))
            kept = {(kept.name, kept.digest): kept for kept in (await session.exec(query)).all()}
        try:
            lists = tuple(_list(name, kept[name, list_digest]) for name, list_digest in names.items())
        except (KeyError, ValueError) as error:
            raise StoreUnavailable("a stored ruleset cannot be read by this version") from error
        return RulesetText(row.digest, row.policy_digest, row.policy, lists)


async def _history(
    session: AsyncSession, *, limit: int | None = None, before_seq: int | None = None, since: datetime | None = None
) -> list[Activation]:
    query = select(ActivationRow, RulesetRow.policy_digest).join(
        RulesetRow, col(RulesetRow.digest) == col(ActivationRow.ruleset_digest)
    )
    if before_seq is not None:
        query = query.where(ActivationRow.seq < before_seq)
    if since is not None:
        then = select(func.max(ActivationRow.seq)).where(ActivationRow.activated_at <= since).scalar_subquery()
        query = query.where(ActivationRow.seq >= func.coalesce(then, 0))
    rows = (await session.exec(query.order_by(col(ActivationRow.seq).desc()).limit(limit))).all()
    return [
        Activation(
            row.seq,
            row.ruleset_digest,
            policy_digest,
            Change(ActivationSource(row.source), row.author, row.activated_at, row.why, row.forced),
        )
        for row, policy_digest in rows
    ]


def _row(activation: Activation) -> ActivationRow:
    change = activation.change
    return ActivationRow(
        id=new_id("act"),
        seq=activation.seq,
        ruleset_digest=activation.digest,
        activated_at=change.at,
        source=change.source.value,
        author=change.author,
        why=change.why,
        forced=change.forced,
    )


async def _keep(session: AsyncSession, ruleset: RulesetText, change: Change) -> None:
    for keyword_list in ruleset.lists:
        values = {"digest": keyword_list.digest, "name": keyword_list.name, "content": _content(keyword_list)}
        await session.exec(insert(session, KeywordListRow).values(values).on_conflict_do_nothing())
    row = RulesetRow(
        digest=ruleset.digest,
        policy_digest=ruleset.policy_digest,
        policy=ruleset.policy,
        lists=json.dumps({keyword_list.name: keyword_list.digest for keyword_list in ruleset.lists}),
        first_activated_at=change.at,
    )
    await session.exec(insert(session, RulesetRow).values(row.model_dump()).on_conflict_do_nothing())


async def _note_file(session: AsyncSession, digest: str, change: Change) -> bool:
    """Whether this content is another than the last that came from a file."""
    last = (await session.exec(select(PolicyFileRow).order_by(col(PolicyFileRow.seq).desc()).limit(1))).first()
    if last is not None and last.ruleset_digest == digest:
        return False
    session.add(PolicyFileRow(seq=last.seq + 1 if last else 1, ruleset_digest=digest, seen_at=change.at))
    return True


def _content(keyword_list: KeywordList) -> str:
    return json.dumps(
        {
            "category": keyword_list.category,
            "severity": keyword_list.severity.value,
            "languages": keyword_list.languages,
            "sources": sorted(source.value for source in keyword_list.sources),
            "binding": keyword_list.binding,
            "terms": keyword_list.terms,
            "options": [
                [number, _OPTIONS.dump_python(options, mode="json")] for number, options in keyword_list.options
            ],
            "allow": keyword_list.allow,
            "views": keyword_list.views,
        }
    )


def _list(name: str, row: KeywordListRow) -> KeywordList:
    content = json.loads(row.content)
    return KeywordList(
        name=name,
        category=content["category"],
        severity=Severity(content["severity"]),
        languages=tuple(content["languages"]),
        sources=frozenset(TextSource(source) for source in content["sources"]),
        binding=content["binding"],
        terms=tuple(content["terms"]),
        digest=row.digest,
        options=tuple((number, _OPTIONS.validate_python(options)) for number, options in content.get("options", ())),
        allow=tuple(content.get("allow", ())),
        views=tuple((view, weight) for view, weight in content.get("views", DEFAULT_VIEWS)),
    )
