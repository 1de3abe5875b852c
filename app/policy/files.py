"""The policy file and the directory of lists: what they hold now, and when that may have changed."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog
from watchfiles import awatch

from app.domain import KeywordList
from app.policy.candidate import Candidate
from app.policy.cases import cases_path
from app.policy.include import MAX_FILES, mentioned, read_included
from app.policy.lists import MAX_LIST_BYTES
from app.policy.load import read_candidate
from app.policy.regular import read_regular
from app.policy.yaml_text import MAX_BYTES

log = structlog.get_logger(__name__)

#: An edit waits no longer for other changes in its directory to end. By itself the watch waits for 1.6 s where
#: something else is written all the time, such as a log or a database.
_DEBOUNCE_MS = 200


@dataclass(frozen=True, slots=True)
class PolicyFiles:
    policy_path: Path
    rules_dir: Path
    _lists: dict[str, KeywordList] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def cases(self) -> Path:
        """The policy tests beside the policy, which need not be there."""
        return cases_path(self.policy_path)

    def read(self, last_good: Sequence[KeywordList] = ()) -> Candidate:
        """Raises PolicyInvalid when the policy cannot be read. A list that cannot be used is replaced by its last good
        version; one that did not change is not parsed again."""
        read_before = tuple(self._lists.values())
        found = read_candidate(self.policy_path, self.rules_dir, last_good=last_good, read_before=read_before)
        self._lists.clear()
        self._lists.update({one.name: one for one in found.lists})
        return replace(found, cases=self.cases)

    def fingerprint(self) -> str:
        """Changes whenever what `load` would read, or say of it, does."""
        total = hashlib.sha256()
        try:
            lists = sorted(path for path in self.rules_dir.iterdir() if path.suffix.lower() == ".txt")
        except OSError as fault:
            lists = []
            total.update(f"no lists: {fault.errno}\0".encode())
        for path in (self.policy_path, cases_path(self.policy_path), *lists):
            total.update(f"{path.name}\0{_content_digest(path)}\0".encode("utf-8", "surrogateescape"))
        for name, digest in self._included().items():
            total.update(f"{name}\0{digest}\0".encode())
        return total.hexdigest()

    def _included(self) -> dict[str, str]:
        """What the policy may include, by name, and the digest of what it holds, also of files that are not there."""
        folder = self.policy_path.parent
        digests: dict[str, str] = {}
        try:
            waiting = mentioned(read_regular(self.policy_path, MAX_BYTES))
        except OSError:
            return {}
        while waiting and len(digests) < 2 * MAX_FILES:
            name = waiting.pop(0)
            if name in digests:
                continue
            try:
                data = read_included(folder, name)
            except OSError as fault:
                digests[name] = f"unreadable: {fault.strerror or fault}"
                continue
            digests[name] = hashlib.sha256(data).hexdigest()
            waiting += mentioned(data)
        return digests

    def _directories(self) -> set[Path]:
        folder = self.policy_path.parent
        below = {(folder / name).parent for name in self._included()}
        return {folder, self.rules_dir, *(path for path in below if path.is_dir())}

    async def ticks(self, poll_interval_s: float) -> AsyncGenerator[None]:
        """A tick after each change in the directories of the policy, of what it includes and of the lists, and every
        poll interval. The directories are watched, not the files: an editor's rename and a ConfigMap's swap of links
        never touch the file that was there."""
        while True:
            directories = await asyncio.to_thread(self._directories)
            others = False
            try:
                changes = awatch(
                    *directories,
                    watch_filter=None,
                    recursive=False,
                    debounce=_DEBOUNCE_MS,
                    rust_timeout=int(poll_interval_s * 1000),
                    yield_on_timeout=True,
                )
                async with contextlib.aclosing(changes):
                    async for _ in changes:
                        yield
                        if others := await asyncio.to_thread(self._directories) != directories:
                            break
            except Exception as fault:  # a directory that is not there, no inotify watches left: polling goes on
                log.warning("files cannot be watched", action="policy_watch_failed", error=str(fault))
            yield
            if not others:
                await asyncio.sleep(poll_interval_s)


def _content_digest(path: Path) -> str:
    """Of a file's beginning, as far as it would be read."""
    try:
        return hashlib.sha256(read_regular(path, MAX_LIST_BYTES + 1)).hexdigest()
    except OSError as fault:
        return f"unreadable: {fault}"
