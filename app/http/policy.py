"""The policy that decides now, and a check for the one that might."""

from typing import Any

from litestar import Controller, Request, Response, get, post
from litestar.exceptions import HTTPException
from pydantic import BaseModel, JsonValue

from app.errors import MalformedRequest
from app.http.auth import require_scope
from app.http.problems import policy_problem, problems
from app.http.services import GivenPolicyCheck, GivenRuleset

_YAML = "application/yaml"
#: `curl --data-binary` says form-urlencoded unless told otherwise; the body is YAML all the same.
_CHECKED_TYPES = frozenset(
    {_YAML, "application/x-yaml", "text/yaml", "text/x-yaml", "text/plain", "application/x-www-form-urlencoded", ""}
)


class PolicyReport(BaseModel):
    """`problems` is empty exactly when `ok`."""

    ok: bool
    problems: list[dict[str, JsonValue]]


class PolicyController(Controller):
    path = "/v1/policy"
    guards = (require_scope("policy"),)
    tags = ("policy",)

    @get(
        "/",
        operation_id="get_policy",
        summary="The live policy as YAML",
        description="`ETag` is the policy's digest, `Portcullis-Ruleset` that of policy and lists together.",
        media_type=_YAML,
        responses=problems(401, 403),
    )
    async def live(self, request: Request[Any, Any, Any], ruleset: GivenRuleset) -> Response[str]:
        current = ruleset.current
        tag = f'"{current.policy_digest}"'
        headers = {"ETag": tag, "Portcullis-Ruleset": current.digest, "Cache-Control": "private, no-cache"}
        if tag in request.headers.get("if-none-match", ""):
            return Response("", status_code=304, headers=headers, media_type=_YAML)
        return Response(current.source, headers=headers, media_type=_YAML)

    @post(
        "/check",
        operation_id="check_policy",
        summary="Check a policy without activating it",
        description="The body is YAML. The answer is 200 whether or not the policy is sound: the check itself worked.",
        status_code=200,
        request_max_body_size=2 * 1024 * 1024,
        responses=problems(400, 401, 403, 413, 415),
    )
    async def check(self, request: Request[Any, Any, Any], check_policy: GivenPolicyCheck) -> PolicyReport:
        if request.content_type[0] not in _CHECKED_TYPES:
            raise HTTPException(detail=f"send the policy as {_YAML}", status_code=415)
        try:
            text = (await request.body()).decode()
        except UnicodeDecodeError:
            raise MalformedRequest("the policy is not UTF-8") from None
        problems = await check_policy(text)
        return PolicyReport(ok=not problems, problems=[policy_problem(problem) for problem in problems])
