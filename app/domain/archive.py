"""Decisions as they were stored, to be made again."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from app.domain.words import Outcome


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """`findings` and `context` are JSON text. `ruleset` is the digest of what decided; `model` that of the model which
    answered (None also where it was not asked for); `verdict` a person's word on it, if there was one."""

    id: str
    at: datetime
    outcome: Outcome
    ruleset: str
    findings: str
    context: str
    model: str | None = None
    verdict: Outcome | None = None


#: Where a decision stands in the archive, which is in order of time: when it was made, and its id.
Place: TypeAlias = tuple[datetime, str]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the archive: everything after one place, up to another one and with it; `upto` is None for
    everything that there is."""

    after: Place
    upto: Place | None = None
