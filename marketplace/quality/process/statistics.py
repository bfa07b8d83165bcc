"""What everybody may know of how a requester deals with work: rejections, appeals, and how often they were wrong."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.actor import OrganisationKind
from marketplace.core.clock import now
from marketplace.identity.models import Organisation
from marketplace.quality.process.errors import RequesterUnknown
from marketplace.quality.process.schemas import DueProcessFigures, DueProcessView

_RECENT: Final = timedelta(days=90)
_FIGURES: Final = text(
    """
    WITH own AS (SELECT id FROM dataset_request WHERE organisation_id = :organisation),
    judged AS (
        SELECT count(*) AS given,
               count(*) FILTER (WHERE v.outcome <> 'rework') AS decided,
               count(*) FILTER (WHERE v.outcome = 'rejected' OR v.state = 'overturned') AS rejected,
               count(*) FILTER (WHERE v.outcome = 'rework') AS reworked
        FROM verdict v JOIN own ON own.id = v.request_id
        WHERE CAST(:since AS timestamptz) IS NULL OR v.created_at >= :since
    ), objected AS (
        SELECT count(*) AS appeals, count(*) FILTER (WHERE a.state <> 'open') AS answered,
               count(*) FILTER (WHERE a.state = 'overturned') AS overturned,
               percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM a.answered_at - a.created_at) / 3600)
                   AS hours
        FROM appeal a JOIN own ON own.id = a.request_id
        WHERE CAST(:since AS timestamptz) IS NULL OR a.created_at >= :since
    ), kept AS (
        SELECT count(*) AS held FROM held_verdict h JOIN own ON own.id = h.request_id
        WHERE CAST(:since AS timestamptz) IS NULL OR h.created_at >= :since
    )
    SELECT given, decided, rejected, reworked, appeals, answered, overturned, hours, held
    FROM judged CROSS JOIN objected CROSS JOIN kept
    """
)


async def due_process_of(session: AsyncSession, organisation_id: UUID) -> DueProcessView:
    """Return a requester's public record; `RequesterUnknown` where there is no such enterprise."""
    organisation = await session.get(Organisation, organisation_id)
    if organisation is None or organisation.kind is not OrganisationKind.ENTERPRISE:
        raise RequesterUnknown
    return DueProcessView(
        organisation_id=organisation_id,
        name=organisation.name,
        last_90_days=await _figures(session, organisation_id, now() - _RECENT),
        all_time=await _figures(session, organisation_id, None),
    )


async def _figures(session: AsyncSession, organisation_id: UUID, since: datetime | None) -> DueProcessFigures:
    row = (await session.execute(_FIGURES, {"organisation": organisation_id, "since": since})).one()
    return DueProcessFigures(
        decided=row.decided,
        rejected=row.rejected,
        rejected_share=_share(row.rejected, row.decided),
        reworked=row.reworked,
        reworked_share=_share(row.reworked, row.given),
        appeals=row.appeals,
        appeals_decided=row.answered,
        overturned=row.overturned,
        overturned_share=_share(row.overturned, row.answered),
        median_answer_hours=None if row.hours is None else round(float(row.hours), 2),
        held=row.held,
    )


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
