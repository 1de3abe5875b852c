"""Which pictures nobody needs any more.

The question is answered from the decisions and cases themselves, by the retention of the moment, not from a date that
would have to follow them all.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, case, exists, func, literal, select, tuple_
from sqlalchemy.orm import aliased, outerjoin
from sqlmodel import col, update
from sqlmodel import select as select_rows
from sqlmodel.ext.asyncio.session import AsyncSession

from app.domain import AuditEvent, CaseState, ExpiredPicture, Keep, Keeping, Outcome, PicturePlace, Settled
from app.store.outbox import put_events
from app.store.session import Database
from app.store.tables import CaseRow, DecisionCategoryRow, DecisionRow, PictureRow
from app.store.types import UtcDateTime

#: No decision is older.
_EVER = datetime(1970, 1, 1, tzinfo=UTC)
#: Of a decision that waits for a person, or whose outcome is none that is known.
_OPEN = "open"
_LAST = aliased(CaseRow)


class SqlRetention:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def expired_evidence(
        self,
        keeping: Keeping,
        *,
        now: datetime,
        seen_before: datetime,
        after: PicturePlace | None,
        limit: int,
        agreed: Sequence[Keeping] = (),
        kept_by: Keeping | None = None,
    ) -> tuple[list[ExpiredPicture], PicturePlace | None]:
        """Of the next `limit` pictures that were last seen before then, the longest unseen first, those of whose
        decisions every one is settled and its time over; and the place to go on from, None at the end. Its time must be
        over by what is `agreed` too, and with `kept_by` it must not be by that."""
        if keeping.shortest is None:
            return [], None
        query = select_rows(PictureRow.last_seen_at, PictureRow.sha256).where(
            col(PictureRow.deleted_at).is_(None), PictureRow.last_seen_at < min(seen_before, now - keeping.shortest)
        )
        if after is not None:
            query = query.where(
                tuple_(col(PictureRow.last_seen_at), col(PictureRow.sha256))
                > tuple_(literal(after[0], UtcDateTime()), literal(after[1]))
            )
        query = query.order_by(col(PictureRow.last_seen_at), col(PictureRow.sha256)).limit(limit)
        async with self._database.reading() as session:
            pictures = [(seen_at, sha256) for seen_at, sha256 in (await session.exec(query)).all()]
            conditions = [~_still_needed(one, now) for one in (keeping, *agreed)]
            if kept_by is not None:
                conditions.append(_still_needed(kept_by, now))
            expired = await _those(session, [sha256 for _, sha256 in pictures], conditions, keeping)
        return expired, pictures[-1] if len(pictures) == limit else None

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
        query = select_rows(PictureRow.sha256).where(
            col(PictureRow.sha256).in_(pictures), col(PictureRow.deleted_at).is_(None)
        )
        async with self._database.reading() as session:
            known = set((await session.exec(query)).all())
        return [picture for picture in pictures if picture not in known]


async def _those(
    session: AsyncSession, pictures: Sequence[str], conditions: Sequence[ColumnElement[bool]], keeping: Keeping
) -> list[ExpiredPicture]:
    """Of the pictures, those that meet the conditions, each with what kept it longest."""
    if not pictures:
        return []
    query = select_rows(PictureRow.sha256).where(col(PictureRow.sha256).in_(pictures), *conditions)
    gone = set((await session.exec(query)).all())
    ends = await _longest_kept(session, gone, keeping)
    return [ends[sha256] for sha256 in pictures if sha256 in ends]


def _still_needed(keeping: Keeping, now: datetime) -> ColumnElement[bool]:
    """Whether any decision about the picture in the enclosing query is not settled, or was not long enough ago."""
    category = col(DecisionCategoryRow.category)
    own = {name: _over_before(keep, now) for name, keep in keeping.categories.items()}
    rejected = _over_before(keeping.rejected, now)
    kept_since = case(
        {
            Settled.PASSED.value: _over_before(keeping.passed, now),
            Settled.REVIEWED.value: _over_before(keeping.reviewed, now),
            Settled.REJECTED.value: case(own, value=category, else_=rejected) if own else rejected,
        },
        value=_settled(),
        else_=literal(_EVER, UtcDateTime()),
    )
    return (
        exists()
        .select_from(_decisions())
        .where(col(DecisionRow.image_sha256) == col(PictureRow.sha256), _settled_at() >= kept_since)
        .correlate(PictureRow)
    )


async def _longest_kept(session: AsyncSession, pictures: set[str], keeping: Keeping) -> dict[str, ExpiredPicture]:
    """By picture, what kept it longest: as many rows as it has kinds of decisions, however many those are. Without
    those that have come to wait for a person: PostgreSQL sees what is written between two queries."""
    of_each = (
        select(
            col(DecisionRow.image_sha256).label("sha256"),
            _settled().label("settled"),
            col(DecisionCategoryRow.category).label("category"),
            _settled_at().label("settled_at"),
        )
        .select_from(_decisions())
        .where(col(DecisionRow.image_sha256).in_(pictures))
        .subquery()
    )
    kind = (of_each.c.sha256, of_each.c.settled, of_each.c.category)
    query = select(*kind, func.max(of_each.c.settled_at)).group_by(*kind)
    ends: dict[str, tuple[datetime, ExpiredPicture]] = {}
    rows = (await (await session.connection()).execute(query)).all()
    waiting = {sha256 for sha256, word, *_ in rows if word == _OPEN}
    for sha256, word, category, settled_at in rows:
        if sha256 in waiting:
            continue
        settled = Settled(word)
        keep = keeping.of(settled, category)
        end = settled_at + (keep.time or timedelta(0))
        if sha256 not in ends or end > ends[sha256][0]:
            ends[sha256] = end, ExpiredPicture(sha256, settled, settled_at, keep.rule)
    return {sha256: picture for sha256, (_, picture) in ends.items()}


def _decisions() -> Any:
    """Decisions, each with the case whose verdict is the last word on it, if there is one, and a row for each of its
    categories, or one without."""
    decision: Any = DecisionRow
    later = aliased(CaseRow)
    spoken_after = exists().where(
        col(later.decision_id) == col(_LAST.decision_id),
        tuple_(col(later.verdict_at), col(later.id)) > tuple_(col(_LAST.verdict_at), col(_LAST.id)),
    )
    last_word = and_(col(_LAST.decision_id) == col(DecisionRow.id), col(_LAST.verdict_at).is_not(None), ~spoken_after)
    of_it = col(DecisionCategoryRow.decision_id) == col(DecisionRow.id)
    return outerjoin(outerjoin(decision, _LAST, last_word), DecisionCategoryRow, of_it)


def _settled() -> ColumnElement[str]:
    """A word of Settled, or `open`, for a row of `_decisions`."""
    undecided = exists().where(
        col(CaseRow.decision_id) == col(DecisionRow.id), col(CaseRow.state) != CaseState.DECIDED.value
    )
    verdict = col(_LAST.verdict_outcome)
    outcome = func.coalesce(verdict, col(DecisionRow.outcome))
    return case(
        (undecided, _OPEN),
        (outcome == Outcome.REJECT.value, Settled.REJECTED.value),
        (outcome != Outcome.PASS.value, _OPEN),
        (verdict.is_not(None), Settled.REVIEWED.value),
        else_=Settled.PASSED.value,
    )


def _settled_at() -> ColumnElement[datetime]:
    return func.coalesce(col(_LAST.verdict_at), col(DecisionRow.created_at))


def _over_before(keep: Keep, now: datetime) -> ColumnElement[datetime]:
    """What was settled before then need not be kept."""
    return literal(_EVER if keep.time is None else now - keep.time, UtcDateTime())
