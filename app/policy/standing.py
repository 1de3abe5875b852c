"""What a node has in force, and what is wrong with what it has not: kept for people who look, logged and counted."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from app.domain import Activation
from app.errors import PolicyProblem
from app.metrics import POLICY_ACTIVATIONS
from app.policy.ruleset import Ruleset

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RulesetStatus:
    """`digest` is the ruleset in force on this node. `problems` say why the newest content of the files, or the newest
    activation, is not it, since `failed_at`; empty when it is. `notice` is what is no mistake but may surprise."""

    digest: str
    activated_at: datetime
    problems: tuple[PolicyProblem, ...] = ()
    failed_at: datetime | None = None
    activation: Activation | None = None
    notice: str | None = None


@dataclass(frozen=True, slots=True)
class Replaced:
    """An edit that is in force, and what it took the place of."""

    activation: Activation
    before: Ruleset
    now: Ruleset


class Standing:
    """`status` is replaced, never changed, and there from the first `in_force` on."""

    status: RulesetStatus

    def __init__(self) -> None:
        self._files_fault: tuple[tuple[PolicyProblem, ...], datetime | None] = ((), None)

    def in_force(self, ruleset: Ruleset, activation: Activation) -> None:
        problems, failed_at = self._files_fault  # an edit through another door does not mend the files
        self.status = RulesetStatus(ruleset.digest, activation.change.at, problems, failed_at, activation)
        POLICY_ACTIVATIONS.labels("activated").inc()
        source = activation.change.source.value
        log.info("ruleset is in force", action="policy_activated", ruleset=ruleset.digest, source=source)
        for warning in ruleset.warnings:
            log.warning("policy warning", action="policy_warning", file=warning.file, detail=warning.message)

    def notice(self, notice: str | None) -> None:
        self.status = replace(self.status, notice=notice)

    def files_are_sound(self) -> None:
        self._files_fault = (), None
        self.status = replace(self.status, problems=(), failed_at=None, notice=None)

    def reject(self, result: str, problems: tuple[PolicyProblem, ...], fault: Exception | None = None) -> None:
        """`result` is the metric's word. What was said already is not said again."""
        if problems == self.status.problems:
            return
        self.status = replace(self.status, problems=problems, failed_at=datetime.now(UTC))
        if result != "unusable":
            self._files_fault = problems, self.status.failed_at
        POLICY_ACTIVATIONS.labels(result).inc()
        what = "list" if result == "list_rejected" else "ruleset"
        log.error(
            f"an edit was not activated; the last good {what} goes on",
            action="policy_rejected",
            result=result,
            ruleset=self.status.digest,
            problems=[f"{one.file}:{one.line}:{one.column}: {one.message}" for one in problems],
            exc_info=fault,
        )
