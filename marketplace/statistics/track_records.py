"""What vendors did in the last year, for the award formula: one query over contracts and claims."""

from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.clock import now
from marketplace.matching.policy import Record, TrackRecords

HISTORY: Final = timedelta(days=365)

# Contracts without a vendor are the open crowd's: they are part of the market, and nobody's record.
_RECORDS: Final = text(
    """
    SELECT grouping(c.vendor_organisation_id) = 1 AS market, c.vendor_organisation_id AS vendor,
           count(*) AS judged,
           count(*) FILTER (WHERE k.state = 'accepted') AS accepted,
           count(*) FILTER (WHERE k.state = 'accepted' AND k.submitted_at <= c.delivery_at) AS on_time
    FROM contract c
    JOIN claim k ON k.request_id = c.request_id AND k.contract_id = c.id AND k.state IN ('accepted', 'rejected')
    WHERE c.created_at >= :since
    GROUP BY GROUPING SETS ((), (c.vendor_organisation_id))
    HAVING grouping(c.vendor_organisation_id) = 1 OR c.vendor_organisation_id IN (
        SELECT b.vendor_organisation_id FROM bid b WHERE b.request_id = :request_id
    )
    """
)


async def track_records(session: AsyncSession, request_id: UUID) -> TrackRecords:
    """Return the records of the vendors that bid on a request, and of the whole market, over the last year."""
    connection = await session.connection()
    found = await connection.execute(_RECORDS, {"request_id": request_id, "since": now() - HISTORY})
    market, of_vendors = Record(), {}
    for row in found:
        record = Record(row.judged, row.accepted, row.on_time)
        if row.market:
            market = record
        else:
            of_vendors[row.vendor] = record
    return TrackRecords(market, of_vendors)
