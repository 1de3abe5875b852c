"""The wall clock goes back, or forward and back: what is kept has an order of its own, or loses nothing by it."""

from datetime import timedelta

from app.audit.chain import event_of
from app.domain import ActivationSource, Change, RulesetText
from app.store import Database, SqlAuditLog, SqlDecisionStore, SqlRulesets
from tests.store import samples

#: An hour back; a day forward, and back again.
_TIMES = [samples.NOON + timedelta(minutes=minutes) for minutes in (0, 1, -59, -58, 1382, 1383, -56, -56)]


async def test_the_audit_chain_does_not_go_by_time(database: Database) -> None:
    log = SqlAuditLog(database)
    for at in _TIMES:
        await log.append([samples.event(at=at)])
        await log.seal(limit=1)

    assert [event_of(entry).at for entry in await log.entries(limit=100)] == _TIMES
    assert (await log.verify()).sound


async def test_the_last_activation_is_in_force_whenever_it_was(database: Database) -> None:
    rulesets = SqlRulesets(database)
    for number, at in enumerate(_TIMES):
        text = RulesetText(f"sha256:{number}", f"sha256:p{number}", "", ())
        await rulesets.activate(text, Change(ActivationSource.API, "ada", at), after_seq=number, events=[])
        head = await rulesets.head()
        assert head is not None
        assert (head.seq, head.digest) == (number + 1, f"sha256:{number}")
    assert [one.seq for one in await rulesets.versions(limit=100)] == list(range(len(_TIMES), 0, -1))


async def test_pages_lose_and_repeat_no_decision_that_was_there_when_they_began(database: Database) -> None:
    store, made = SqlDecisionStore(database), list[str]()
    for at in _TIMES[:5]:
        record = samples.record(at=at)
        await store.record(record, [], None)
        made.append(record.decision.id)

    seen, cursor, later = list[str](), None, iter(_TIMES[5:])
    while True:
        page, cursor = await store.page(limit=2, cursor=cursor)
        seen += [one.id for one in page]
        if cursor is None:
            break
        if (at := next(later, None)) is not None:
            await store.record(samples.record(at=at), [], None)
    assert len(seen) == len(set(seen))
    assert set(made) <= set(seen)
