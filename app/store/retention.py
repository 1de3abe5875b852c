"""Which pictures nobody needs any more.

The question is answered from the decisions and cases themselves, not from a flag that would have to follow them.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, exists, or_
from sqlmodel import col, select, update

from app.domain import AuditEvent, CaseState, Outcome
from app.store.outbox import put_events
from app.store.session import Database
from app.store.tables import CaseRow, DecisionRow, PictureRow


class SqlRetention:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def expired_evidence(self, *, passed_before: datetime, limit: int) -> list[str]:
        """SHA-256 of pictures whose every decision passed before then, with no case of theirs undecided.

        A decision has passed when its outcome is pass, or when a reviewer said so; a reviewer's reject or a verdict
        that is younger keeps the picture.
        """
        query = (
            select(PictureRow.sha256)
            .where(
                col(PictureRow.deleted_at).is_(None),
                PictureRow.last_seen_at < passed_before,
                ~_still_needed(passed_before),
            )
            .order_by(col(PictureRow.last_seen_at))
            .limit(limit)
        )
        async with self._database.reading() as session:
            return list((await session.exec(query)).all())

    async def evidence_deleted(
        self, pictures: Sequence[str], *, seen_before: datetime, at: datetime, events: Sequence[AuditEvent]
    ) -> None:
        """Note that these pictures' bytes are gone, with the events, in one transaction. One that was seen since has
        been put again: of that one only the event is written."""
        gone = update(PictureRow).where(
            col(PictureRow.sha256).in_(pictures), col(PictureRow.last_seen_at) < seen_before
        )
        async with self._database.writing() as session:
            await session.exec(gone.values(deleted_at=at))
            await put_events(session, events)

    async def unknown_evidence(self, pictures: Sequence[str]) -> list[str]:
        """Those of the pictures that no decision is about, or that are noted as deleted."""
        query = select(PictureRow.sha256).where(
            col(PictureRow.sha256).in_(pictures), col(PictureRow.deleted_at).is_(None)
        )
        async with self._database.reading() as session:
            known = set((await session.exec(query)).all())
        return [picture for picture in pictures if picture not in known]


def _still_needed(passed_before: datetime) -> ColumnElement[bool]:
    """Whether any decision about the picture in the enclosing query is not one that passed before then."""
    passed_by_a_person = exists().where(
        col(CaseRow.decision_id) == col(DecisionRow.id), col(CaseRow.verdict_outcome) == Outcome.PASS.value
    )
    unsettled_case = exists().where(
        col(CaseRow.decision_id) == col(DecisionRow.id),
        or_(
            col(CaseRow.state) != CaseState.DECIDED.value,
            col(CaseRow.verdict_outcome) != Outcome.PASS.value,
            col(CaseRow.verdict_at) >= passed_before,
        ),
    )
    return exists().where(
        col(DecisionRow.image_sha256) == col(PictureRow.sha256),
        or_(
            col(DecisionRow.created_at) >= passed_before,
            (col(DecisionRow.outcome) == Outcome.REVIEW.value) & ~passed_by_a_person,
            col(DecisionRow.outcome) == Outcome.REJECT.value,
            unsettled_case,
        ),
    )
