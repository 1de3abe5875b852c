"""Link audit events into a chain of hashes, and find where a chain was broken.

    body = RFC 8785 canonical JSON of {"event": {…}, "format": "portcullis.audit/1", "seq": n}
    hash = SHA-256(prev || body)          prev is the 32-byte hash of entry n-1, or GENESIS_HASH

The body carries its own number, so that an entry cannot be moved without changing its hash. `docs/audit.md` says what
this proves and what it does not.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC
from enum import StrEnum
from typing import Any

import rfc8785
from pydantic import JsonValue

from app.domain import AuditEvent

FORMAT = "portcullis.audit/1"

#: The `prev` of entry 1: the hash of the format's name, so that a chain of another format never continues this one.
GENESIS_HASH = hashlib.sha256(FORMAT.encode()).digest()


@dataclass(frozen=True, slots=True)
class ChainPoint:
    """A place in the chain: the number and hash (32 bytes) of the last entry up to there."""

    seq: int
    hash: bytes


GENESIS = ChainPoint(0, GENESIS_HASH)


@dataclass(frozen=True, slots=True)
class SealedEntry:
    """One link. `prev` and `hash` are 32 bytes; `body` is exactly what was hashed."""

    seq: int
    prev: bytes
    hash: bytes
    body: bytes

    @property
    def point(self) -> ChainPoint:
        return ChainPoint(self.seq, self.hash)


class ChainFault(StrEnum):
    """How a chain is broken.

    `altered`: the bytes of an entry do not have its hash. `missing`: an entry is not there. `reordered`: an entry
    stands under another number than it was sealed with. `forged`: an entry hangs together in itself, but the entry
    after it (or the head) was chained to another. `truncated`: the head knows of entries beyond the last one.
    """

    ALTERED = "altered"
    MISSING = "missing"
    REORDERED = "reordered"
    FORGED = "forged"
    TRUNCATED = "truncated"


@dataclass(frozen=True, slots=True)
class ChainProblem:
    """The first thing wrong: `seq` is the entry's place in the chain."""

    fault: ChainFault
    seq: int
    detail: str


@dataclass(frozen=True, slots=True)
class ChainReport:
    """`checked` entries were sound, up to `point`; `problem` is the first that was not."""

    checked: int
    point: ChainPoint
    problem: ChainProblem | None = None

    @property
    def sound(self) -> bool:
        return self.problem is None


def canonical_event(event: AuditEvent) -> bytes:
    """The event as canonical JSON, with its time in UTC to the microsecond.

    Raises ValueError for what canonical JSON cannot hold: integers beyond 2^53, non-finite numbers, a time without
    a zone.
    """
    return rfc8785.dumps(_event_fields(event))


def _event_fields(event: AuditEvent) -> dict[str, JsonValue]:
    if event.at.tzinfo is None:
        raise ValueError("an audit event's time needs a zone")
    return {
        "id": event.id,
        "kind": event.kind,
        "at": event.at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "actor": event.actor,
        "subject": event.subject,
        "body": event.body,
    }


def link(prev_hash: bytes, seq: int, event: AuditEvent) -> SealedEntry:
    """Seal `event` as entry `seq` after the entry whose hash is `prev_hash`. Raises ValueError as `canonical_event`."""
    body = rfc8785.dumps({"format": FORMAT, "seq": seq, "event": _event_fields(event)})
    return SealedEntry(seq=seq, prev=prev_hash, hash=_digest(prev_hash, body), body=body)


def link_all(after: ChainPoint, events: Iterable[AuditEvent]) -> list[SealedEntry]:
    """Seal events one after another behind `after`."""
    entries: list[SealedEntry] = []
    for event in events:
        entry = link(after.hash, after.seq + 1, event)
        entries.append(entry)
        after = entry.point
    return entries


def verify(entries: Iterable[SealedEntry], *, start: ChainPoint = GENESIS) -> ChainReport:
    """Check entries in the order of their numbers, from `start` on: feed batches by passing each report's `point` on.

    Nothing can be said of entries beyond the last one: `check_head` does that.
    """
    point = start
    checked = 0
    for entry in entries:
        problem = _problem(point, entry)
        if problem is not None:
            return ChainReport(checked, point, problem)
        point = entry.point
        checked += 1
    return ChainReport(checked, point)


def check_head(report: ChainReport, head: ChainPoint | None) -> ChainReport:
    """Compare a chain that was read to its end with the head that the sealer recorded apart from it."""
    if report.problem is not None or head == report.point:
        return report
    return ChainReport(report.checked, report.point, _head_problem(report.point, head))


def event_of(entry: SealedEntry) -> AuditEvent:
    """The event inside an entry. Raises ValueError when the body is not one that `link` made."""
    document = _document(entry.body)
    if document is None:
        raise ValueError("not the body of an audit entry")
    return AuditEvent.model_validate(document.get("event"))


def _digest(prev: bytes, body: bytes) -> bytes:
    return hashlib.sha256(prev + body).digest()


def _problem(point: ChainPoint, entry: SealedEntry) -> ChainProblem | None:
    expected = point.seq + 1
    if entry.seq > expected:
        return ChainProblem(ChainFault.MISSING, expected, f"entry {expected} is not there; the next is {entry.seq}")
    if entry.seq < expected:
        return ChainProblem(ChainFault.REORDERED, entry.seq, f"entry {entry.seq} stands after entry {point.seq}")
    return _seal_problem(entry) or _link_problem(point, entry)


def _seal_problem(entry: SealedEntry) -> ChainProblem | None:
    if len(entry.prev) != len(GENESIS_HASH) or _digest(entry.prev, entry.body) != entry.hash:
        return ChainProblem(
            ChainFault.ALTERED, entry.seq, f"entry {entry.seq} does not have the hash it was sealed with"
        )
    sealed_as = _sealed_number(entry.body)
    if sealed_as is None:
        return ChainProblem(ChainFault.FORGED, entry.seq, f"entry {entry.seq} is not in the format of the log")
    if sealed_as != entry.seq:
        return ChainProblem(ChainFault.REORDERED, entry.seq, f"at {entry.seq} stands what was sealed as {sealed_as}")
    return None


def _link_problem(point: ChainPoint, entry: SealedEntry) -> ChainProblem | None:
    if entry.prev == point.hash:
        return None
    # The entry before hangs together in itself, but is not the one that this entry was chained to.
    suspect = max(point.seq, 1)
    return ChainProblem(ChainFault.FORGED, suspect, f"entry {entry.seq} was not chained to what stands before it")


def _sealed_number(body: bytes) -> int | None:
    """The number inside a body, or None when the body is not one that sealing writes."""
    document = _document(body)
    seq = None if document is None else document.get("seq")
    return seq if isinstance(seq, int) and not isinstance(seq, bool) else None


def _document(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) and document.get("format") == FORMAT else None


def _head_problem(point: ChainPoint, head: ChainPoint | None) -> ChainProblem:
    if head is None:
        return ChainProblem(ChainFault.FORGED, point.seq, "the head of the chain is not there")
    if head.seq > point.seq:
        return ChainProblem(
            ChainFault.TRUNCATED, point.seq + 1, f"the head is entry {head.seq}, but the last one there is {point.seq}"
        )
    if head.seq < point.seq:
        return ChainProblem(
            ChainFault.FORGED, head.seq + 1, f"entry {head.seq + 1} was never sealed: it is past the head"
        )
    return ChainProblem(ChainFault.FORGED, point.seq, f"entry {point.seq} is not the one that the head names")
