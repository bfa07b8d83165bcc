"""Jobs of core: the outbox keeps itself in order."""

from datetime import timedelta
from typing import Any

from workers.handlers import JobContext, handles
from workers.relay import sweep


@handles("core.sweep_outbox", every=timedelta(seconds=20))
async def sweep_outbox(context: JobContext, _payload: dict[str, Any]) -> None:
    """Resend what Redis lost; forget what was done long ago."""
    await sweep(context.session)
