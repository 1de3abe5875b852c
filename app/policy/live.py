"""The ruleset of the moment: files are watched, a good edit takes over, a bad one changes nothing."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import structlog
from watchfiles import awatch

from app.errors import PolicyInvalid, PolicyProblem, PortcullisError
from app.metrics import POLICY_ACTIVATIONS
from app.policy.lists import MAX_LIST_BYTES
from app.policy.load import load_ruleset
from app.policy.ruleset import Ruleset

log = structlog.get_logger(__name__)

#: File events are lost on network file systems and with some editors: contents are compared this often all the same.
POLL_INTERVAL_S = 3.0

#: Records the ruleset (say, in the store and the audit log) before it decides anything; the word is `start` or `file`.
OnActivate = Callable[[Ruleset, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class RulesetStatus:
    """`digest` is the ruleset in force. `problems` say why the newest content of the files is not it, since
    `failed_at`; empty when it is."""

    digest: str
    activated_at: datetime
    problems: tuple[PolicyProblem, ...] = ()
    failed_at: datetime | None = None


class LiveRuleset:
    """`current` and `status` are replaced, never changed: an upload that began under a ruleset ends under it."""

    current: Ruleset
    status: RulesetStatus

    def __init__(
        self,
        policy_path: Path,
        rules_dir: Path,
        *,
        on_activate: OnActivate,
        poll_interval_s: float = POLL_INTERVAL_S,
    ) -> None:
        self._policy_path = policy_path
        self._rules_dir = rules_dir
        self._on_activate = on_activate
        self._poll_interval_s = poll_interval_s
        self._settled: str | None = None
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        """Loads, records and puts in force. Raises PolicyInvalid, and whatever recording raises."""
        async with self._lock:
            fingerprint = await asyncio.to_thread(self._fingerprint)
            ruleset = await asyncio.to_thread(load_ruleset, self._policy_path, self._rules_dir)
            await self._on_activate(ruleset, "start")
            self._put_in_force(ruleset, fingerprint)

    async def watch(self) -> None:
        """Until it is cancelled: tries every new content of the files once, and again while recording it fails."""
        async with contextlib.aclosing(self._ticks()) as ticks:
            async for _ in ticks:
                try:
                    await self.reload()
                except Exception:  # the watch outlives anything that one edit can do to it
                    log.exception("policy could not be reloaded", action="policy_reload_failed")

    async def reload(self) -> bool:
        """Puts the files' content in force if it is new and good; whether it did. Otherwise the last good ruleset
        goes on and `status` says why."""
        async with self._lock:
            fingerprint = await asyncio.to_thread(self._fingerprint)
            if fingerprint == self._settled:
                return False
            try:
                ruleset = await asyncio.to_thread(load_ruleset, self._policy_path, self._rules_dir)
            except PolicyInvalid as invalid:
                ruleset, problems = None, invalid.problems
            if await asyncio.to_thread(self._fingerprint) != fingerprint:
                return False  # still being written: the next tick sees the rest
            if ruleset is None:
                self._reject("rejected", problems)
                self._settled = fingerprint
                return False
            return await self._activate(ruleset, fingerprint)

    async def _activate(self, ruleset: Ruleset, fingerprint: str) -> bool:
        """Records first: a ruleset that nobody could look up later must not decide. Until that works, every tick
        tries again."""
        if ruleset.digest == self.current.digest:
            self._settled = fingerprint
            self.status = replace(self.status, problems=(), failed_at=None)
            return False
        try:
            await self._on_activate(ruleset, "file")
        except Exception as fault:
            detail = fault.detail if isinstance(fault, PortcullisError) else type(fault).__name__
            message = f"the new ruleset is sound, but could not be recorded: {detail}"
            self._reject("not_recorded", (PolicyProblem(self._policy_path.name, 1, 1, message),), fault)
            return False
        self._put_in_force(ruleset, fingerprint)
        return True

    def _put_in_force(self, ruleset: Ruleset, fingerprint: str) -> None:
        self.current = ruleset
        self.status = RulesetStatus(ruleset.digest, datetime.now(UTC))
        self._settled = fingerprint
        POLICY_ACTIVATIONS.labels("activated").inc()
        log.info("ruleset is in force", action="policy_activated", ruleset=ruleset.digest)
        for warning in ruleset.warnings:
            log.warning("policy warning", action="policy_warning", file=warning.file, detail=warning.message)

    def _reject(self, result: str, problems: tuple[PolicyProblem, ...], fault: Exception | None = None) -> None:
        if problems == self.status.problems:
            return  # said already
        self.status = replace(self.status, problems=problems, failed_at=datetime.now(UTC))
        POLICY_ACTIVATIONS.labels(result).inc()
        log.error(
            "an edit was not activated; the last good ruleset goes on",
            action="policy_rejected",
            result=result,
            ruleset=self.current.digest,
            problems=[f"{one.file}:{one.line}:{one.column}: {one.message}" for one in problems],
            exc_info=fault,
        )

    async def _ticks(self) -> AsyncGenerator[None]:
        """A tick after each change in the two directories, and every poll interval. The directories are watched, not
        the files: an editor's rename and a ConfigMap's swap of links never touch the file that was there."""
        while True:
            try:
                changes = awatch(
                    self._policy_path.parent,
                    self._rules_dir,
                    watch_filter=None,
                    recursive=False,
                    rust_timeout=int(self._poll_interval_s * 1000),
                    yield_on_timeout=True,
                )
                async with contextlib.aclosing(changes):
                    async for _ in changes:
                        yield
            except Exception as fault:  # a directory that is not there, no inotify watches left: polling goes on
                log.warning("files cannot be watched", action="policy_watch_failed", error=str(fault))
            yield
            await asyncio.sleep(self._poll_interval_s)

    def _fingerprint(self) -> str:
        """Changes whenever what `load_ruleset` would read does."""
        try:
            lists = sorted(path for path in self._rules_dir.iterdir() if path.suffix.lower() == ".txt")
        except OSError:
            lists = []
        total = hashlib.sha256()
        for path in (self._policy_path, *lists):
            total.update(f"{path.name}\0{_content_digest(path)}\0".encode("utf-8", "surrogateescape"))
        return total.hexdigest()


def _content_digest(path: Path) -> str:
    """Of a file's beginning, as far as it would be read. A pipe would be waited on for ever."""
    try:
        if not path.is_file():
            return "not a file"
        with path.open("rb") as file:
            return hashlib.sha256(file.read(MAX_LIST_BYTES + 1)).hexdigest()
    except OSError as fault:
        return f"unreadable: {fault.errno}"
