"""The console says what a policy deletes where it is put in force, before it is."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import update

from app.domain import Outcome
from app.errors import StoreUnavailable
from app.store import SqlRetention
from app.store.tables import RulesetRow
from tests.http.rig import POLICY, Rig
from tests.http.test_retention import SHORTER
from tests.store import samples
from tests.web.test_backtests import get, page_of, run

_DELETED = "1 stored picture that would be kept is deleted"


@pytest.fixture
async def stored(rig: Rig) -> Rig:
    record = samples.record(outcome=Outcome.REJECT, at=datetime.now(UTC) - timedelta(days=10))
    await rig.decisions.record(record, [], None)
    return rig


def before_the_button(shown: str, button: str) -> str:
    form = shown[: shown.index(f">{button}</button>")]
    return re.sub(r"<[^>]+>", "", form[max(0, form.rindex("<form") - 2000) :])


async def test_the_page_of_a_backtest(stored: Rig) -> None:
    done = await run(stored, policy=SHORTER)
    shown = await get(stored, page_of(done))
    assert _DELETED in before_the_button(shown, "Put it in force")
    assert "<code>defaults.retention.rejected_days</code>" in shown
    assert not re.search(r"\sstyle=|<style|\son[a-z]+=|javascript:", shown)

    unchanged = await get(stored, page_of(await run(stored, policy=POLICY + "# a remark\n")))
    assert "is deleted" not in unchanged


async def test_the_page_of_a_version_and_the_policy_page_while_it_is_pending(stored: Rig) -> None:
    first = stored.ruleset.current.digest
    assert "is deleted" not in await get(stored, "/policy")
    done = await stored.ruleset.put(SHORTER.encode(), expected=None, author="key-policy", why=None)
    assert _DELETED in re.sub(r"<[^>]+>", "", await get(stored, "/policy"))

    await stored.ruleset.restore(first, author="key-policy", why=None)
    assert "is deleted" not in await get(stored, "/policy")
    shown = await get(stored, f"/policy/versions/{done.activation.digest}")
    assert _DELETED in before_the_button(shown, "Put this version in force")


async def test_a_policy_before_that_cannot_be_read_is_told_of(stored: Rig) -> None:
    async with stored.database.writing() as session:
        await session.exec(update(RulesetRow).values(policy="version: 0"))
    await stored.ruleset.put(SHORTER.encode(), expected=None, author="key-policy", why=None)
    assert "will delete cannot be counted" in re.sub(r"<[^>]+>", "", await get(stored, "/policy"))


async def test_the_shadow_policy_before_it_is_promoted(stored: Rig) -> None:
    await stored.shadow.put(SHORTER.encode(), author="key-policy", why=None)
    assert _DELETED in before_the_button(await get(stored, "/policy"), "Make it the live policy")


async def test_what_could_not_be_counted_is_said(stored: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("the database went away")

    done = await run(stored, policy=SHORTER)
    monkeypatch.setattr(SqlRetention, "expired_evidence", away)
    assert "they could not be counted" in before_the_button(await get(stored, page_of(done)), "Put it in force")
