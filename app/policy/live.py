"""The ruleset of the moment. The store is the authority; the files and the API are two doors to one activation.

A file activates when its content changes, or is new at a start; never merely because a node started with files that
were in force before. Every node follows the store's newest activation. A bad edit changes nothing.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import structlog

from app.domain import Activation, ActivationSource, Change, KeywordList, RulesetText
from app.errors import PolicyConflict, PolicyInvalid, PolicyProblem, PolicyTestsFailed, PortcullisError, WorkerError
from app.media_inline import InlineWorkers
from app.policy.breath import considerate
from app.policy.building import Builder, Making
from app.policy.candidate import Candidate
from app.policy.files import PolicyFiles
from app.policy.ports import RulesetStore
from app.policy.ruleset import Ruleset
from app.policy.standing import Replaced, RulesetStatus, Standing
from app.policy.travel import Outline
from app.policy.versions import as_named, kept_candidate, record, require_unchanged, version_name
from app.workers import Workers

log = structlog.get_logger(__name__)

#: File events are lost on network file systems and with some editors: contents are compared this often all the same.
POLL_INTERVAL_S = 3.0
#: How often a node asks the store for the newest activation: all of them have it within two seconds.
FOLLOW_INTERVAL_S = 1.0

#: Who activates what is found in files.
_FILES_AUTHOR = "system"
_PUT_ATTEMPTS = 5

#: Makes ready what the ruleset needs to decide (the matchers of its lists); runs in a thread.
Prepare = Callable[[Ruleset], None]


class LiveRuleset:
    """`current` and `status` are replaced, never changed: an upload that began under a ruleset ends under it. Policies
    are checked by the `workers`; without any, in threads of this process, which is for tools.

    `beside` a service, files are no door: they must hold what is in force, or the store must be new."""

    current: Ruleset

    def __init__(
        self,
        policy_path: Path,
        rules_dir: Path,
        *,
        store: RulesetStore,
        prepare: Prepare = lambda _: None,
        workers: Workers | None = None,
        making: Making = nullcontext,
        beside: bool = False,
        poll_interval_s: float = POLL_INTERVAL_S,
        follow_interval_s: float = FOLLOW_INTERVAL_S,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._files = PolicyFiles(policy_path, rules_dir)
        self._store = store
        self._prepare = prepare
        self._builder = Builder(workers or InlineWorkers(), making=making)
        self._beside = beside
        self._poll_interval_s = poll_interval_s
        self._follow_interval_s = follow_interval_s
        self._clock = clock
        self._settled: str | None = None
        self._seq: int | None = None
        self._head: Activation | None = None
        self._unusable_seq: int | None = None
        self._standing = Standing()
        #: The files' content is not refused: something that it needs is not there at the moment.
        self._postponed = False
        self._lock = asyncio.Lock()

    @property
    def status(self) -> RulesetStatus:
        return self._standing.status

    @property
    def is_newest(self) -> bool:
        """Whether what is in force here was the newest activation when the store was asked last."""
        return self._head is not None and self._head.seq == self._seq

    async def start(self) -> None:
        """Puts in force what the store says, or the files where they are new to it. Raises PolicyInvalid when neither
        can be used, StoreUnavailable and WorkerError. `beside`, also PolicyInvalid when only the files cannot be used,
        and PolicyConflict when they hold something else than what is in force."""
        async with self._lock:
            self._settled = await asyncio.to_thread(self._files.fingerprint)
            found, problems = await self._read_files()
            head = await self._store.head()
            if found is None and (head is None or self._beside):
                raise PolicyInvalid(problems)
            if found is not None and head is not None and self._beside:
                self._require_in_force(found, head)
            if found is None and head is not None:
                found, problems = await self._read_files((await self._store.find(head.digest)).lists)
            notice = None
            if found is not None and not await self._store.knows(found.digest):
                change = Change(ActivationSource.START, _FILES_AUTHOR, self._clock())
                # Beside, only where there was none: a service may have begun with another meanwhile.
                await record(self._store, found, change, after_seq=0 if self._beside else None)
            elif found is not None and head is not None and found.digest != head.digest:
                notice = "the files hold an earlier version, which was not activated: a restart activates nothing old"
                log.warning(notice, action="policy_files_stale", files=found.digest, in_force=head.digest)
            await self._follow(found)
            self._standing.notice(notice)
            if problems:
                self._standing.reject("rejected", problems)

    async def watch(self) -> None:
        """Until it is cancelled: follows the files, unless it is `beside`, and the store."""
        async with asyncio.TaskGroup() as group:
            if not self._beside:
                group.create_task(self._watch_files(), name="policy files")
            group.create_task(self._watch_store(), name="policy store")

    async def reload(self) -> bool:
        """Puts the files' content in force if it is new and good; whether it did. Otherwise the last good ruleset
        goes on and `status` says why."""
        async with self._lock:
            self._postponed = False
            fingerprint = await asyncio.to_thread(self._files.fingerprint)
            if fingerprint == self._settled:
                return False
            try:
                found, problems = await self._read_files(self.current.lists)
            except WorkerError as fault:
                self._not_now("not_checked", "the new content of the files could not be checked", fault)
                return False
            if await asyncio.to_thread(self._files.fingerprint) != fingerprint:
                return False  # still being written: the next tick sees the rest
            if found is None:
                self._standing.reject("rejected", problems)
                self._settled = fingerprint
                return False
            activated = await self._activate_file(found, fingerprint)
            if problems and not self._postponed:
                self._standing.reject("list_rejected", problems)
            return activated

    async def follow(self) -> bool:
        """Puts the store's newest activation in force if it is not; whether it did. Raises StoreUnavailable, and
        WorkerError when it could not be checked."""
        async with self._lock:
            return await self._follow()

    async def put(
        self, policy: bytes, *, expected: str | None, author: str, why: str | None, force: bool = False
    ) -> Replaced:
        """Activate a policy with the lists in force. `expected` is the digest of the policy that the edit began with;
        None overwrites any. `force` overrules failing policy tests, which is recorded. Raises PolicyInvalid,
        PolicyTestsFailed, PolicyConflict with what changed meanwhile, StoreUnavailable and WorkerError."""
        async with self._lock:
            for _ in range(_PUT_ATTEMPTS):
                await self._follow()
                await require_unchanged(self._store, self._head, expected, policy)
                built = await self._builder.build(Candidate(policy, self.current.lists, cases=self._files.cases))
                failures = built.failing_cases
                if failures and not force:
                    raise PolicyTestsFailed(failures)
                change = Change(ActivationSource.API, author, self._clock(), why, forced=bool(failures))
                with contextlib.suppress(PolicyConflict):  # somebody else, perhaps only the lists: look again
                    await record(self._store, built.ruleset, change, after_seq=self._head.seq if self._head else 0)
                    return await self._in_force(built.ruleset)
            raise PolicyConflict("the policy changes too fast to be edited; try again")

    async def restore(self, digest: str, *, author: str, why: str | None) -> Replaced:
        """Return to a ruleset that was active before: policy and lists together. Raises NotFound, PolicyInvalid when
        this version of Portcullis cannot use it, StoreUnavailable and WorkerError."""
        async with self._lock:
            ruleset = await self._rebuilt(await self._store.find(digest))
            change = Change(ActivationSource.ROLLBACK, author, self._clock(), why)
            await record(self._store, ruleset, change)
            return await self._in_force(ruleset)

    async def check(self, policy: bytes) -> Outline:
        """A policy that could be put in force with the lists of the moment, its tests aside. Raises PolicyInvalid with
        all that is wrong, and WorkerError."""
        return await self._builder.check(Candidate(policy, self.current.lists))

    async def versions(self, *, limit: int, before_seq: int | None = None) -> list[Activation]:
        """The history, the newest first. Raises StoreUnavailable."""
        return await self._store.versions(limit=limit, before_seq=before_seq)

    async def text(self, digest: str) -> RulesetText:
        """A ruleset that was ever active. Raises NotFound and StoreUnavailable."""
        return await self._store.find(digest)

    async def outline(self, digest: str) -> Outline:
        """Of a ruleset that was ever active. Raises NotFound, PolicyInvalid when this version of Portcullis cannot use
        it, StoreUnavailable and WorkerError."""
        return await self._builder.check(kept_candidate(await self._store.find(digest)))

    async def in_force_since(self, moment: datetime) -> list[Activation]:
        """What decided then, and all that was activated after that one, the newest last: on any node, though this one
        may not follow it yet. Raises StoreUnavailable."""
        return await self._store.in_force_since(moment)

    def _require_in_force(self, found: Ruleset, head: Activation) -> None:
        if found.digest == head.digest:
            return
        what = f"the lists in {self._files.rules_dir} are not those"
        if found.policy_digest != head.policy_digest:
            what = f"the policy in {self._files.policy_path} is not the one"
        raise PolicyConflict(f"{what} in force in this database", current=head.policy_digest)

    async def _watch_files(self) -> None:
        async with contextlib.aclosing(self._files.ticks(self._poll_interval_s)) as ticks:
            async for _ in ticks:
                try:
                    await self.reload()
                except Exception:  # the watch outlives anything that one edit can do to it
                    log.exception("policy could not be reloaded", action="policy_reload_failed")
                if self._postponed:
                    # What is logged about it may be a change in a watched directory, and so the next tick.
                    await asyncio.sleep(self._poll_interval_s)

    async def _watch_store(self) -> None:
        failing = False
        while True:
            await asyncio.sleep(self._follow_interval_s)
            try:
                await self.follow()
                failing = False
            except Exception as fault:  # the store may be back at the next look
                if not failing:
                    log.warning(
                        "the newest activation cannot be followed", action="policy_follow_failed", error=str(fault)
                    )
                failing = True

    async def _read_files(
        self, last_good: Sequence[KeywordList] = ()
    ) -> tuple[Ruleset | None, tuple[PolicyProblem, ...]]:
        """What the files hold, with the last good version of a list that cannot be used, and all that is wrong."""
        try:
            candidate = await asyncio.to_thread(considerate(self._files.read), last_good)
            built = await self._builder.build(candidate)
        except PolicyInvalid as invalid:
            return None, invalid.problems
        if built.failing_cases:
            return None, built.failing_cases
        return built.ruleset, built.ruleset.list_problems

    async def _activate_file(self, ruleset: Ruleset, fingerprint: str) -> bool:
        """Records first: a ruleset that nobody could look up later must not decide. Until that works, every tick
        tries again."""
        try:
            activation = await record(self._store, ruleset, Change(ActivationSource.FILE, _FILES_AUTHOR, self._clock()))
            await self._follow(ruleset)
        except Exception as fault:
            self._not_now("not_recorded", "the new ruleset is sound, but could not be recorded", fault)
            return False
        self._settled = fingerprint
        self._standing.files_are_sound()
        return activation is not None

    def _not_now(self, result: str, what: str, fault: Exception) -> None:
        detail = fault.detail if isinstance(fault, PortcullisError) else type(fault).__name__
        problem = PolicyProblem(self._files.policy_path.name, 1, 1, f"{what}: {detail}")
        self._standing.reject(result, (problem,), fault)
        self._postponed = True

    async def _in_force(self, ruleset: Ruleset) -> Replaced:
        before = self.current
        await self._follow(ruleset)
        activation = self.status.activation
        assert activation is not None  # noqa: S101 - `_follow` just put one in force
        return Replaced(activation, before, self.current)

    async def _follow(self, built: Ruleset | None = None) -> bool:
        """`built` saves building what is at hand. At the start a ruleset that cannot be used ends it; later the last
        good one goes on, and it is said once. One that could not be checked may be at the next look."""
        head = self._head = await self._store.head()
        if head is None or head.seq in (self._seq, self._unusable_seq):
            return False
        try:
            if built is None or built.digest != head.digest:
                built = await self._rebuilt(await self._store.find(head.digest))
        except PolicyInvalid as invalid:
            if self._seq is None:
                raise
            self._unusable_seq = head.seq
            self._standing.reject("unusable", invalid.problems)
            return False
        except WorkerError as fault:
            if self._seq is not None:
                self._standing.reject("unusable", (PolicyProblem(version_name(head.digest), 1, 1, fault.detail),))
            raise
        await asyncio.to_thread(self._prepare, built)
        self._put_in_force(built, head)
        return True

    async def _rebuilt(self, text: RulesetText) -> Ruleset:
        """As `rebuild`. Raises WorkerError too."""
        return as_named((await self._builder.build(kept_candidate(text))).ruleset, text)

    def _put_in_force(self, ruleset: Ruleset, activation: Activation) -> None:
        self.current = ruleset
        self._seq, self._unusable_seq = activation.seq, None
        self._standing.in_force(ruleset, activation)
