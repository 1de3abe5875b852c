"""The audit log: its entries, and whether the chain holds."""

from typing import Annotated

from litestar import Controller, get
from litestar.params import QueryParameter
from pydantic import BaseModel

from app.audit.chain import ChainReport, SealedEntry, event_of
from app.domain import AuditEvent
from app.http.auth import require_scope
from app.http.problems import problems
from app.http.services import GivenAuditLog


class AuditEntry(BaseModel):
    """One link of the chain. `prev` and `hash` are hex; `body` is exactly the text that was hashed after the bytes of
    `prev`, and `event` what it says (None when it is not the body of an entry)."""

    seq: int
    prev: str
    hash: str
    body: str
    event: AuditEvent | None


class AuditPage(BaseModel):
    entries: list[AuditEntry]
    next_after: int | None


class AuditProblem(BaseModel):
    fault: str
    seq: int
    detail: str


class AuditReport(BaseModel):
    """`checked` entries hold, up to `seq` with `hash`; `problem` is the first that does not."""

    sound: bool
    checked: int
    seq: int
    hash: str
    problem: AuditProblem | None


class AuditController(Controller):
    path = "/v1/audit"
    guards = (require_scope("audit"),)
    tags = ("audit",)

    @get("/", operation_id="list_audit", summary="Entries by number", responses=problems(400, 401, 403))
    async def page(
        self,
        audit_log: GivenAuditLog,
        after: Annotated[int, QueryParameter(ge=0, le=2**62)] = 0,
        limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
    ) -> AuditPage:
        entries = await audit_log.entries(after_seq=after, limit=limit)
        full = len(entries) == limit
        return AuditPage(
            entries=[_entry(entry) for entry in entries], next_after=entries[-1].seq if entries and full else None
        )

    @get(
        "/verify",
        operation_id="verify_audit",
        summary="Read the whole chain and name the first problem",
        description="The answer is 200 whether or not the chain holds; `sound` says it.",
        responses=problems(401, 403, 500),
    )
    async def verify(self, audit_log: GivenAuditLog) -> AuditReport:
        return _report(await audit_log.verify())


def _entry(entry: SealedEntry) -> AuditEntry:
    try:
        event = event_of(entry)
    except ValueError:
        event = None
    return AuditEntry(
        seq=entry.seq,
        prev=entry.prev.hex(),
        hash=entry.hash.hex(),
        body=entry.body.decode("utf-8", "replace"),
        event=event,
    )


def _report(report: ChainReport) -> AuditReport:
    problem = report.problem
    return AuditReport(
        sound=report.sound,
        checked=report.checked,
        seq=report.point.seq,
        hash=report.point.hash.hex(),
        problem=None if problem is None else AuditProblem(fault=problem.fault, seq=problem.seq, detail=problem.detail),
    )
