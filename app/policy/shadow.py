"""The policy that is tried beside the live one. It decides nothing, so nothing about it may stop what does.

As of the live one, the store is the authority, and the file and the API are two doors to it. The file, if there is one,
is `policies.shadow.yaml` beside `policies.yaml`. Its content counts when it changes, or is new at a start.
"""

import asyncio
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import structlog

from app.domain import ActivationSource, AuditEvent, Change, ShadowText, new_id
from app.errors import NotFound, PolicyConflict, PolicyInvalid, PolicyProblem, PortcullisError, StoreUnavailable
from app.media_inline import InlineWorkers
from app.policy.building import Builder, Making
from app.policy.candidate import Candidate
from app.policy.live import FOLLOW_INTERVAL_S, LiveRuleset
from app.policy.ports import ShadowStore
from app.policy.regular import read_regular
from app.policy.ruleset import Ruleset
from app.policy.standing import Replaced
from app.policy.yaml_text import MAX_BYTES
from app.workers import Workers

log = structlog.get_logger(__name__)

_FILES_AUTHOR = "system"


@dataclass(frozen=True, slots=True)
class ShadowStatus:
    """`entry` is what the store says; None where there is no shadow policy. `problems` say why it cannot be tried with
    the lists of the moment, `file_problems` why the newest content of the file is not it."""

    entry: ShadowText | None = None
    problems: tuple[PolicyProblem, ...] = ()
    file_problems: tuple[PolicyProblem, ...] = ()


def shadow_path(policy_path: Path) -> Path:
    """`policies.shadow.yaml` of `policies.yaml`."""
    return policy_path.with_name(f"{policy_path.stem}.shadow.yaml")


class ShadowPolicy:
    """`current` is the shadow policy with the lists of the live one, None where there is none or it is of no use. As of
    the live one, the `workers` check it, and `beside` a service the file is no door."""

    current: Ruleset | None
    status: ShadowStatus

    def __init__(
        self,
        path: Path,
        live: LiveRuleset,
        *,
        store: ShadowStore,
        workers: Workers | None = None,
        making: Making = nullcontext,
        beside: bool = False,
        follow_interval_s: float = FOLLOW_INTERVAL_S,
    ) -> None:
        self.current = None
        self.status = ShadowStatus()
        self._path = path
        self._live = live
        self._store = store
        self._builder = Builder(workers or InlineWorkers(), making=making)
        self._beside = beside
        self._follow_interval_s = follow_interval_s
        self._settled: bytes | None = None
        #: What `current` was made of: the entry's number, and the lists by name and digest.
        self._made_of: tuple[int, tuple[tuple[str, str], ...]] | None = None
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        """Takes up what the store says, or the file where it is new to it. Whatever is wrong waits for `watch`."""
        try:
            async with self._lock:
                data = await self._read()
                found = None if data is None else await self._checked(data)
                if found is not None and not await self._store.knows(found.policy_digest):
                    await self._set(found, self._by_file(ActivationSource.START))
                self._settled = data
                await self._follow()
        except Exception as fault:  # uploads are decided without it
            log.warning("the shadow policy waits", action="shadow_postponed", error=_said(fault))

    async def watch(self) -> None:
        """Until it is cancelled: follows the file, the store, and the lists of the live ruleset."""
        failing = False
        while True:
            await asyncio.sleep(self._follow_interval_s)
            try:
                await self.reload()
                await self.follow()
                failing = False
            except Exception as fault:  # the store may be back at the next look
                if not failing:
                    log.warning("the shadow policy cannot be followed", action="shadow_failed", error=_said(fault))
                failing = True

    async def follow(self) -> bool:
        """Takes up what the store says, with the lists of the moment; whether that is anything new. Raises
        StoreUnavailable and WorkerError."""
        async with self._lock:
            return await self._follow()

    async def reload(self) -> bool:
        """Takes up the file's content if it changed; whether it was. A file that is taken away takes its policy along.
        Raises StoreUnavailable and WorkerError; then the next call tries again."""
        async with self._lock:
            data = await self._read()
            if data == self._settled:
                return False
            changed = await self._taken_away() if data is None else await self._changed_to(data)
            self._settled = data
            return changed

    async def look_at_file(self) -> tuple[PolicyProblem, ...]:
        """What is wrong with the file at the moment, which is not taken up. Raises WorkerError."""
        try:
            await self._build(await asyncio.to_thread(read_regular, self._path, MAX_BYTES + 1), self._path)
        except FileNotFoundError:
            return ()
        except OSError as fault:
            return (self._unreadable(fault),)
        except PolicyInvalid as invalid:
            return invalid.problems
        return ()

    async def put(self, policy: bytes, *, author: str, why: str | None, file: Path | None = None) -> ShadowText:
        """Try this policy from now on, in place of the one that is tried. Problems are told of the `file` it was read
        from, and what it includes is read from beside that; without it, the text brings everything along. Raises
        PolicyInvalid with every problem, StoreUnavailable and WorkerError."""
        async with self._lock:
            ruleset = await self._build(policy, file)
            await self._set(ruleset, Change(ActivationSource.API, author, datetime.now(UTC), why))
            await self._follow()
            return self._entry()

    async def remove(self, *, author: str, why: str | None) -> None:
        """Try nothing any more. Raises NotFound when there is no shadow policy, and StoreUnavailable."""
        async with self._lock:
            await self._follow()
            entry = self._entry()
            await self._remove(entry, Change(ActivationSource.API, author, datetime.now(UTC), why))

    async def promote(
        self, *, expected: str | None, shadow: str | None, author: str, why: str | None, force: bool = False
    ) -> Replaced:
        """Make the shadow policy the live one, and try nothing any more. `expected` and `force` are as of
        `LiveRuleset.put`; `shadow` is the digest of the policy that is meant, None for whatever is tried now. Raises
        what `put` raises, PolicyConflict when another is tried by now, and NotFound when none is."""
        async with self._lock:
            await self._follow()
            entry = self._entry()
            if shadow is not None and shadow != entry.policy_digest:
                raise PolicyConflict("another policy is tried by now: look at it first", current=entry.policy_digest)
            policy = (entry.policy or "").encode()
            done = await self._live.put(policy, expected=expected, author=author, why=why, force=force)
            try:
                await self._remove(entry, Change(ActivationSource.API, author, datetime.now(UTC), "it is live now"))
            except StoreUnavailable:  # it decides all the same, and is tried beside itself until it is taken away
                log.warning("a live policy is still tried", action="shadow_left", policy=entry.policy_digest)
            return done

    def _entry(self) -> ShadowText:
        if self.status.entry is None:
            raise NotFound("there is no shadow policy")
        return self.status.entry

    async def _follow(self) -> bool:
        head = await self._store.head()
        made_of = head.seq if head else 0, tuple((one.name, one.digest) for one in self._live.current.lists)
        if made_of == self._made_of:
            return False
        entry = head if head is not None and head.policy is not None else None
        before = self.status.entry
        found, problems = await self._rebuilt(entry)
        self.current, self._made_of = found, made_of
        self.status = replace(self.status, entry=entry, problems=problems)
        if entry is not None:
            policy = entry.policy_digest
            log.info("another policy is tried", action="shadow_followed", policy=policy, usable=not problems)
        elif before is not None:
            log.info("no policy is tried any more", action="shadow_followed", policy=None)
        return True

    async def _rebuilt(self, entry: ShadowText | None) -> tuple[Ruleset | None, tuple[PolicyProblem, ...]]:
        if entry is None or entry.policy is None:
            return None, ()
        try:
            return await self._build(entry.policy.encode()), ()
        except PolicyInvalid as invalid:
            return None, invalid.problems

    async def _build(self, policy: bytes, file: Path | None = None) -> Ruleset:
        """`file` is where the policy stands, where it is one; what it includes is read from beside it."""
        name, folder = (self._path.name, None) if file is None else (file.name, file.parent)
        candidate = Candidate(policy, self._live.current.lists, file=name, folder=folder)
        return (await self._builder.build(candidate)).ruleset

    async def _read(self) -> bytes | None:
        """The file's beginning, as far as a policy may be long; None without a file, or where it is no door."""
        if self._beside:
            return None
        try:
            return await asyncio.to_thread(read_regular, self._path, MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as fault:
            self._reject((self._unreadable(fault),))
            return self._settled

    def _unreadable(self, fault: OSError) -> PolicyProblem:
        return PolicyProblem(self._path.name, 1, 1, f"cannot be read: {fault.strerror or fault}")

    async def _checked(self, data: bytes) -> Ruleset | None:
        """The policy in the file; None, and said once, where there is something wrong with it."""
        try:
            ruleset = await self._build(data, self._path)
        except PolicyInvalid as invalid:
            self._reject(invalid.problems)
            return None
        self.status = replace(self.status, file_problems=())
        return ruleset

    def _reject(self, problems: tuple[PolicyProblem, ...]) -> None:
        if problems == self.status.file_problems:
            return  # said already
        self.status = replace(self.status, file_problems=problems)
        where = [f"{one.file}:{one.line}:{one.column}: {one.message}" for one in problems]
        log.error("the shadow policy's file is not taken up", action="shadow_rejected", problems=where)

    async def _changed_to(self, data: bytes) -> bool:
        found = await self._checked(data)
        return found is not None and await self._set(found, self._by_file(ActivationSource.FILE))

    async def _taken_away(self) -> bool:
        """Its policy goes along, unless another door has put one in its place."""
        self.status = replace(self.status, file_problems=())
        entry = await self._store.head()
        if entry is None or entry.policy is None or entry.change.source is ActivationSource.API:
            return False
        return await self._remove(entry, self._by_file(ActivationSource.FILE))

    def _by_file(self, source: ActivationSource) -> Change:
        return Change(source, _FILES_AUTHOR, datetime.now(UTC))

    async def _set(self, ruleset: Ruleset, change: Change) -> bool:
        event = _event("policy.shadow_set", ruleset.policy_digest, change)
        return await self._store.change(ruleset.policy_digest, ruleset.source, change, events=[event]) is not None

    async def _remove(self, entry: ShadowText, change: Change) -> bool:
        """Unless somebody has put another in its place meanwhile."""
        event = _event("policy.shadow_removed", entry.policy_digest or "", change)
        removed = await self._store.change(None, None, change, events=[event], after_seq=entry.seq)
        await self._follow()
        return removed is not None


def _event(kind: str, policy_digest: str, change: Change) -> AuditEvent:
    return AuditEvent(
        id=new_id("evt"),
        kind=kind,
        at=change.at,
        actor=change.author,
        subject=policy_digest,
        body={"source": change.source.value, "why": change.why},
    )


def _said(fault: Exception) -> str:
    return fault.detail if isinstance(fault, PortcullisError) else type(fault).__name__
