"""The queue, and the case that a reviewer holds."""

from dataclasses import dataclass
from typing import Annotated, Any

from litestar import Controller, Response, get, post
from litestar.params import FromPath, FromQuery, QueryParameter, URLEncodedBody
from litestar.response import Redirect

from app.domain import CaseState, Decision, Outcome, ReviewCase
from app.errors import MalformedRequest, NotFound
from app.http.auth import require_scope
from app.moderation.ports import DecisionStore
from app.web.given import GivenChrome, GivenDecisions, GivenDesk, GivenPrincipal
from app.web.templates import render
from app.web.views import decision_view

_PAGE = 25
_HELD = 100
_MAX_NOTE = 2000

#: What the queue page may say after a redirect; the address names one of these, never a text.
_NOTICES = {
    "pass": "Verdict recorded: pass.",
    "reject": "Verdict recorded: reject.",
    "released": "The case is back in the queue.",
    "empty": "Nothing to claim: the queue is empty, or others hold what is in it.",
}


@dataclass(frozen=True, slots=True)
class ClaimForm:
    case_id: str = ""


@dataclass(frozen=True, slots=True)
class VerdictForm:
    outcome: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A case, why it is here, and where the upload appears; the decision is None when it was erased."""

    case: ReviewCase
    decision: Decision | None
    surface: str | None = None


class ReviewPages(Controller):
    path = "/review"
    guards = (require_scope("review"),)
    request_max_body_size = 64 * 1024

    @get("/")
    async def queue(
        self,
        *,
        desk: GivenDesk,
        decisions: GivenDecisions,
        principal: GivenPrincipal,
        chrome: GivenChrome,
        case_state: Annotated[CaseState, QueryParameter(name="state")] = CaseState.OPEN,
        cursor: Annotated[str | None, QueryParameter(max_length=500)] = None,
        notice: FromQuery[str] = "",
    ) -> Response[str]:
        cases, next_cursor = await desk.page(state=case_state, limit=_PAGE, cursor=cursor)
        claimed, _ = await desk.page(state=CaseState.CLAIMED, limit=_HELD)
        mine = [case for case in claimed if case.claimed_by == principal.key_id]
        return render(
            "queue.html",
            chrome,
            state=case_state,
            counts=await desk.counts(),
            mine=[await _row(case, decisions) for case in mine],
            rows=[await _row(case, decisions) for case in cases],
            next_cursor=next_cursor,
            notice=_NOTICES.get(notice),
            recorded=notice in (Outcome.PASS, Outcome.REJECT),
        )

    @get("/{case_id:str}")
    async def case(
        self,
        case_id: FromPath[str],
        *,
        desk: GivenDesk,
        decisions: GivenDecisions,
        principal: GivenPrincipal,
        chrome: GivenChrome,
    ) -> Response[str]:
        case = await desk.get(case_id)
        record = await decisions.find_record(case.decision_id)
        return render("case.html", chrome, case=case, held=_is_held(case, principal.key_id), view=decision_view(record))

    @post("/claim")
    async def claim(self, data: URLEncodedBody[ClaimForm], desk: GivenDesk, principal: GivenPrincipal) -> Response[Any]:
        case = await desk.claim(principal.key_id, data.case_id or None)
        return _go("/review?notice=empty" if case is None else f"/review/{case.id}")

    @post("/{case_id:str}/renew")
    async def renew(self, case_id: FromPath[str], desk: GivenDesk, principal: GivenPrincipal) -> Response[Any]:
        case = await desk.renew(case_id, principal.key_id)
        return _go(f"/review/{case.id}")

    @post("/{case_id:str}/release")
    async def release(self, case_id: FromPath[str], desk: GivenDesk, principal: GivenPrincipal) -> Response[Any]:
        await desk.release(case_id, principal.key_id)
        return _go("/review?notice=released")

    @post("/{case_id:str}/verdict")
    async def verdict(
        self, case_id: FromPath[str], data: URLEncodedBody[VerdictForm], desk: GivenDesk, principal: GivenPrincipal
    ) -> Response[Any]:
        outcome, note = _verdict(data)
        await desk.decide(case_id, principal.key_id, outcome, note)
        return _go(f"/review?notice={outcome.value}")


async def _row(case: ReviewCase, decisions: DecisionStore) -> Row:
    try:
        record = await decisions.find_record(case.decision_id)
    except NotFound:
        return Row(case, None)
    return Row(case, record.decision, record.context.surface)


def _is_held(case: ReviewCase, reviewer: str) -> bool:
    """Also after the lease lapsed, as long as nobody else took the case: the desk accepts the verdict then."""
    if case.state is CaseState.CLAIMED:
        return case.claimed_by == reviewer
    return case.state is CaseState.OPEN and case.lapsed_from == reviewer


def _verdict(form: VerdictForm) -> tuple[Outcome, str | None]:
    if form.outcome not in (Outcome.PASS, Outcome.REJECT):
        raise MalformedRequest("outcome: must be pass or reject", field="outcome")
    note = form.note.strip()
    if len(note) > _MAX_NOTE or "\x00" in note:
        raise MalformedRequest(f"note: at most {_MAX_NOTE} characters of text", field="note")
    return Outcome(form.outcome), note or None


def _go(path: str) -> Response[Any]:
    return Redirect(path, status_code=303)
