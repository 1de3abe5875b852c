"""A ruleset store in memory, for tests and tools; it keeps the same promises as the real one."""

from collections.abc import Sequence
from datetime import datetime

from app.domain import Activation, ActivationSource, AuditEvent, Change, RulesetText
from app.errors import NotFound, PolicyConflict


class MemoryRulesets:
    def __init__(self) -> None:
        self.events: list[AuditEvent] = []
        self._texts: dict[str, RulesetText] = {}
        self._history: list[Activation] = []
        self._last_file: str | None = None

    async def head(self) -> Activation | None:
        return self._history[-1] if self._history else None

    async def find(self, digest: str) -> RulesetText:
        if digest not in self._texts:
            raise NotFound("there is no such ruleset")
        return self._texts[digest]

    async def knows(self, digest: str) -> bool:
        return any(one.digest == digest for one in self._history)

    async def activate(
        self, ruleset: RulesetText, change: Change, *, after_seq: int | None, events: Sequence[AuditEvent]
    ) -> Activation | None:
        newest = self._history[-1] if self._history else None
        if after_seq is not None and after_seq != len(self._history):
            raise PolicyConflict(
                "another version was activated meanwhile", current=newest.policy_digest if newest else None
            )
        self._texts.setdefault(ruleset.digest, ruleset)
        if change.source in (ActivationSource.START, ActivationSource.FILE):
            if self._last_file == ruleset.digest:
                return None
            self._last_file = ruleset.digest
        if newest is not None and newest.digest == ruleset.digest:
            return None
        activation = Activation(len(self._history) + 1, ruleset.digest, ruleset.policy_digest, change)
        self._history.append(activation)
        self.events += events
        return activation

    async def versions(self, *, limit: int, before_seq: int | None = None) -> list[Activation]:
        older = [one for one in reversed(self._history) if before_seq is None or one.seq < before_seq]
        return older[:limit]

    async def in_force_since(self, moment: datetime) -> list[Activation]:
        then = max((one.seq for one in self._history if one.change.at <= moment), default=0)
        return [one for one in self._history if one.seq >= then]
