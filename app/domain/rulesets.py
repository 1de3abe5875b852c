"""Rulesets as they are kept, and what put each into force."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.domain.needs import KeywordList


class ActivationSource(StrEnum):
    """The door a ruleset came through: the files (at a start or while running), the API, a return to an earlier one."""

    START = "start"
    FILE = "file"
    API = "api"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class RulesetText:
    """Everything a ruleset is made of. `policy` is the YAML text; `digest` (`sha256:…`) names policy and lists
    together, `policy_digest` the policy alone."""

    digest: str
    policy_digest: str
    policy: str
    lists: tuple[KeywordList, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """Who puts a ruleset into force, and why. `forced` says that failing policy tests were overruled."""

    source: ActivationSource
    author: str
    at: datetime
    why: str | None = None
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Activation:
    """One entry of the history. `seq` counts from 1 without gaps; the highest is in force on every node."""

    seq: int
    digest: str
    policy_digest: str
    change: Change
