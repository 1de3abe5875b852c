"""The policy page: what decides now, what is wrong with the newest edit, and the way back to what decided before."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any

from litestar import Controller, Response, get, post
from litestar.params import FromPath, FromQuery, QueryParameter, URLEncodedBody
from litestar.response import Redirect

from app.domain import RulesetText
from app.errors import PolicyInvalid, WorkerError
from app.http.auth import require_scope
from app.policy.diff import policy_diff
from app.policy.live import LiveRuleset
from app.policy.retention_change import RetentionChange
from app.policy.retention_terms import RetentionTerms
from app.web.backtest_form import HOW_FAR, first_form
from app.web.given import (
    GivenBacktests,
    GivenChrome,
    GivenPrincipal,
    GivenRetention,
    GivenRuleset,
    GivenShadow,
    GivenShadowStore,
)
from app.web.shadow import SPANS, shadow_view
from app.web.templates import render
from app.web.why import read_why

_PAGE = 20
_NOTICES = {
    "activated": "The version is in force again, policy and lists together.",
    "put": "The policy is in force.",
    "tried": "The policy is tried beside the live one from now on. It decides nothing.",
    "promoted": "The shadow policy is the live one now.",
    "removed": "No shadow policy is tried any more.",
}


@dataclass(frozen=True, slots=True)
class ActivateForm:
    why: str = ""


class PolicyPages(Controller):
    path = "/policy"
    guards = (require_scope("policy"),)
    request_max_body_size = 64 * 1024

    @get("/")
    async def current(
        self,
        *,
        ruleset: GivenRuleset,
        retention: GivenRetention,
        shadow: GivenShadow,
        shadow_store: GivenShadowStore,
        backtests: GivenBacktests,
        chrome: GivenChrome,
        before: Annotated[int | None, QueryParameter(ge=1, le=2**53)] = None,
        notice: FromQuery[str] = "",
        span: FromQuery[str] = SPANS[0],
    ) -> Response[str]:
        versions = await ruleset.versions(limit=_PAGE, before_seq=before)
        return render(
            "policy.html",
            chrome,
            current=ruleset.current,
            status=ruleset.status,
            versions=versions,
            older=versions[-1].seq if len(versions) == _PAGE and versions[-1].seq > 1 else None,
            notice=_NOTICES.get(notice),
            **await _pending(retention),
            shadow=await shadow_view(shadow, shadow_store, ruleset, span),
            shadow_retention=None if shadow.current is None else await retention.change(shadow.current),
            form=first_form(ruleset.current),
            runs=backtests.recent,
            spans=HOW_FAR,
        )

    @get("/versions/{digest:str}")
    async def version(
        self, digest: FromPath[str], *, ruleset: GivenRuleset, retention: GivenRetention, chrome: GivenChrome
    ) -> Response[str]:
        kept = await ruleset.text(digest)
        current = ruleset.current
        known = {one.name: one.digest for one in kept.lists}
        return render(
            "policy_version.html",
            chrome,
            version=kept,
            in_force=kept.digest == current.digest,
            retention=await _returning(kept, ruleset, retention),
            diff=await asyncio.to_thread(
                policy_diff, current.source, kept.policy, before="in force", after="this version"
            ),
            lists=sorted(one.name for one in current.lists if known.get(one.name) != one.digest)
            + sorted(known.keys() - {one.name for one in current.lists}),
        )

    @post("/versions/{digest:str}/activate")
    async def activate(
        self,
        digest: FromPath[str],
        data: URLEncodedBody[ActivateForm],
        *,
        ruleset: GivenRuleset,
        principal: GivenPrincipal,
    ) -> Response[Any]:
        await ruleset.restore(digest, author=principal.key_id, why=read_why(data.why))
        return Redirect("/policy?notice=activated", status_code=303)


async def _pending(retention: RetentionTerms) -> dict[str, Any]:
    """What goes when the grace is over, or why nobody can tell: nothing is deleted then either."""
    try:
        return {"pending": await retention.pending(), "pending_unknown": None}
    except (PolicyInvalid, WorkerError) as fault:
        return {"pending": None, "pending_unknown": fault.detail}


async def _returning(kept: RulesetText, ruleset: LiveRuleset, retention: RetentionTerms) -> RetentionChange | None:
    """What returning to a version would change; None also for one that nobody can return to."""
    if kept.policy_digest == ruleset.current.policy_digest:
        return None
    try:
        return await retention.change(await ruleset.outline(kept.digest))
    except (PolicyInvalid, WorkerError):
        return None
