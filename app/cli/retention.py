"""What `portcullis policy check` and `policy shadow promote` tell of the pictures that a service has kept."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from datetime import timedelta

from app.errors import PolicyInvalid, PortcullisError
from app.logs import configure_logs
from app.policy.live import LiveRuleset
from app.policy.retention_change import told
from app.policy.retention_terms import RetentionTerms
from app.policy.ruleset import Ruleset
from app.settings import Settings
from app.store import Database, SqlRetention, SqlRulesets
from app.store.urls import driver_url, sqlite_path


def told_of_stored(settings: Settings, candidate: Ruleset) -> Sequence[str]:
    """What the candidate would delete, or keep longer, than the policy in force; nothing where no service has kept
    anything, or nothing changes. A check of a policy does not fail for it."""
    configure_logs(level="error", as_json=settings.log_json)
    try:
        path = sqlite_path(driver_url(settings.database))
        if path is not None and not path.is_file():
            return ()
        return asyncio.run(_told(settings, candidate))
    except PortcullisError as fault:
        return _untold(fault)


async def told_of(settings: Settings, database: Database, live: LiveRuleset, candidate: Ruleset) -> Sequence[str]:
    """The same beside the policy in force, `live`. Raises nothing for what cannot be counted."""
    terms = RetentionTerms(
        live,
        SqlRetention(database),
        passed_if_silent=timedelta(hours=settings.keep_passed_hours),
        grace=timedelta(hours=settings.retention_grace_hours),
    )
    try:
        change = await terms.change(candidate)
    except PortcullisError as fault:
        return _untold(fault)
    return () if change is None else told(change)


async def _told(settings: Settings, candidate: Ruleset) -> Sequence[str]:
    async with aclosing(Database(settings.database)) as database:
        await database.start_as_is()
        live = LiveRuleset(settings.policy, settings.rules_dir, store=SqlRulesets(database))
        return await told_of(settings, database, live, candidate) if await live.follow() else ()


def _untold(fault: PortcullisError) -> Sequence[str]:
    said = "the policy in force cannot be read" if isinstance(fault, PolicyInvalid) else fault.detail
    return (f"what it would delete could not be counted: {said}",)
