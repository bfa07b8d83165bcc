"""Withdrawing seats that nobody needs any more: their tasks became sure while they waited to be claimed.

A claim that races for such a seat either takes it, and then it is done and paid, or finds it gone: both take the
seat's row in the queue with SKIP LOCKED. Seats that a vendor reserved for somebody stay: they were promised.
"""

from collections import Counter
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.tasks.models import ContractPlan

_SPARE: Final = text(
    """
    SELECT id, block FROM task
    WHERE request_id = :request AND contract_id = :contract AND done AND answered < planned ORDER BY id
    """
)
# A seat goes when at least half of its tasks are done; the others are asked for again in fuller bundles.
_WITHDRAW: Final = text(
    """
    WITH chosen AS (
        SELECT o.seat_id FROM open_seat o JOIN bundle b ON b.request_id = o.request_id AND b.id = o.bundle_id
        WHERE o.request_id = :request AND o.contract_id = :contract AND o.reserved_for IS NULL
          AND o.blocks && CAST(:blocks AS int[]) AND b.task_ids && CAST(:spare AS uuid[])
          AND 2 * (SELECT count(*) FROM task t
                   WHERE t.request_id = b.request_id AND t.id = ANY(b.task_ids) AND t.done) >= o.units
        FOR UPDATE OF o SKIP LOCKED
    ), gone AS (
        DELETE FROM open_seat o USING chosen
        WHERE o.request_id = :request AND o.seat_id = chosen.seat_id RETURNING o.seat_id, o.bundle_id
    ), closed AS (
        UPDATE seat SET state = 'closed' FROM gone WHERE seat.request_id = :request AND seat.id = gone.seat_id
    )
    SELECT b.task_ids FROM gone JOIN bundle b ON b.request_id = :request AND b.id = gone.bundle_id
    """
)
_UNPLAN: Final = text(
    """
    UPDATE task SET planned = planned - less.seats
    FROM unnest(CAST(:tasks AS uuid[]), CAST(:seats AS int[])) AS less (id, seats)
    WHERE task.request_id = :request AND task.id = less.id
    """
)


async def withdraw_seats(session: AsyncSession, plan: ContractPlan) -> Counter[UUID]:
    """Close the open seats of a contract whose tasks are done, at least half of them.

    The caller holds the plan, then locks the tasks that are returned with how many seats each lost, and calls
    `unplan`: one statement locks all tasks that a transaction needs, by id.
    """
    names = {"request": plan.request_id, "contract": plan.contract_id}
    spare = (await session.execute(_SPARE, names)).all()
    if not spare:
        return Counter()
    blocks = sorted({row.block for row in spare})
    found = await session.execute(_WITHDRAW, {**names, "blocks": blocks, "spare": [row.id for row in spare]})
    lost = Counter(task for task_ids in found.scalars() for task in task_ids)
    plan.planned_units -= lost.total()
    plan.withdrawn_units += lost.total()
    session.add(plan)
    return lost


async def unplan(session: AsyncSession, request_id: UUID, lost: Counter[UUID]) -> None:
    """Count the withdrawn seats out of what their tasks have planned; the caller has locked the tasks."""
    if lost:
        names = {"request": request_id, "tasks": list(lost), "seats": list(lost.values())}
        await session.execute(_UNPLAN, names)
