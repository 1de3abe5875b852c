"""The policy file and the directory of lists: what they hold now, and when that may have changed."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from watchfiles import awatch

from app.domain import KeywordList
from app.errors import PolicyProblem
from app.policy.cases import cases_path, run_cases
from app.policy.lists import MAX_LIST_BYTES
from app.policy.load import load_ruleset
from app.policy.regular import read_regular
from app.policy.ruleset import Ruleset

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PolicyFiles:
    policy_path: Path
    rules_dir: Path

    def load(self, last_good: Sequence[KeywordList] = ()) -> Ruleset:
        """Raises PolicyInvalid. A list that cannot be used is replaced by its last good version."""
        return load_ruleset(self.policy_path, self.rules_dir, last_good=last_good)

    def failing_cases(self, ruleset: Ruleset) -> tuple[PolicyProblem, ...]:
        """What the policy tests beside the policy say against a ruleset."""
        return run_cases(ruleset, cases_path(self.policy_path)).failures

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
        return total.hexdigest()

    async def ticks(self, poll_interval_s: float) -> AsyncGenerator[None]:
        """A tick after each change in the two directories, and every poll interval. The directories are watched, not
        the files: an editor's rename and a ConfigMap's swap of links never touch the file that was there."""
        while True:
            try:
                changes = awatch(
                    self.policy_path.parent,
                    self.rules_dir,
                    watch_filter=None,
                    recursive=False,
                    rust_timeout=int(poll_interval_s * 1000),
                    yield_on_timeout=True,
                )
                async with contextlib.aclosing(changes):
                    async for _ in changes:
                        yield
            except Exception as fault:  # a directory that is not there, no inotify watches left: polling goes on
                log.warning("files cannot be watched", action="policy_watch_failed", error=str(fault))
            yield
            await asyncio.sleep(poll_interval_s)


def _content_digest(path: Path) -> str:
    """Of a file's beginning, as far as it would be read."""
    try:
        return hashlib.sha256(read_regular(path, MAX_LIST_BYTES + 1)).hexdigest()
    except OSError as fault:
        return f"unreadable: {fault}"
