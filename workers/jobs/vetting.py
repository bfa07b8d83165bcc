"""Jobs of vetting."""

from datetime import timedelta
from typing import Any

from marketplace.vetting.service import expire_due
from workers.handlers import JobContext, handles


@handles("vetting.expire", every=timedelta(minutes=5))
async def expire_approvals(context: JobContext, _payload: dict[str, Any]) -> None:
    """End approvals whose year is over."""
    await expire_due(context.session)
