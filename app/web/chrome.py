"""What stands around every page: who is logged in, where they may go, and what is wrong with the service."""

from dataclasses import dataclass

from app.domain import EngineInfo, EngineState
from app.errors import PolicyProblem
from app.http.auth import Principal
from app.policy.live import LiveRuleset


@dataclass(frozen=True, slots=True)
class Chrome:
    """`principal` is None before the log-in: then nothing of the inside is shown."""

    principal: Principal | None
    demo: bool
    engine_fault: str | None = None
    engine_degraded: str | None = None
    policy_problems: tuple[PolicyProblem, ...] = ()

    def may(self, scope: str) -> bool:
        return self.principal is not None and self.principal.may(scope)


def chrome_for(principal: Principal, engine: EngineInfo, ruleset: LiveRuleset) -> Chrome:
    return Chrome(
        principal=principal,
        demo=engine.demonstration,
        engine_fault=None if engine.state is EngineState.READY else engine.detail or engine.state.value,
        engine_degraded=engine.detail if engine.degraded else None,
        policy_problems=ruleset.status.problems,
    )
