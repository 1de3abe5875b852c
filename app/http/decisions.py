"""Decisions that were made, and the pictures they were made on."""

from datetime import UTC, datetime
from typing import Annotated

from litestar import Controller, Response, get
from litestar.params import FromPath, FromQuery, QueryParameter
from pydantic import BaseModel

from app.domain import AuditEvent, Decision, Outcome, new_id
from app.errors import Forbidden
from app.http.auth import require_reader
from app.http.languages import AcceptLanguage, in_language
from app.http.problems import problems
from app.http.services import GivenDecisions, GivenEvidence, GivenOutbox, GivenPrincipal

#: Types that browsers show as pictures and nothing else. Everything else is only offered for download.
_SHOWN_TYPES = frozenset({"image/jpeg", "image/png", "image/webp", "image/gif", "image/avif"})

#: An upload is somebody else's file on our origin: it may run nothing, load nothing and be framed by nobody.
_PICTURE_HEADERS = {
    "Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class DecisionPage(BaseModel):
    decisions: list[Decision]
    next_cursor: str | None


class DecisionController(Controller):
    path = "/v1/decisions"
    guards = (require_reader,)
    tags = ("decisions",)

    @get("/", operation_id="list_decisions", summary="Decisions, the newest first", responses=problems(400, 401, 403))
    async def page(
        self,
        *,
        decisions: GivenDecisions,
        principal: GivenPrincipal,
        outcome: FromQuery[Outcome | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
        cursor: Annotated[str | None, QueryParameter(max_length=500)] = None,
        accept_language: AcceptLanguage = None,
    ) -> DecisionPage:
        found, next_cursor = await decisions.page(
            limit=limit, cursor=cursor, outcome=outcome, key_id=principal.decisions_of
        )
        return DecisionPage(decisions=[in_language(one, accept_language) for one in found], next_cursor=next_cursor)

    @get("/{decision_id:str}", operation_id="get_decision", summary="One decision", responses=problems(401, 403, 404))
    async def find(
        self,
        decision_id: FromPath[str],
        decisions: GivenDecisions,
        principal: GivenPrincipal,
        accept_language: AcceptLanguage = None,
    ) -> Decision:
        return in_language(await decisions.find(decision_id, key_id=principal.decisions_of), accept_language)

    @get(
        "/{decision_id:str}/image",
        operation_id="get_picture",
        summary="The picture a decision was made on",
        description="The upload's own bytes, for keys with `review`; each view is recorded in the audit log before it "
        "is answered. `preview=true` gives the small grey, blurred version, which is not recorded.",
        media_type="application/octet-stream",
        responses=problems(401, 403, 404, 503),
    )
    async def picture(
        self,
        *,
        decision_id: FromPath[str],
        decisions: GivenDecisions,
        evidence: GivenEvidence,
        outbox: GivenOutbox,
        principal: GivenPrincipal,
        preview: FromQuery[bool] = False,
    ) -> Response[bytes]:
        decision = await decisions.find(decision_id, key_id=principal.decisions_of)
        sha256 = decision.image.sha256
        if preview:
            return _picture(await evidence.preview(sha256), "image/jpeg", decision_id)
        if not principal.may("review"):
            raise Forbidden("this needs a key with the scope `review`")
        record = await decisions.find_record(decision_id)
        data = await evidence.get(sha256)
        await outbox.append([_viewed(principal.key_id, decision_id, sha256)])
        return _picture(data, record.media_type, decision_id)


def _viewed(actor: str, decision_id: str, sha256: str) -> AuditEvent:
    return AuditEvent(
        id=new_id("evt"),
        kind="evidence.viewed",
        at=datetime.now(UTC),
        actor=actor,
        subject=decision_id,
        body={"sha256": sha256},
    )


def _picture(data: bytes, media_type: str, decision_id: str) -> Response[bytes]:
    shown = media_type in _SHOWN_TYPES
    disposition = "inline" if shown else f'attachment; filename="{decision_id}"'
    return Response(
        data,
        media_type=media_type if shown else "application/octet-stream",
        headers={**_PICTURE_HEADERS, "Content-Disposition": disposition},
    )
