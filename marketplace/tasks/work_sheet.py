"""What a worker is shown of a claim: the tasks in their order with data, made into JSON once."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from obstore.store import ObjectStore

from marketplace.core.settings import Settings
from marketplace.core.storage import signed_url
from marketplace.tasks.claims import ClaimCommand, HeldClaim, claim_seat
from marketplace.tasks.models import Claim
from marketplace.tasks.policy import seat_order
from marketplace.tasks.pools import request_pool
from marketplace.tasks.schemas import WorkerClaimView

ITEMS: Final = "SELECT id, data::text, media_key FROM item WHERE request_id = $1 AND id = ANY($2)"


class ShownTask(msgspec.Struct):
    """As `schemas.TaskView`; the data pass through as PostgreSQL wrote them."""

    task_id: UUID
    data: msgspec.Raw
    media_url: str | None


class ShownClaim(msgspec.Struct):
    """As `schemas.ClaimView`."""

    claim_id: UUID
    request_id: UUID
    lease_expires_at: datetime
    tasks: list[ShownTask]


async def claim_and_show(
    connection: Any,
    settings: Settings,
    store: ObjectStore,
    request_id: UUID,
    contract_id: UUID,
    *,
    worker_id: UUID,
    key: str,
) -> ShownClaim:
    """Take the next seat of a contract and show it; errors as `claims.claim_seat`."""
    pool = await request_pool(connection, request_id)
    command = ClaimCommand(request_id, contract_id, worker_id, key, pool.gold.dealt, settings.claim_lease_seconds)
    held = await claim_seat(connection, command)
    return await show(connection, settings, store, request_id, held, worker_id)


async def show(
    connection: Any, settings: Settings, store: ObjectStore, request_id: UUID, held: HeldClaim, worker_id: UUID
) -> ShownClaim:
    """Show a claim that its worker holds: each task with its data and, for a file, an address that expires."""
    pool = await request_pool(connection, request_id)
    gold = pool.gold_span(worker_id, held.gold_start, held.gold_count, held.claimed_at)
    order = seat_order(pool.seed, held.id, held.task_ids, gold)
    found = {row["id"]: row for row in await connection.fetch(ITEMS, request_id, order)}
    tasks = []
    for task_id in order:
        row = found[task_id]
        media = row["media_key"]
        address = None if media is None else await signed_url(settings, store, "GET", media)
        tasks.append(ShownTask(task_id, msgspec.Raw(row["data"].encode()), address))
    return ShownClaim(held.id, request_id, held.lease_expires_at, tasks)


def claim_row(claim: Claim) -> WorkerClaimView:
    """Show a claim in its worker's history."""
    return WorkerClaimView(
        claim_id=claim.id,
        request_id=claim.request_id,
        contract_id=claim.contract_id,
        state=claim.state,
        units=claim.units,
        revision=claim.revision,
        claimed_at=claim.created_at,
        lease_expires_at=claim.lease_expires_at,
        submitted_at=claim.submitted_at,
    )
