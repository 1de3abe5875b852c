"""A decision as it was stored, to be made again."""

from dataclasses import dataclass
from datetime import datetime

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
