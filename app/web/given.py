"""The dependencies of the console's handlers, by the names under which the application provides them."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from litestar.di import NamedDependency, Provide
from litestar.params import SkipValidation

from app.domain import EngineInfo
from app.http.auth import Principal
from app.moderation.pipeline import Moderator
from app.moderation.ports import DecisionStore
from app.moderation.upload import Upload
from app.policy.backtests import Backtests
from app.policy.live import LiveRuleset
from app.policy.ports import ShadowStore
from app.policy.retention_terms import RetentionTerms
from app.policy.shadow import ShadowPolicy
from app.review.desk import ReviewDesk
from app.web.chrome import Chrome, chrome_for

#: Field -> its limit in bytes, to what was sent of them.
FormReader: TypeAlias = Callable[[Mapping[str, int]], Awaitable[dict[str, bytes]]]

GivenBacktests: TypeAlias = NamedDependency[SkipValidation[Backtests]]
GivenChrome: TypeAlias = NamedDependency[SkipValidation[Chrome]]
GivenDecisions: TypeAlias = NamedDependency[SkipValidation[DecisionStore]]
GivenDesk: TypeAlias = NamedDependency[SkipValidation[ReviewDesk]]
GivenEngineInfo: TypeAlias = NamedDependency[SkipValidation[Callable[[], EngineInfo]]]
GivenForm: TypeAlias = NamedDependency[SkipValidation[FormReader]]
GivenModerator: TypeAlias = NamedDependency[SkipValidation[Moderator]]
GivenPrincipal: TypeAlias = NamedDependency[SkipValidation[Principal]]
GivenRetention: TypeAlias = NamedDependency[SkipValidation[RetentionTerms]]
GivenRuleset: TypeAlias = NamedDependency[SkipValidation[LiveRuleset]]
GivenShadow: TypeAlias = NamedDependency[SkipValidation[ShadowPolicy]]
GivenShadowStore: TypeAlias = NamedDependency[SkipValidation[ShadowStore]]
GivenUpload: TypeAlias = NamedDependency[SkipValidation[Upload]]


def _chrome(principal: GivenPrincipal, engine_info: GivenEngineInfo, ruleset: GivenRuleset) -> Chrome:
    return chrome_for(principal, engine_info(), ruleset)


CHROME = Provide(_chrome, sync_to_thread=False)


def largest_upload(size_bytes: int) -> Provide:
    return Provide(lambda: size_bytes, sync_to_thread=False)
