"""Claims: one statement takes a seat, one renews it, one gives it back. The hot path, on asyncpg's connection.

The worker's `request_worker` row is locked first, which puts one worker's calls in a row; the seat is taken with SKIP
LOCKED, which lets different workers pass each other. Everything else of the statement follows from those two.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from asyncpg import UniqueViolationError
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.tasks import policy
from marketplace.tasks.errors import (
    ClaimEnded,
    ClaimUnknown,
    GuidelineNotConfirmed,
    NothingOpen,
    TooManyClaims,
    WorkPaused,
)
from marketplace.tasks.measures import pause_of

CLAIM: Final = """
WITH measures AS (
    SELECT coalesce(bool_or(kind = 'pause'), false) AS paused, coalesce(max(extra_gold), 0) AS extra_gold
    FROM work_measure
    WHERE worker_id = $2 AND until > now() AND lifted_at IS NULL
      AND (scope_id = $1 OR scope_id = (SELECT organisation_id FROM dataset_request WHERE id = $1))
), worker AS (
    SELECT seen_blocks, gold_cursor, gold_scale, more_gold, held FROM request_worker
    WHERE request_id = $1 AND worker_id = $2 AND $3 = ANY(contract_ids) FOR UPDATE
), earlier AS (
    SELECT id FROM claim WHERE request_id = $1 AND worker_id = $2 AND key = $4
), may AS (
    SELECT 1 FROM worker WHERE held < $5 AND NOT EXISTS (SELECT 1 FROM earlier)
      AND NOT (SELECT paused FROM measures)
      AND EXISTS (SELECT 1 FROM dataset_request WHERE id = $1 AND state = 'in_production')
      AND EXISTS (SELECT 1 FROM contract WHERE request_id = $1 AND id = $3 AND state = 'active')
), reserved AS (
    SELECT seat_id FROM open_seat
    WHERE request_id = $1 AND reserved_for = $2 AND contract_id = $3 AND EXISTS (SELECT 1 FROM may)
    ORDER BY rank LIMIT 1 FOR UPDATE SKIP LOCKED
), open AS (
    SELECT seat_id FROM open_seat
    WHERE request_id = $1 AND contract_id = $3 AND reserved_for IS NULL
      AND EXISTS (SELECT 1 FROM may) AND NOT EXISTS (SELECT 1 FROM reserved)
      AND NOT blocks && (SELECT seen_blocks FROM worker)
    ORDER BY rank LIMIT 1 FOR UPDATE SKIP LOCKED
), taken AS (
    DELETE FROM open_seat
    WHERE request_id = $1 AND seat_id = (SELECT seat_id FROM reserved UNION ALL SELECT seat_id FROM open)
    RETURNING seat_id, bundle_id, blocks, units, gold_wanted
), held_seat AS (
    UPDATE seat SET state = 'claimed' FROM taken WHERE seat.request_id = $1 AND seat.id = taken.seat_id
), made AS (
    INSERT INTO claim (request_id, id, seat_id, bundle_id, contract_id, worker_id, key, state, units, gold_start,
                       gold_count, revision, lease_expires_at, created_at)
    SELECT $1, $6, seat_id, bundle_id, $3, $2, $4, 'claimed', units, gold_cursor,
           greatest(least(ceil(gold_wanted * gold_scale)::int + more_gold + (SELECT extra_gold FROM measures),
                          $7 - gold_cursor), 0), 0, $8, $9
    FROM taken CROSS JOIN worker
    RETURNING id, bundle_id, units, gold_start, gold_count, lease_expires_at, created_at
), remembered AS (
    UPDATE request_worker w
    SET held = held + 1, seen_blocks = w.seen_blocks || taken.blocks, gold_cursor = w.gold_cursor + made.gold_count,
        more_gold = 0
    FROM taken CROSS JOIN made WHERE w.request_id = $1 AND w.worker_id = $2
)
SELECT made.id, bundle.task_ids, made.gold_start, made.gold_count, made.lease_expires_at, made.created_at,
       (SELECT held FROM worker) AS held
FROM (SELECT 1) AS one LEFT JOIN made ON true
LEFT JOIN bundle ON bundle.request_id = $1 AND bundle.id = made.bundle_id
"""
_OF_KEY: Final = "SELECT id FROM claim WHERE request_id = $1 AND worker_id = $2 AND key = $3"
HELD_CLAIM: Final = """
SELECT claim.id, bundle.task_ids, gold_start, gold_count, lease_expires_at, claim.created_at, state FROM claim
JOIN bundle ON bundle.request_id = claim.request_id AND bundle.id = claim.bundle_id
WHERE claim.request_id = $1 AND claim.id = $2 AND worker_id = $3
"""
RENEW: Final = """
UPDATE claim SET lease_expires_at = greatest(lease_expires_at, least($4, created_at + $5))
WHERE request_id = $1 AND id = $2 AND worker_id = $3 AND state IN ('claimed', 'rework')
RETURNING lease_expires_at
"""
# A block stands in `seen_blocks` once for each claim and each reservation that met it; one of them ends here.
_FREE: Final = """
), freed AS (
    UPDATE seat SET state = CASE WHEN contract.state = 'active' THEN 'ready' ELSE 'closed' END
    FROM ended JOIN contract ON contract.request_id = ended.request_id AND contract.id = ended.contract_id
    WHERE seat.request_id = ended.request_id AND seat.id = ended.seat_id
    RETURNING seat.request_id, seat.id, seat.rank, seat.reserved_for, seat.state
), forgotten AS (
    UPDATE request_worker w
    SET held = held - (CASE WHEN ended.revision = 0 THEN 1 ELSE 0 END),
        seen_blocks = CASE WHEN ended.revision = 0 THEN (
            SELECT coalesce(array_agg(seen), '{}')
            FROM (SELECT seen, row_number() OVER (PARTITION BY seen) AS nth FROM unnest(w.seen_blocks) AS seen) AS met
            WHERE nth > 1 OR NOT seen = ANY(bundle.blocks)
        ) ELSE w.seen_blocks END
    FROM ended JOIN bundle ON bundle.request_id = ended.request_id AND bundle.id = ended.bundle_id
    WHERE w.request_id = ended.request_id AND w.worker_id = ended.worker_id
), queued AS (
    INSERT INTO open_seat (request_id, seat_id, contract_id, bundle_id, rank, blocks, units, gold_wanted, reserved_for,
                           created_at)
    SELECT freed.request_id, freed.id, ended.contract_id, ended.bundle_id, freed.rank, bundle.blocks, ended.units,
           bundle.gold_wanted, freed.reserved_for, now()
    FROM freed JOIN ended ON ended.seat_id = freed.id
    JOIN bundle ON bundle.request_id = ended.request_id AND bundle.id = ended.bundle_id
    WHERE freed.state = 'ready'
)
SELECT count(*) FROM ended
"""
_RETURNED: Final = """
WITH ended AS (
    UPDATE claim SET state = 'returned'
    WHERE request_id = $1 AND id = $2 AND worker_id = $3 AND state IN ('claimed', 'rework')
    RETURNING request_id, id, seat_id, bundle_id, contract_id, worker_id, units, revision"""
RETURN: Final = _RETURNED + _FREE
# One claim a worker and statement: a row is updated once by a statement, and a worker may hold several claims.
_LAPSED: Final = """
WITH lapsed AS (
    SELECT DISTINCT ON (request_id, worker_id) request_id, id FROM claim
    WHERE state IN ('claimed', 'rework') AND lease_expires_at < now() ORDER BY request_id, worker_id, lease_expires_at
), locked AS (
    SELECT claim.request_id, claim.id FROM claim JOIN lapsed USING (request_id, id)
    WHERE claim.lease_expires_at < now() ORDER BY claim.id LIMIT 500 FOR UPDATE OF claim SKIP LOCKED
), ended AS (
    UPDATE claim SET state = 'expired' FROM locked
    WHERE claim.request_id = locked.request_id AND claim.id = locked.id AND claim.state IN ('claimed', 'rework')
    RETURNING claim.request_id, claim.id, claim.seat_id, claim.bundle_id, claim.contract_id, claim.worker_id,
              claim.units, claim.revision"""
_EXPIRE: Final = text(_LAPSED + _FREE)
_FORGET_DRAFTS: Final = text(
    """
    DELETE FROM draft USING claim
    WHERE claim.request_id = draft.request_id AND claim.id = draft.claim_id
      AND claim.state NOT IN ('claimed', 'rework', 'expired') AND draft.saved_at < now() - interval '1 day'
    """
)


@dataclass(frozen=True, slots=True)
class HeldClaim:
    """A claim as its worker holds it: the bundle's tasks, the span of the worker's gold in it, and the lease's end."""

    id: UUID
    task_ids: list[UUID]
    gold_start: int
    gold_count: int
    lease_expires_at: datetime
    claimed_at: datetime


@dataclass(frozen=True, slots=True)
class ClaimCommand:
    """What a claim needs to know: whose, of which contract, under which client-made key, how long."""

    request_id: UUID
    contract_id: UUID
    worker_id: UUID
    key: str
    gold_pool_size: int
    lease_seconds: int


async def claim_seat(connection: Any, command: ClaimCommand) -> HeldClaim:
    """Take one seat; a repeated key gets the claim of the first call.

    Raises:
        GuidelineNotConfirmed: the worker has not confirmed the guideline, or may not work on this contract.
        TooManyClaims: the worker holds `policy.MAX_HELD` claims of this request already.
        WorkPaused: the worker is paused from this request, or from all of its enterprise.
        NothingOpen: no seat is open that this worker has not seen.
    """
    moment = now()
    try:
        row = await connection.fetchrow(
            CLAIM,
            command.request_id,
            command.worker_id,
            command.contract_id,
            command.key,
            policy.MAX_HELD,
            new_id(),
            command.gold_pool_size,
            moment + timedelta(seconds=command.lease_seconds),
            moment,
        )
    except UniqueViolationError:
        row = None  # the same key at the same time: the other call has it by now
    if row is not None and row["id"] is not None:
        return _held(row)
    earlier = await connection.fetchval(_OF_KEY, command.request_id, command.worker_id, command.key)
    if earlier is not None:
        return await held_claim(connection, command.request_id, earlier, command.worker_id)
    if (pause := await pause_of(connection, command.worker_id, command.request_id)) is not None:
        raise WorkPaused(f"{pause[0].upper()}{pause[1:]}.")
    if row is None:
        raise NothingOpen
    if row["held"] is None:
        raise GuidelineNotConfirmed
    if row["held"] >= policy.MAX_HELD:
        raise TooManyClaims(f"You hold {row['held']} claims of this request; submit or return one first.")
    raise NothingOpen


def _held(row: Any) -> HeldClaim:
    return HeldClaim(
        row["id"], row["task_ids"], row["gold_start"], row["gold_count"], row["lease_expires_at"], row["created_at"]
    )


async def held_claim(connection: Any, request_id: UUID, claim_id: UUID, worker_id: UUID) -> HeldClaim:
    """Return a claim that its worker still holds.

    Raises:
        ClaimUnknown: the worker has no such claim.
        ClaimEnded: it was returned, has expired, or was submitted.
    """
    row = await connection.fetchrow(HELD_CLAIM, request_id, claim_id, worker_id)
    if row is None:
        raise ClaimUnknown
    if row["state"] not in {"claimed", "rework"}:
        raise ClaimEnded(f"It is {row['state']}.", state=row["state"])
    return _held(row)


async def renew(connection: Any, request_id: UUID, claim_id: UUID, worker_id: UUID, *, lease_seconds: int) -> datetime:
    """Push the end of a lease ahead, up to `policy.MAX_LEASE_RENEWALS` leases from the claim; return the new end.

    Raises:
        ClaimUnknown, ClaimEnded: as `held_claim`.
    """
    lease = timedelta(seconds=lease_seconds)
    longest = lease * policy.MAX_LEASE_RENEWALS
    ends_at = await connection.fetchval(RENEW, request_id, claim_id, worker_id, now() + lease, longest)
    if ends_at is None:
        await held_claim(connection, request_id, claim_id, worker_id)
        raise ClaimEnded
    renewed: datetime = ends_at
    return renewed


async def return_claim(connection: Any, request_id: UUID, claim_id: UUID, worker_id: UUID) -> None:
    """Give a seat back, for somebody else; returning it twice is fine.

    Raises:
        ClaimUnknown, ClaimEnded: as `held_claim`.
    """
    if await connection.fetchval(RETURN, request_id, claim_id, worker_id):
        return
    row = await connection.fetchrow(HELD_CLAIM, request_id, claim_id, worker_id)
    if row is None:
        raise ClaimUnknown
    if row["state"] != "returned":
        raise ClaimEnded(f"It is {row['state']}.", state=row["state"])


async def expire_claims(session: AsyncSession) -> int:
    """End the claims whose lease has lapsed and put their seats back into the queue; return how many."""
    ended = 0
    while True:
        found = await session.execute(_EXPIRE)
        count: int = found.scalar_one()
        ended += count
        if count == 0:
            return ended


async def forget_drafts(session: AsyncSession) -> None:
    """Delete the drafts of work that was submitted or returned; those of expired claims may still become late work."""
    await session.execute(_FORGET_DRAFTS)
