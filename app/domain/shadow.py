"""A policy that is tried beside the live one, and what it would have decided."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.domain.rulesets import Change
from app.domain.words import Outcome


class Tried(StrEnum):
    """What is compared with the live decision: the shadow policy, or the live policy with its shadow rules live."""

    POLICY = "policy"
    RULES = "rules"


@dataclass(frozen=True, slots=True)
class ShadowText:
    """One entry of the shadow policy's history; the highest `seq` counts. `policy` is the YAML text and `policy_digest`
    names it (`sha256:…`); both are None where the shadow policy was taken away."""

    seq: int
    policy_digest: str | None
    policy: str | None
    change: Change


@dataclass(frozen=True, slots=True)
class Comparison:
    """One decision beside what was tried on it; `digest` names that.

    `after` is None where the two cannot be compared, and `missing` names what was never asked. `rules` are those that
    decide `after`, `fired` all that are true. `whole` says that everything the tried rules ask for was asked.
    """

    decision_id: str
    at: datetime
    tried: Tried
    digest: str
    before: Outcome
    after: Outcome | None
    rules: tuple[str, ...] = ()
    fired: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    whole: bool = True


@dataclass(frozen=True, slots=True)
class ComparisonGroup:
    """Comparisons that say the same, and how many they are. `examples` are a few of the decisions; `first_at` and
    `last_at` when the first and the last of them were made."""

    before: Outcome
    after: Outcome | None
    rules: tuple[str, ...]
    fired: tuple[str, ...]
    missing: tuple[str, ...]
    whole: bool
    count: int
    examples: tuple[str, ...]
    first_at: datetime
    last_at: datetime
