import asyncio
from collections.abc import Sequence

import pytest
from sqlalchemy import text

from app.audit.chain import GENESIS, ChainFault, event_of, link
from app.domain import AuditEvent
from app.errors import AuditBroken
from app.store import Database, SqlAuditLog
from tests.store import samples
from tests.store.databases import opened


@pytest.fixture
def log(database: Database) -> SqlAuditLog:
    return SqlAuditLog(database)


async def _sealed(log: SqlAuditLog, count: int) -> list[AuditEvent]:
    events = [samples.event(f"dec_{number}", n=number) for number in range(count)]
    await log.append(events)
    while await log.seal(limit=100):
        pass
    return events


async def _tamper(database: Database, statement: str, **values: object) -> None:
    async with database.writing() as session:
        await (await session.connection()).execute(text(statement), values)


async def test_events_are_sealed_in_order_without_gaps(log: SqlAuditLog) -> None:
    events = await _sealed(log, 7)

    entries = await log.entries(limit=100)
    assert [entry.seq for entry in entries] == [1, 2, 3, 4, 5, 6, 7]
    assert [event_of(entry) for entry in entries] == events
    assert await log.head() == entries[-1].point
    assert await log.pending() == 0
    report = await log.verify()
    assert (report.checked, report.sound) == (7, True)


async def test_sealing_goes_in_batches(log: SqlAuditLog) -> None:
    await log.append([samples.event() for _ in range(5)])

    assert [await log.seal(limit=2) for _ in range(4)] == [2, 2, 1, 0]
    assert await log.entries(after_seq=3, limit=1) == (await log.entries(limit=10))[3:4]


async def test_nothing_to_append_is_fine(log: SqlAuditLog) -> None:
    await log.append([])

    assert await log.seal(limit=10) == 0


async def test_an_event_that_is_appended_again_is_sealed_once(log: SqlAuditLog) -> None:
    event = samples.event()
    await log.append([event])
    await log.append([event])
    assert await log.pending() == 1
    await log.seal(limit=10)

    await log.append([event, samples.event()])

    assert await log.seal(limit=10) == 2
    assert len(await log.entries(limit=10)) == 2
    assert await log.pending() == 0
    assert (await log.verify()).sound


async def test_two_sealers_at_once_make_one_chain(url: str) -> None:
    async with opened(url) as one, opened(url) as other:
        logs = [SqlAuditLog(one), SqlAuditLog(other)]

        async def keep_sealing(log: SqlAuditLog) -> int:
            sealed = 0
            while taken := await log.seal(limit=3):
                sealed += taken
            return sealed

        for _ in range(3):
            await logs[0].append([samples.event() for _ in range(20)])
            assert sum(await asyncio.gather(*(keep_sealing(log) for log in logs))) == 20

        assert [entry.seq for entry in await logs[0].entries(limit=100)] == list(range(1, 61))
        assert (await logs[1].verify()).sound


async def test_appending_sealing_and_verifying_at_once(url: str) -> None:
    async with opened(url) as one, opened(url) as other:
        writer, sealer = SqlAuditLog(one), SqlAuditLog(other)

        async def append() -> None:
            for _ in range(15):
                await writer.append([samples.event()])

        async def seal() -> None:
            while len(await sealer.entries(limit=100)) < 15:
                await sealer.seal(limit=4)
                assert (await writer.verify()).sound

        await asyncio.gather(append(), seal())


async def test_a_sealer_that_dies_on_the_way_leaves_everything_waiting(
    database: Database, log: SqlAuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _sealed(log, 2)
    await log.append([samples.event() for _ in range(3)])

    async def die(session: object, entries: Sequence[object], event_ids: Sequence[str]) -> None:
        await original(session, entries, event_ids)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    from app.store import audit  # noqa: PLC0415

    original = audit._write
    with monkeypatch.context() as patch:
        patch.setattr(audit, "_write", die)
        with pytest.raises(KeyboardInterrupt):
            await log.seal(limit=10)

    assert await log.pending() == 3
    assert await log.seal(limit=10) == 3
    assert [entry.seq for entry in await log.entries(limit=10)] == [1, 2, 3, 4, 5]
    assert (await log.verify()).sound


@pytest.mark.parametrize(
    ("statement", "fault", "seq"),
    [
        ("UPDATE audit_entries SET body = :other WHERE seq = 3", ChainFault.ALTERED, 3),
        ("UPDATE audit_entries SET hash = :other WHERE seq = 3", ChainFault.ALTERED, 3),
        ("UPDATE audit_entries SET prev = :other WHERE seq = 1", ChainFault.ALTERED, 1),
        ("UPDATE audit_entries SET body = 'text, not bytes' WHERE seq = 2", ChainFault.ALTERED, 2),
        ("UPDATE audit_entries SET hash = 'text, not bytes' WHERE seq = 2", ChainFault.ALTERED, 2),
        ("DELETE FROM audit_entries WHERE seq = 2", ChainFault.MISSING, 2),
        ("DELETE FROM audit_entries WHERE seq = 1", ChainFault.MISSING, 1),
        ("DELETE FROM audit_entries WHERE seq >= 4", ChainFault.TRUNCATED, 4),
        ("DELETE FROM audit_entries", ChainFault.TRUNCATED, 1),
        ("UPDATE audit_entries SET seq = 0 WHERE seq = 3", ChainFault.REORDERED, 0),
        ("UPDATE audit_entries SET seq = 99 WHERE seq = 3", ChainFault.MISSING, 3),
        ("UPDATE audit_head SET seq = 3", ChainFault.FORGED, 4),
        ("UPDATE audit_head SET hash = :other", ChainFault.FORGED, 5),
        ("UPDATE audit_head SET hash = 'text, not bytes'", ChainFault.FORGED, 5),
        ("UPDATE audit_head SET seq = 6", ChainFault.TRUNCATED, 6),
        ("DELETE FROM audit_head", ChainFault.FORGED, 5),
    ],
)
async def test_tampering_is_named(
    database: Database, log: SqlAuditLog, statement: str, fault: ChainFault, seq: int
) -> None:
    await _sealed(log, 5)
    await _tamper(database, statement, **({"other": b"\x01" * 32} if ":other" in statement else {}))

    problem = (await log.verify()).problem

    assert problem is not None
    assert (problem.fault, problem.seq) == (fault, seq)


async def test_two_entries_that_changed_places_are_named(database: Database, log: SqlAuditLog) -> None:
    await _sealed(log, 5)
    for old, new in ((2, 98), (4, 2), (98, 4)):
        await _tamper(database, "UPDATE audit_entries SET seq = :new WHERE seq = :old", old=old, new=new)

    problem = (await log.verify()).problem

    assert problem is not None
    assert (problem.fault, problem.seq) == (ChainFault.REORDERED, 2)


async def test_a_rewritten_entry_with_a_fitting_hash_is_named(database: Database, log: SqlAuditLog) -> None:
    await _sealed(log, 5)
    third = (await log.entries(limit=5))[2]
    forged = link(third.prev, 3, samples.event("dec_other"))
    await _tamper(
        database,
        "UPDATE audit_entries SET body = :body, hash = :hash WHERE seq = 3",
        body=forged.body,
        hash=forged.hash,
    )

    problem = (await log.verify()).problem

    assert problem is not None
    assert (problem.fault, problem.seq) == (ChainFault.FORGED, 3)


async def test_a_fault_after_the_first_batch_is_found(database: Database, log: SqlAuditLog) -> None:
    await _sealed(log, 1203)
    assert (await log.verify()).checked == 1203
    await _tamper(database, "UPDATE audit_entries SET body = :other WHERE seq = 1100", other=b"{}")

    report = await log.verify()

    assert report.checked == 1099
    assert report.problem is not None
    assert report.problem.seq == 1100


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM audit_entries WHERE seq = 5",
        "DELETE FROM audit_head",
        "UPDATE audit_head SET seq = 4",
        "UPDATE audit_entries SET hash = 'text' WHERE seq = 5",
        "UPDATE audit_outbox SET event = '{}'",
    ],
)
async def test_nothing_is_sealed_onto_a_broken_end(database: Database, log: SqlAuditLog, statement: str) -> None:
    await _sealed(log, 5)
    await log.append([samples.event()])
    await _tamper(database, statement)

    with pytest.raises(AuditBroken):
        await log.seal(limit=10)

    assert await log.pending() == 1


async def test_a_head_that_is_gone_is_an_error(database: Database, log: SqlAuditLog) -> None:
    assert await log.head() == GENESIS
    await _tamper(database, "DELETE FROM audit_head")

    with pytest.raises(AuditBroken):
        await log.head()
