"""Migrations on databases that were filled before. 0002: old activations get an order, an author, and a last file
content. 0004: old cases are reviews. 0005: old decisions have their categories."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, text

from app.domain import ActivationSource, CaseKind, Change, Outcome, RulesetText
from app.store import Database, SqlCaseStore, SqlRetention, SqlRulesets
from app.store.migrate import config
from tests.store import samples
from tests.store.databases import PostgresServer, SqliteServer, opened

#: (id, ruleset, minutes after noon): written out of order, two of them at the same moment, as two nodes did.
_OLD = [
    ("act_c", "sha256:two", 5),
    ("act_a", "sha256:one", 0),
    ("act_e", "sha256:one", 9),
    ("act_d", "sha256:three", 5),
]


@pytest.fixture
def empty_url(server: SqliteServer | PostgresServer) -> str:
    return server.empty_url()


def _to(connection: Connection, revision: str) -> None:
    settings = config()
    settings.attributes["connection"] = connection
    command.upgrade(settings, revision)


async def _at_0001(database: Database, activations: Sequence[tuple[str, str, int]]) -> None:
    async with database.writing() as session:
        connection = await session.connection()
        await connection.run_sync(_to, "0001")
        for digest in ("sha256:one", "sha256:two", "sha256:three"):
            await connection.execute(
                text(
                    "INSERT INTO rulesets (digest, policy_digest, policy, lists, first_activated_at)"
                    " VALUES (:digest, :policy, '# 两', '{}', :at)"
                ),
                {"digest": digest, "policy": digest.replace("sha256:", "sha256:policy-"), "at": _moment(database, 0)},
            )
        for activation_id, digest, minute in activations:
            await connection.execute(
                text(
                    "INSERT INTO ruleset_activations (id, ruleset_digest, activated_at, source)"
                    " VALUES (:id, :digest, :at, :source)"
                ),
                {
                    "id": activation_id,
                    "digest": digest,
                    "at": _moment(database, minute),
                    "source": "start" if minute == 0 else "file",
                },
            )


def _moment(database: Database, minute: int) -> Any:
    """As 0001 wrote it: SQLite has times as text."""
    at: datetime = samples.NOON + timedelta(minutes=minute)
    return at.strftime("%Y-%m-%d %H:%M:%S.%f") if database.is_sqlite else at


async def test_old_activations_get_their_order_and_their_author(empty_url: str) -> None:
    async with opened(empty_url) as database:
        await _at_0001(database, _OLD)
        await database.start()
        history = await SqlRulesets(database).versions(limit=9)
        assert [(one.seq, one.digest) for one in history] == [
            (4, "sha256:one"),
            (3, "sha256:three"),
            (2, "sha256:two"),
            (1, "sha256:one"),
        ]
        assert {one.change.author for one in history} == {"system"}
        assert [one.change.forced for one in history] == [False] * 4
        assert history[0].change.at == samples.NOON + timedelta(minutes=9)
        assert history[-1].change.source is ActivationSource.START
        assert (await SqlRulesets(database).find("sha256:two")).policy == "# 两"


async def test_the_files_content_of_then_activates_nothing_and_a_new_one_does(empty_url: str) -> None:
    async with opened(empty_url) as database:
        await _at_0001(database, _OLD)
        await database.start()
        rulesets = SqlRulesets(database)
        assert not await _from_file(rulesets, "one"), "it is in force, and the files had it last"
        assert await _from_file(rulesets, "two")
        head = await rulesets.head()
        assert head is not None
        assert (head.seq, head.digest) == (5, "sha256:two")


async def test_a_database_without_activations_migrates_too(empty_url: str) -> None:
    async with opened(empty_url) as database:
        await _at_0001(database, [])
        await database.start()
        assert await SqlRulesets(database).head() is None
        assert await _from_file(SqlRulesets(database), "one")


async def _from_file(rulesets: SqlRulesets, name: str) -> bool:
    kept = RulesetText(f"sha256:{name}", f"sha256:policy-{name}", "# 两", ())
    change = Change(ActivationSource.FILE, "system", samples.NOON + timedelta(minutes=20))
    return await rulesets.activate(kept, change, after_seq=None, events=[]) is not None


async def _at(database: Database, revision: str, *, decisions: Sequence[tuple[str, str, str]]) -> None:
    """A database of that revision with a picture `aa` and decisions about it: (id, outcome, the decision as JSON)."""
    async with database.writing() as session:
        connection = await session.connection()
        await connection.run_sync(_to, revision)
        at = _moment(database, 0)
        await connection.execute(text("INSERT INTO pictures VALUES ('aa', 'image/png', 9, :at, :at, NULL)"), {"at": at})
        await connection.execute(
            text(
                "INSERT INTO decisions (id, created_at, outcome, degraded, key_id, image_sha256, ruleset_digest,"
                " media_type, decision, findings, context) VALUES"
                " (:id, :at, :outcome, :no, 'key', 'aa', 'sha256:one', 'image/png', :decision, '{}', '{}')"
            ),
            [
                {"id": decision_id, "at": at, "outcome": outcome, "no": False, "decision": decision}
                for decision_id, outcome, decision in decisions
            ],
        )


async def test_cases_from_before_there_were_samples_are_reviews(empty_url: str) -> None:
    async with opened(empty_url) as database:
        await _at(database, "0003", decisions=[("dec_1", "review", "{}")])
        async with database.writing() as session:
            await (await session.connection()).execute(
                text(
                    "INSERT INTO cases (id, decision_id, state, rank, opened_at, version)"
                    " VALUES ('case_1', 'dec_1', 'open', -3, :at, 0)"
                ),
                {"at": _moment(database, 0)},
            )
        await database.start()
        case = await SqlCaseStore(database).find("case_1")
        assert (case.kind, case.decision_id) == (CaseKind.REVIEW, "dec_1")


async def test_decisions_from_before_there_was_retention_have_their_categories(empty_url: str) -> None:
    """More of them than are read at once."""
    kinds: list[list[str]] = [["goods"], [], ["goods", "violence"], ["violence"]]
    found = {f"dec_{number:04}": kinds[number % len(kinds)] for number in range(2100)}
    as_json = [
        samples.decision(outcome=Outcome.REJECT, categories=categories * 2).model_dump_json() for categories in kinds
    ]
    decisions = [(one, "reject", as_json[number % len(kinds)]) for number, one in enumerate(found)]
    async with opened(empty_url) as database:
        await _at(database, "0004", decisions=decisions)
        await database.start()
        keeping, now = samples.keeping(violence=30, rejected=3), samples.NOON + timedelta(days=31)
        expired, _ = await SqlRetention(database).expired_evidence(
            keeping, now=now, seen_before=now, after=None, limit=1
        )
        assert [(one.sha256, one.rule) for one in expired] == [("aa", "violence")]
        async with database.reading() as session:
            query = text("SELECT decision_id, category FROM decision_categories ORDER BY decision_id, category")
            rows = (await (await session.connection()).execute(query)).all()
        assert [tuple(row) for row in rows] == [(one, name) for one, names in found.items() for name in names]
