"""What the policy room needs of rooms it may not import. The store and the matcher satisfy these by shape."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from app.domain import (
    Activation,
    AuditEvent,
    Change,
    Comparison,
    ComparisonGroup,
    ExpiredPicture,
    Keeping,
    KeywordFinding,
    KeywordList,
    PicturePlace,
    RulesetText,
    ShadowText,
    Span,
    StoredDecision,
    TextFinding,
    TextSource,
    Tried,
)


class RulesetStore(Protocol):
    """The authority over which ruleset decides, for all nodes. Every method raises StoreUnavailable."""

    async def head(self) -> Activation | None:
        """The newest activation; None before the first."""
        ...

    async def find(self, digest: str) -> RulesetText:
        """A ruleset that was ever active. Raises NotFound."""
        ...

    async def knows(self, digest: str) -> bool:
        """Whether the ruleset was ever active."""
        ...

    async def activate(
        self, ruleset: RulesetText, change: Change, *, after_seq: int | None, events: Sequence[AuditEvent]
    ) -> Activation | None:
        """Keep the ruleset, its activation and the events, in one transaction; None when nothing is to be done: it is
        active already, or it comes from a file whose content is the last one that any node brought here.

        With `after_seq`, only if that is still the newest activation. Raises PolicyConflict.
        """
        ...

    async def versions(self, *, limit: int, before_seq: int | None = None) -> list[Activation]:
        """The history, the newest first."""
        ...

    async def in_force_since(self, moment: datetime) -> list[Activation]:
        """What decided then, and all that was activated after that one, the newest last."""
        ...


class EvidenceRecords(Protocol):
    """What the database knows of the pictures. Raises StoreUnavailable."""

    async def expired_evidence(
        self,
        keeping: Keeping,
        *,
        now: datetime,
        seen_before: datetime,
        after: PicturePlace | None,
        limit: int,
        kept_by: Keeping,
    ) -> tuple[list[ExpiredPicture], PicturePlace | None]:
        """Of the next `limit` pictures that were last seen before then, the longest unseen first, those that would be
        deleted by `keeping` and not by `kept_by`; and the place to go on from, None at the end."""
        ...


class Matcher(Protocol):
    """Matches lists over texts, as it is done for an upload."""

    def match(self, lists: Sequence[KeywordList], texts: Mapping[TextSource, TextFinding]) -> KeywordFinding: ...


class Archive(Protocol):
    """The decisions of the past, with everything that was found. Methods raise StoreUnavailable."""

    async def count(self, *, since: datetime) -> int: ...

    def spans(self, *, since: datetime, rows: int) -> AsyncGenerator[Span]:
        """All decisions from then on, the oldest first, in stretches of that many; the last one has no end."""
        ...

    def pages(self, span: Span, *, rows: int, models: bool) -> AsyncGenerator[list[StoredDecision]]:
        """The decisions of a stretch, the oldest first, that many at a time. With `models`, those that answered."""
        ...

    async def lists_of(self, ruleset: str) -> Mapping[str, str] | None:
        """The lists that a ruleset had, name to digest; None for one that was never active."""
        ...

    def opener(self) -> Callable[[], AbstractAsyncContextManager["Archive"]]:
        """Something that can be sent to another process and opens the same archive there."""
        ...


class ShadowStore(Protocol):
    """The shadow policy on which all nodes agree, and what it would have decided. Methods raise StoreUnavailable."""

    async def head(self) -> ShadowText | None:
        """The newest entry, which may say that there is no shadow policy; None before the first."""
        ...

    async def knows(self, policy_digest: str) -> bool:
        """Whether the policy was ever the shadow policy."""
        ...

    async def change(
        self,
        policy_digest: str | None,
        policy: str | None,
        change: Change,
        *,
        events: Sequence[AuditEvent],
        after_seq: int | None = None,
    ) -> ShadowText | None:
        """Add an entry with its events, in one transaction; None when nothing is to be done: it says what the newest
        one says, or it comes from a file that said so last time. With `after_seq`, only if that is still the newest."""
        ...

    async def record(self, comparisons: Sequence[Comparison]) -> None:
        """Those of a decision that was compared already are left as they are."""
        ...

    async def comparisons(self, tried: Tried, digest: str, *, since: datetime) -> list[ComparisonGroup]:
        """Those of decisions made from then on, counted."""
        ...

    async def decided(self, *, since: datetime) -> int:
        """How many decisions were made from then on."""
        ...
