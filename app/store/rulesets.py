"""Every ruleset that ever decided, and when it began to."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.domain import DEFAULT_VIEWS, AuditEvent, KeywordList, Severity, TermOptions, TextSource, new_id
from app.errors import NotFound, StoreUnavailable
from app.store.dialects import insert, known_id
from app.store.outbox import put_events
from app.store.session import Database
from app.store.tables import ActivationRow, KeywordListRow, RulesetRow

_OPTIONS = TypeAdapter(TermOptions)


@dataclass(frozen=True, slots=True)
class StoredRuleset:
    """`policy` is the YAML text; policy and lists together are what `digest` names."""

    digest: str
    policy_digest: str
    policy: str
    lists: tuple[KeywordList, ...]
    first_activated_at: datetime


@dataclass(frozen=True, slots=True)
class Activation:
    """`source` says what activated it, such as `start` or `file`."""

    ruleset_digest: str
    activated_at: datetime
    source: str


class SqlRulesets:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(
        self,
        digest: str,
        policy_digest: str,
        policy_text: str,
        lists: Sequence[KeywordList],
        *,
        source: str,
        at: datetime,
        events: Sequence[AuditEvent] = (),
    ) -> bool:
        """Keep the ruleset, and its activation with the events in one transaction.

        False, with nothing activated and no event written, when it is the one that is active already: a restart
        activates nothing. Raises StoreUnavailable.
        """
        async with self._database.writing() as session:
            kept = RulesetRow(
                digest=digest,
                policy_digest=policy_digest,
                policy=policy_text,
                lists=json.dumps({keyword_list.name: keyword_list.digest for keyword_list in lists}),
                first_activated_at=at,
            )
            await _keep(session, kept, lists)
            # Two nodes that read the same edit at once take turns here, and the second finds it active.
            await session.exec(select(RulesetRow.digest).where(RulesetRow.digest == digest).with_for_update())
            newest = await _newest(session)
            if newest is not None and newest.ruleset_digest == digest:
                return False
            session.add(ActivationRow(id=new_id("act"), ruleset_digest=digest, activated_at=at, source=source))
            await put_events(session, events)
            return True

    async def active(self) -> Activation | None:
        """The newest activation."""
        async with self._database.reading() as session:
            newest = await _newest(session)
        return None if newest is None else Activation(newest.ruleset_digest, newest.activated_at, newest.source)

    async def find(self, digest: str) -> StoredRuleset:
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
        return StoredRuleset(row.digest, row.policy_digest, row.policy, lists, row.first_activated_at)


async def _keep(session: AsyncSession, ruleset: RulesetRow, lists: Sequence[KeywordList]) -> None:
    for keyword_list in lists:
        values = {"digest": keyword_list.digest, "name": keyword_list.name, "content": _content(keyword_list)}
        await session.exec(insert(session, KeywordListRow).values(values).on_conflict_do_nothing())
    await session.exec(insert(session, RulesetRow).values(ruleset.model_dump()).on_conflict_do_nothing())


async def _newest(session: AsyncSession) -> ActivationRow | None:
    query = select(ActivationRow).order_by(col(ActivationRow.activated_at).desc(), col(ActivationRow.id).desc())
    return (await session.exec(query.limit(1))).first()


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
