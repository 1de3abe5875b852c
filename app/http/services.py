"""What handlers are given. `app.main` fills it once; Litestar hands each handler the parts that it names."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from litestar.di import NamedDependency, Provide
from litestar.params import SkipValidation

from app.audit.ports import AuditLog
from app.domain import EngineInfo
from app.http.auth import Access, Connection, Principal, authenticate
from app.moderation.pipeline import Moderator
from app.moderation.ports import AuditOutbox, DecisionStore, EvidenceStore
from app.policy.backtests import Backtests
from app.policy.live import LiveRuleset
from app.policy.ports import ShadowStore
from app.policy.retention_terms import RetentionTerms
from app.policy.shadow import ShadowPolicy
from app.review.desk import ReviewDesk

#: Component (`engine`, `media_workers`, `store`) -> why it is not ready, or None when it is.
Readiness: TypeAlias = Callable[[], Awaitable[Mapping[str, str | None]]]
EngineView: TypeAlias = Callable[[], EngineInfo]


@dataclass(frozen=True, slots=True)
class Services:
    version: str
    access: Access
    moderator: Moderator
    decisions: DecisionStore
    evidence: EvidenceStore
    outbox: AuditOutbox
    desk: ReviewDesk
    ruleset: LiveRuleset
    shadow: ShadowPolicy
    shadow_store: ShadowStore
    retention: RetentionTerms
    backtests: Backtests
    audit_log: AuditLog
    engine_info: EngineView
    readiness: Readiness


GivenModerator: TypeAlias = NamedDependency[SkipValidation[Moderator]]
GivenDecisions: TypeAlias = NamedDependency[SkipValidation[DecisionStore]]
GivenEvidence: TypeAlias = NamedDependency[SkipValidation[EvidenceStore]]
GivenOutbox: TypeAlias = NamedDependency[SkipValidation[AuditOutbox]]
GivenDesk: TypeAlias = NamedDependency[SkipValidation[ReviewDesk]]
GivenRuleset: TypeAlias = NamedDependency[SkipValidation[LiveRuleset]]
GivenShadow: TypeAlias = NamedDependency[SkipValidation[ShadowPolicy]]
GivenShadowStore: TypeAlias = NamedDependency[SkipValidation[ShadowStore]]
GivenRetention: TypeAlias = NamedDependency[SkipValidation[RetentionTerms]]
GivenBacktests: TypeAlias = NamedDependency[SkipValidation[Backtests]]
GivenAuditLog: TypeAlias = NamedDependency[SkipValidation[AuditLog]]
GivenEngineInfo: TypeAlias = NamedDependency[SkipValidation[EngineView]]
GivenReadiness: TypeAlias = NamedDependency[SkipValidation[Readiness]]
GivenPrincipal: TypeAlias = NamedDependency[SkipValidation[Principal]]


def dependencies(services: Services) -> dict[str, Provide]:
    """By the name under which handlers ask for them."""
    names = (
        "version",
        "moderator",
        "decisions",
        "evidence",
        "outbox",
        "desk",
        "ruleset",
        "shadow",
        "shadow_store",
        "retention",
        "backtests",
        "audit_log",
        "engine_info",
        "readiness",
    )
    given = {name: _constant(getattr(services, name)) for name in names}
    return {**given, "principal": Provide(_principal)}


def _constant(value: Any) -> Provide:
    def provide() -> Any:
        return value

    return Provide(provide, sync_to_thread=False)


async def _principal(request: Connection) -> Principal:
    return await authenticate(request)
