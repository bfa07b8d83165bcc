"""Jobs of the work."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from marketplace.tasks.bundles import build_bundles
from marketplace.tasks.claims import expire_claims, forget_drafts
from marketplace.tasks.feed import recheck_worker
from marketplace.tasks.finishing import finish_overdue
from workers.handlers import JobContext, handles


@handles("tasks.build_bundles")
async def build(context: JobContext, payload: dict[str, Any]) -> None:
    """Make the bundles of a new contract."""
    await build_bundles(context.session, UUID(payload["request_id"]), UUID(payload["contract_id"]))


@handles("tasks.expire_claims", every=timedelta(seconds=5))
async def expire(context: JobContext, _payload: dict[str, Any]) -> None:
    """Put seats whose lease has lapsed back into the queue."""
    await expire_claims(context.session)


@handles("tasks.finish_overdue", every=timedelta(minutes=1))
async def finish(context: JobContext, _payload: dict[str, Any]) -> None:
    """End production where the deadline has passed."""
    await finish_overdue(context.session)


@handles("tasks.forget_drafts", every=timedelta(hours=1))
async def forget(context: JobContext, _payload: dict[str, Any]) -> None:
    """Delete drafts that nobody needs any more."""
    await forget_drafts(context.session)


@handles("tasks.recheck_worker")
async def recheck(context: JobContext, payload: dict[str, Any]) -> None:
    """Close contracts to a worker who no longer has what they ask for."""
    await recheck_worker(context.session, UUID(payload["worker_id"]))
