"""The policy that decides now, its history, and a check for the one that might."""

from datetime import UTC, datetime
from typing import Annotated, Any

from litestar import Controller, Request, Response, get, post, put
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from app.domain import Activation, ActivationSource
from app.errors import MalformedRequest, PolicyInvalid, PreconditionRequired
from app.http.auth import require_scope
from app.http.problems import policy_problem, problems
from app.http.services import GivenBacktests, GivenPrincipal, GivenRetention, GivenRuleset
from app.policy.backtest import Report
from app.policy.retention_change import RetentionChange
from app.policy.retention_terms import RetentionTerms
from app.policy.since import since_when
from app.policy.standing import Replaced

YAML = "application/yaml"
MAX_BODY_BYTES = 2 * 1024 * 1024
#: `curl --data-binary` says so unless told otherwise; the body is YAML all the same.
_FORM = "application/x-www-form-urlencoded"
_CHECKED_TYPES = frozenset({YAML, "application/x-yaml", "text/yaml", "text/x-yaml", "text/plain", _FORM, ""})
#: No policy is one line so long, but one written as JSON.
_LONG_LINE_BYTES = 200


class PolicyReport(BaseModel):
    """`problems` is empty exactly when `ok`. `retention` is what putting it in force would delete, or keep longer; null
    where pictures are kept as long as now, or the policy is not sound."""

    ok: bool
    problems: list[dict[str, JsonValue]]
    retention: RetentionChange | None = None


class PolicyVersion(BaseModel):
    """An entry of the history. `digest` is that of policy and lists together; the highest `seq` is in force."""

    seq: int
    digest: str
    policy_digest: str
    activated_at: datetime
    source: ActivationSource
    author: str
    why: str | None
    forced: bool

    @classmethod
    def of(cls, activation: Activation) -> "PolicyVersion":
        change = activation.change
        return cls(
            seq=activation.seq,
            digest=activation.digest,
            policy_digest=activation.policy_digest,
            activated_at=change.at,
            source=change.source,
            author=change.author,
            why=change.why,
            forced=change.forced,
        )


class PolicyActivated(PolicyVersion):
    """`retention` is what this deletes, or keeps longer, than what was in force; null where it keeps all as long."""

    retention: RetentionChange | None


class PolicyHistory(BaseModel):
    """`next_before` is `before` of the next page, null at the end."""

    versions: list[PolicyVersion]
    next_before: int | None


Why = Annotated[str | None, Field(max_length=500, pattern=r"^[^\x00]*$")]


class ActivateRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    why: Why = None


class PolicyController(Controller):
    path = "/v1/policy"
    guards = (require_scope("policy"),)
    tags = ("policy",)

    @get(
        "/",
        operation_id="get_policy",
        summary="The live policy as YAML",
        description="`ETag` is the policy's digest, `Portcullis-Ruleset` that of policy and lists together.",
        media_type=YAML,
        responses=problems(401, 403),
    )
    async def live(self, request: Request[Any, Any, Any], ruleset: GivenRuleset) -> Response[str]:
        current = ruleset.current
        tag = f'"{current.policy_digest}"'
        headers = {"ETag": tag, "Portcullis-Ruleset": current.digest, "Cache-Control": "private, no-cache"}
        if tag in request.headers.get("if-none-match", ""):
            return Response("", status_code=304, headers=headers, media_type=YAML)
        return Response(current.source, headers=headers, media_type=YAML)

    @post(
        "/check",
        operation_id="check_policy",
        summary="Check a policy without activating it",
        description="The body is YAML. The answer is 200 whether or not the policy is sound: the check itself worked.",
        status_code=200,
        request_max_body_size=MAX_BODY_BYTES,
        responses=problems(400, 401, 403, 413, 415, 503),
    )
    async def check(
        self, request: Request[Any, Any, Any], ruleset: GivenRuleset, retention: GivenRetention
    ) -> PolicyReport:
        policy = await policy_bytes(request)
        try:
            policy.decode()
        except UnicodeDecodeError:
            raise MalformedRequest("the policy is not UTF-8") from None
        try:
            candidate = await ruleset.check(policy)
        except PolicyInvalid as invalid:
            return PolicyReport(ok=False, problems=[policy_problem(problem) for problem in invalid.problems])
        return PolicyReport(ok=True, problems=[], retention=await retention.change(candidate))

    @post(
        "/backtest",
        operation_id="backtest_policy",
        summary="Decide the stored decisions again under another policy",
        description="The body is YAML; nothing is activated. `since` is a span such as `7d`, or a date.",
        status_code=200,
        request_max_body_size=MAX_BODY_BYTES,
        responses=problems(400, 401, 403, 413, 415, 422, 429, 503),
    )
    async def backtest(
        self,
        request: Request[Any, Any, Any],
        backtests: GivenBacktests,
        since: Annotated[str, QueryParameter(max_length=40)] = "7d",
    ) -> Report:
        start = since_when(since, datetime.now(UTC))
        return await backtests.report(await policy_bytes(request), start)

    @put(
        "/",
        operation_id="put_policy",
        summary="Put a policy into force",
        description="The body is YAML, and `If-Match` the `ETag` of the policy that the edit began with (`*` overwrites"
        " any). 412 tells what was changed meanwhile, 422 every problem; neither changes anything. `force` overrules"
        " failing policy tests, and is recorded.",
        status_code=200,
        request_max_body_size=MAX_BODY_BYTES,
        responses=problems(400, 401, 403, 412, 413, 415, 422, 428, 503),
    )
    async def replace(
        self,
        *,
        request: Request[Any, Any, Any],
        ruleset: GivenRuleset,
        retention: GivenRetention,
        principal: GivenPrincipal,
        why: Annotated[str | None, QueryParameter(max_length=500, pattern=r"^[^\x00]*$")] = None,
        force: FromQuery[bool] = False,
    ) -> PolicyActivated:
        expected = expected_digest(request.headers.get("if-match"))
        policy, author = await policy_bytes(request), principal.key_id
        done = await ruleset.put(policy, expected=expected, author=author, why=why, force=force)
        return await activated(done, retention)

    @get(
        "/versions",
        operation_id="list_policy_versions",
        summary="What was in force, the newest first",
        responses=problems(400, 401, 403),
    )
    async def versions(
        self,
        ruleset: GivenRuleset,
        limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
        before: Annotated[int | None, QueryParameter(ge=1, le=2**53)] = None,
    ) -> PolicyHistory:
        found = await ruleset.versions(limit=limit, before_seq=before)
        more = bool(found) and len(found) == limit and found[-1].seq > 1
        return PolicyHistory(
            versions=[PolicyVersion.of(one) for one in found], next_before=found[-1].seq if more else None
        )

    @get(
        "/versions/{digest:str}",
        operation_id="get_policy_version",
        summary="A policy that was in force, as YAML",
        media_type=YAML,
        responses=problems(401, 403, 404),
    )
    async def version(self, digest: FromPath[str], ruleset: GivenRuleset) -> Response[str]:
        kept = await ruleset.text(digest)
        headers = {"Portcullis-Ruleset": kept.digest, "Cache-Control": "private, no-cache"}
        return Response(kept.policy, headers=headers, media_type=YAML)

    @post(
        "/versions/{digest:str}/activate",
        operation_id="activate_policy_version",
        summary="Return to an earlier version, policy and lists together",
        status_code=200,
        request_max_body_size=64 * 1024,
        responses=problems(400, 401, 403, 404, 422, 503),
    )
    async def activate(
        self,
        *,
        digest: FromPath[str],
        data: JSONBody[ActivateRequest],
        ruleset: GivenRuleset,
        retention: GivenRetention,
        principal: GivenPrincipal,
    ) -> PolicyActivated:
        done = await ruleset.restore(digest, author=principal.key_id, why=data.why)
        return await activated(done, retention)


async def activated(done: Replaced, retention: RetentionTerms) -> PolicyActivated:
    change = await retention.change(done.now, done.before)
    return PolicyActivated(**PolicyVersion.of(done.activation).model_dump(), retention=change)


async def policy_bytes(request: Request[Any, Any, Any]) -> bytes:
    if request.content_type[0] not in _CHECKED_TYPES:
        raise HTTPException(detail=f"send the policy as {YAML}", status_code=415)
    data = await request.body()
    flat = b"\n" not in data and len(data) > _LONG_LINE_BYTES and not data.lstrip().startswith(b"{")
    if flat and request.content_type[0] == _FORM:
        raise MalformedRequest("the policy came as one line: `curl -d` takes out line ends, `--data-binary` keeps them")
    return data


def expected_digest(if_match: str | None) -> str | None:
    """The digest that `If-Match` names; None for `*`."""
    if if_match is None:
        raise PreconditionRequired("send the ETag of GET /v1/policy as If-Match, so that no edit of others is lost")
    tag = if_match.strip()
    if tag == "*":
        return None
    if len(tag) < len('""') or not (tag[0] == tag[-1] == '"') or "," in tag:
        raise MalformedRequest("If-Match: must be one ETag in quotes, or *", field="If-Match")
    return tag[1:-1]
