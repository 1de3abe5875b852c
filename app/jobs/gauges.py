"""Set the gauges that only the database knows."""

from app.audit.ports import AuditLog
from app.metrics import AUDIT_PENDING, REVIEW_CASES
from app.review.desk import ReviewDesk


async def refresh_gauges(log: AuditLog, desk: ReviewDesk) -> None:
    AUDIT_PENDING.set(await log.pending())
    for state, cases in (await desk.counts()).items():
        REVIEW_CASES.labels(state.value).set(cases)
