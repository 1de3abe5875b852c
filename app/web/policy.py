"""The policy page: what decides now, what is wrong with the newest edit, and the way back to what decided before."""

from dataclasses import dataclass
from typing import Annotated, Any

from litestar import Controller, Response, get, post
from litestar.params import FromPath, FromQuery, QueryParameter, URLEncodedBody
from litestar.response import Redirect

from app.errors import MalformedRequest
from app.http.auth import require_scope
from app.policy.diff import policy_diff
from app.web.given import GivenChrome, GivenPrincipal, GivenRuleset, GivenShadow, GivenShadowStore
from app.web.shadow import SPANS, shadow_view
from app.web.templates import render

_PAGE = 20
_MAX_WHY = 500
_NOTICES = {
    "activated": "The version is in force again, policy and lists together.",
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
        shadow: GivenShadow,
        shadow_store: GivenShadowStore,
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
            shadow=await shadow_view(shadow, shadow_store, ruleset, span),
        )

    @get("/versions/{digest:str}")
    async def version(self, digest: FromPath[str], *, ruleset: GivenRuleset, chrome: GivenChrome) -> Response[str]:
        kept = await ruleset.text(digest)
        current = ruleset.current
        known = {one.name: one.digest for one in kept.lists}
        return render(
            "policy_version.html",
            chrome,
            version=kept,
            in_force=kept.digest == current.digest,
            diff=policy_diff(current.source, kept.policy, before="in force", after="this version"),
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
        why = data.why.strip()
        if len(why) > _MAX_WHY or "\x00" in why:
            raise MalformedRequest(f"why: at most {_MAX_WHY} characters of text", field="why")
        await ruleset.restore(digest, author=principal.key_id, why=why or None)
        return Redirect("/policy?notice=activated", status_code=303)
