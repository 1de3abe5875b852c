"""The review queue over the API. Who claims is who asks: the key's id is the reviewer."""

from typing import Annotated, Literal

from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from pydantic import BaseModel, ConfigDict, Field

from app.domain import CaseState, Outcome, ReviewCase
from app.http.auth import require_scope
from app.http.problems import problems
from app.http.services import GivenDesk, GivenPrincipal


class CasePage(BaseModel):
    cases: list[ReviewCase]
    next_cursor: str | None


class CaseAnswer(BaseModel):
    """`case` is None only for a claim on a queue in which nothing can be claimed."""

    case: ReviewCase | None


class ClaimRequest(BaseModel):
    """`case_id` claims that case; without it, the first of the queue."""

    model_config = ConfigDict(extra="forbid", strict=True)

    case_id: Annotated[str, Field(min_length=1, max_length=100)] | None = None


class VerdictRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    outcome: Literal["pass", "reject"]
    note: Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$")] | None = None


class ReviewController(Controller):
    path = "/v1/reviews"
    guards = (require_scope("review"),)
    tags = ("reviews",)
    request_max_body_size = 64 * 1024

    @get("/", operation_id="list_cases", summary="Cases in the queue's order", responses=problems(400, 401, 403))
    async def page(
        self,
        desk: GivenDesk,
        case_state: Annotated[CaseState | None, QueryParameter(name="state")] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
        cursor: Annotated[str | None, QueryParameter(max_length=500)] = None,
    ) -> CasePage:
        cases, next_cursor = await desk.page(state=case_state, limit=limit, cursor=cursor)
        return CasePage(cases=cases, next_cursor=next_cursor)

    @get("/{case_id:str}", operation_id="get_case", summary="One case", responses=problems(401, 403, 404))
    async def find(self, case_id: FromPath[str], desk: GivenDesk) -> CaseAnswer:
        return CaseAnswer(case=await desk.get(case_id))

    @post(
        "/claim",
        operation_id="claim_case",
        summary="Take a case under a lease",
        status_code=200,
        responses=problems(400, 401, 403, 404, 409),
    )
    async def claim(self, data: JSONBody[ClaimRequest], desk: GivenDesk, principal: GivenPrincipal) -> CaseAnswer:
        return CaseAnswer(case=await desk.claim(principal.key_id, data.case_id))

    @post(
        "/{case_id:str}/renew",
        operation_id="renew_case",
        summary="Count the lease from now",
        status_code=200,
        responses=problems(401, 403, 404, 409),
    )
    async def renew(self, case_id: FromPath[str], desk: GivenDesk, principal: GivenPrincipal) -> CaseAnswer:
        return CaseAnswer(case=await desk.renew(case_id, principal.key_id))

    @post(
        "/{case_id:str}/release",
        operation_id="release_case",
        summary="Put a case back into the queue",
        status_code=200,
        responses=problems(401, 403, 404, 409),
    )
    async def release(self, case_id: FromPath[str], desk: GivenDesk, principal: GivenPrincipal) -> CaseAnswer:
        return CaseAnswer(case=await desk.release(case_id, principal.key_id))

    @post(
        "/{case_id:str}/verdict",
        operation_id="decide_case",
        summary="Decide a case that one holds",
        status_code=200,
        responses=problems(400, 401, 403, 404, 409),
    )
    async def verdict(
        self, case_id: FromPath[str], data: JSONBody[VerdictRequest], desk: GivenDesk, principal: GivenPrincipal
    ) -> CaseAnswer:
        return CaseAnswer(case=await desk.decide(case_id, principal.key_id, Outcome(data.outcome), data.note))
