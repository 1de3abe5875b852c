"""The policy that is tried beside the live one, what it would have changed, and its promotion."""

from datetime import UTC, datetime
from typing import Annotated, Any

from litestar import Controller, Request, Response, delete, get, post, put
from litestar.params import FromQuery, QueryParameter
from pydantic import BaseModel, JsonValue

from app.domain import ActivationSource
from app.errors import NotFound
from app.http.auth import require_scope
from app.http.policy import MAX_BODY_BYTES, YAML, PolicyActivated, activated, expected_digest, policy_bytes
from app.http.problems import policy_problem, problems
from app.http.services import GivenPrincipal, GivenRetention, GivenRuleset, GivenShadow, GivenShadowStore
from app.policy.shadow import ShadowStatus
from app.policy.shadow_report import ShadowReport, report_on
from app.policy.since import since_when

Why = Annotated[str | None, QueryParameter(max_length=500, pattern=r"^[^\x00]*$")]


class ShadowState(BaseModel):
    """`problems` say why it cannot be tried with the lists of the moment; nothing is compared until it can."""

    policy_digest: str
    set_at: datetime
    source: ActivationSource
    author: str
    why: str | None
    problems: list[dict[str, JsonValue]]

    @classmethod
    def of(cls, status: ShadowStatus) -> "ShadowState | None":
        entry = status.entry
        if entry is None or entry.policy_digest is None:
            return None
        return cls(
            policy_digest=entry.policy_digest,
            set_at=entry.change.at,
            source=entry.change.source,
            author=entry.change.author,
            why=entry.change.why,
            problems=[policy_problem(problem) for problem in status.problems],
        )


class ShadowComparisons(BaseModel):
    """`policy` is about the shadow policy, `rules` about the shadow rules of the live one; each is null where there is
    none. `unrecorded` counts decisions since the shadow policy was set that it was not compared with."""

    shadow: ShadowState | None
    file_problems: list[dict[str, JsonValue]]
    since: datetime
    policy: ShadowReport | None
    unrecorded: int
    rules: ShadowReport | None


class ShadowController(Controller):
    path = "/v1/policy/shadow"
    guards = (require_scope("policy"),)
    tags = ("policy",)

    @get(
        "/",
        operation_id="get_shadow_policy",
        summary="The shadow policy as YAML",
        media_type=YAML,
        responses=problems(401, 403, 404),
    )
    async def current(self, shadow: GivenShadow) -> Response[str]:
        entry = shadow.status.entry
        if entry is None or entry.policy is None:
            raise NotFound("there is no shadow policy")
        headers = {"ETag": f'"{entry.policy_digest}"', "Cache-Control": "private, no-cache"}
        return Response(entry.policy, headers=headers, media_type=YAML)

    @put(
        "/",
        operation_id="put_shadow_policy",
        summary="Try a policy beside the live one",
        description="The body is YAML. It decides nothing: it is compared with each decision from now on.",
        status_code=200,
        request_max_body_size=MAX_BODY_BYTES,
        responses=problems(400, 401, 403, 413, 415, 422, 503),
    )
    async def replace(
        self, request: Request[Any, Any, Any], shadow: GivenShadow, principal: GivenPrincipal, why: Why = None
    ) -> ShadowState:
        await shadow.put(await policy_bytes(request), author=principal.key_id, why=why)
        state = ShadowState.of(shadow.status)
        if state is None:
            raise NotFound("the shadow policy was taken away at once")
        return state

    @delete(
        "/",
        operation_id="delete_shadow_policy",
        summary="Try it no longer",
        description="What was compared is kept.",
        responses=problems(400, 401, 403, 404),
    )
    async def remove(self, shadow: GivenShadow, principal: GivenPrincipal, why: Why = None) -> None:
        await shadow.remove(author=principal.key_id, why=why)

    @get(
        "/report",
        operation_id="report_shadow_policy",
        summary="What the shadow policy and the shadow rules would have changed",
        description="`since` is a span such as `7d`, or a date.",
        responses=problems(400, 401, 403),
    )
    async def report(
        self,
        shadow: GivenShadow,
        shadow_store: GivenShadowStore,
        ruleset: GivenRuleset,
        since: Annotated[str, QueryParameter(max_length=40)] = "7d",
    ) -> ShadowComparisons:
        start, status = since_when(since, datetime.now(UTC)), shadow.status
        found = await report_on(shadow_store, shadow=status.entry, live=ruleset.current, since=start)
        return ShadowComparisons(
            shadow=ShadowState.of(status),
            file_problems=[policy_problem(problem) for problem in status.file_problems],
            since=start,
            policy=found.policy,
            unrecorded=found.unrecorded,
            rules=found.rules,
        )

    @post(
        "/promote",
        operation_id="promote_shadow_policy",
        summary="Make the shadow policy the live one",
        description="`If-Match` and `force` are those of `PUT /v1/policy`. `digest` is the `ETag` of the shadow policy"
        " that is meant; without it, whatever is tried now.",
        status_code=200,
        request_max_body_size=64 * 1024,
        responses=problems(400, 401, 403, 404, 412, 422, 428, 503),
    )
    async def promote(
        self,
        *,
        request: Request[Any, Any, Any],
        shadow: GivenShadow,
        retention: GivenRetention,
        principal: GivenPrincipal,
        why: Why = None,
        digest: Annotated[str | None, QueryParameter(max_length=100)] = None,
        force: FromQuery[bool] = False,
    ) -> PolicyActivated:
        expected = expected_digest(request.headers.get("if-match"))
        meant = None if digest is None else digest.strip('"')
        done = await shadow.promote(expected=expected, shadow=meant, author=principal.key_id, why=why, force=force)
        return await activated(done, retention)
