"""Jobs of identity."""

from datetime import timedelta
from typing import Any

from marketplace.identity.signing_in import forget_ended_tokens
from workers.handlers import JobContext, handles


@handles("identity.forget_ended_tokens", every=timedelta(hours=6))
async def forget_tokens(context: JobContext, _payload: dict[str, Any]) -> None:
    """Delete refresh tokens that ended long ago."""
    await forget_ended_tokens(context.session)
