"""Jobs of matching."""

from typing import Any
from uuid import UUID

from marketplace.matching.closing import CLOSE_BIDS, close_bids
from marketplace.statistics.track_records import track_records
from workers.handlers import JobContext, handles


@handles(CLOSE_BIDS)
async def close(context: JobContext, payload: dict[str, Any]) -> None:
    """Open and score the bids of a request, with the vendors' track records; award it if the formula decides."""
    request_id = UUID(payload["request_id"])
    records = await track_records(context.session, request_id)
    await close_bids(context.session, request_id, records, settings=context.settings)
