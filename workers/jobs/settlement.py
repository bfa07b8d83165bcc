"""Jobs of settlement."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from marketplace.settlement import accrual, closing, release
from marketplace.settlement.pay_rules import minimum_table
from workers.handlers import JobContext, handles


@handles("settlement.accrue")
async def accrue(context: JobContext, payload: dict[str, Any]) -> None:
    """Book what an accepted claim earns."""
    await accrual.accrue(
        context.session, UUID(payload["request_id"]), UUID(payload["claim_id"]), int(payload["revision"])
    )


@handles("settlement.release_due", every=timedelta(seconds=1))
async def release_due(context: JobContext, _payload: dict[str, Any]) -> None:
    """Release what has passed its dispute window."""
    await release.release_due(context.session)


@handles("settlement.close")
async def close(context: JobContext, payload: dict[str, Any]) -> None:
    """Settle and close a delivered request."""
    await closing.settle_request(context.session, UUID(payload["request_id"]), minimum_table(context.settings))


@handles("settlement.refund_cancelled")
async def refund_cancelled(context: JobContext, payload: dict[str, Any]) -> None:
    """Give back what was reserved for a cancelled request."""
    await closing.refund_cancelled(context.session, UUID(payload["request_id"]))


@handles("settlement.give_back_rest")
async def give_back_rest(context: JobContext, payload: dict[str, Any]) -> None:
    """Give back what was kept for appeals, once none is possible any more."""
    await closing.give_back_rest(context.session, UUID(payload["request_id"]))
