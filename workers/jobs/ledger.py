"""Jobs of the ledger."""

from datetime import timedelta
from typing import Any

from marketplace.ledger.seal import seal
from workers.handlers import JobContext, handles


@handles("ledger.seal", every=timedelta(minutes=1))
async def seal_blocks(context: JobContext, _payload: dict[str, Any]) -> None:
    """Seal the transactions that no block holds yet."""
    await seal(context.session)
