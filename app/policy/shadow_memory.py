"""A store of shadow policies in memory, for tests and tools; it keeps the same promises as the real one."""

from collections.abc import Sequence
from datetime import datetime

from app.domain import ActivationSource, AuditEvent, Change, Comparison, ComparisonGroup, ShadowText, Tried

_FROM_FILES = frozenset({ActivationSource.START, ActivationSource.FILE})


class MemoryShadow:
    def __init__(self) -> None:
        self.events: list[AuditEvent] = []
        self.recorded: dict[tuple[str, Tried], Comparison] = {}
        self._history: list[ShadowText] = []

    async def head(self) -> ShadowText | None:
        return self._history[-1] if self._history else None

    async def knows(self, policy_digest: str) -> bool:
        return any(entry.policy_digest == policy_digest for entry in self._history)

    async def change(
        self,
        policy_digest: str | None,
        policy: str | None,
        change: Change,
        *,
        events: Sequence[AuditEvent],
        after_seq: int | None = None,
    ) -> ShadowText | None:
        if after_seq is not None and len(self._history) != after_seq:
            return None
        from_file = change.source in _FROM_FILES
        compared = [entry for entry in self._history if not from_file or entry.change.source in _FROM_FILES]
        if (compared[-1].policy_digest if compared else None) == policy_digest:
            return None
        entry = ShadowText(len(self._history) + 1, policy_digest, policy, change)
        self._history.append(entry)
        self.events += events
        return entry

    async def record(self, comparisons: Sequence[Comparison]) -> None:
        for one in comparisons:
            self.recorded.setdefault((one.decision_id, one.tried), one)

    async def comparisons(self, tried: Tried, digest: str, *, since: datetime) -> list[ComparisonGroup]:
        return [
            ComparisonGroup(
                before=one.before,
                after=one.after,
                rules=one.rules,
                fired=one.fired,
                missing=one.missing,
                whole=one.whole,
                count=1,
                examples=(one.decision_id,),
                first_at=one.at,
                last_at=one.at,
            )
            for one in self.recorded.values()
            if one.tried is tried and one.digest == digest and one.at >= since
        ]

    async def decided(self, *, since: datetime) -> int:
        return len({one.decision_id for one in self.recorded.values() if one.at >= since})
