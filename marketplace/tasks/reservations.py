"""Reservations: a vendor lead gives a worker a bundle of chosen items, with a seat nobody else can take."""

from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.catalog.schemas import QualityPlan
from marketplace.catalog.states import RequestState
from marketplace.core.actor import Actor
from marketplace.core.errors import FieldProblem
from marketplace.matching.models import Contract
from marketplace.matching.states import ContractState
from marketplace.tasks import policy
from marketplace.tasks.bundles import (
    Wanted,
    add_bundles,
    contract_outstanding,
    finish_contract,
    load_contract,
    lock_plan,
)
from marketplace.tasks.errors import ReservationRefused, WorkUnknown
from marketplace.tasks.schemas import ContractWorkView, ReservationCreate, ReservationView
from marketplace.vetting.queries import worker_standing

MAX_NAMED: Final = 20

_TASKS: Final = text(
    """
    SELECT i.external_id, t.id, t.block, t.done, t.planned FROM unnest(CAST(:ids AS text[])) WITH ORDINALITY AS g(id, n)
    LEFT JOIN item i ON i.request_id = :request AND i.external_id = g.id
    LEFT JOIN task t ON t.request_id = i.request_id AND t.id = i.id AND t.contract_id = :contract ORDER BY g.n
    """
)
_LOCK_WORKER: Final = text(
    """
    INSERT INTO request_worker (request_id, worker_id, guideline_version, contract_ids, seen_blocks, gold_cursor, held,
                                created_at)
    VALUES (:request, :worker, 0, '{}', CAST(:blocks AS int[]), 0, 0, now())
    ON CONFLICT (request_id, worker_id)
        DO UPDATE SET seen_blocks = request_worker.seen_blocks || excluded.seen_blocks
    """
)
_MET: Final = text(
    """
    SELECT unnest(b.task_ids) FROM claim c JOIN bundle b ON b.request_id = c.request_id AND b.id = c.bundle_id
    WHERE c.request_id = :request AND c.worker_id = :worker
      AND (c.state NOT IN ('returned', 'expired') OR c.revision > 0)
    UNION
    SELECT unnest(b.task_ids) FROM open_seat o JOIN bundle b ON b.request_id = o.request_id AND b.id = o.bundle_id
    WHERE o.request_id = :request AND o.reserved_for = :worker
    """
)


async def vendor_contract(session: AsyncSession, actor: Actor, request_id: UUID, contract_id: UUID) -> Contract:
    """Return a contract of the actor's own vendor organisation, or raise `WorkUnknown`."""
    found = await session.exec(select(Contract).where(Contract.request_id == request_id, Contract.id == contract_id))
    contract = found.one_or_none()
    if contract is None or actor.organisation_id is None or contract.vendor_organisation_id != actor.organisation_id:
        raise WorkUnknown
    return contract


async def reserve(
    session: AsyncSession, actor: Actor, request_id: UUID, contract_id: UUID, command: ReservationCreate
) -> ReservationView:
    """Make bundles of these items with one seat each, for this worker alone.

    Raises:
        WorkUnknown: the contract is not the vendor's own.
        ReservationRefused: the worker is not engaged or not approved, an item is not of this contract or needs no more
            answers, the worker has met it, or the money does not reach; nothing is reserved.
    """
    await vendor_contract(session, actor, request_id, contract_id)
    request, contract = await load_contract(session, request_id, contract_id)
    plan_row = await lock_plan(session, request_id, contract_id)
    if plan_row is None or contract.state is not ContractState.ACTIVE or request.state != RequestState.IN_PRODUCTION:
        raise ReservationRefused("The contract is not in production now.")
    standing = await worker_standing(session, command.worker_id)
    if not standing.approved or contract.vendor_organisation_id not in standing.vendor_ids:
        raise ReservationRefused("The worker must be approved, and engaged by your organisation.")
    plan = QualityPlan.model_validate(request.quality_plan)
    tasks = await _reservable(session, contract, command, plan.overlap_max)
    size = policy.bundle_size(plan, request.seconds_per_task)
    chunks = [tasks[start : start + size] for start in range(0, len(tasks), size)]
    made = await add_bundles(session, request, contract, plan_row, Wanted(chunks, command.worker_id))
    if made < len(tasks):
        raise ReservationRefused("The money reserved for this request does not reach for all of these.")
    record(session, actor, "seats.reserved", f"contract:{contract_id}", worker=str(command.worker_id), tasks=made)
    return ReservationView(bundles=len(chunks), tasks=made)


async def _reservable(
    session: AsyncSession, contract: Contract, command: ReservationCreate, overlap_max: int
) -> list[tuple[UUID, int]]:
    """Return the (task, block) pairs of the items named, or refuse with each that cannot be reserved and why."""
    names = {"request": contract.request_id, "worker": command.worker_id}
    found = await session.execute(_TASKS, {**names, "contract": contract.id, "ids": command.external_ids})
    rows = found.all()
    blocks = sorted({row.block for row in rows if row.block is not None})
    await session.execute(_LOCK_WORKER, {**names, "blocks": blocks})
    met = set((await session.execute(_MET, names)).scalars())
    problems = []
    for external_id, row in zip(command.external_ids, rows, strict=True):
        if row.id is None:
            problems.append(FieldProblem(external_id, "is not an item of this contract"))
        elif row.done or row.planned >= overlap_max:
            problems.append(FieldProblem(external_id, "needs no more answers"))
        elif row.id in met:
            problems.append(FieldProblem(external_id, "has been met by this worker, or is reserved for them"))
        else:
            met.add(row.id)
    if problems:
        raise ReservationRefused(f"{len(problems)} of these cannot be reserved.", fields=problems[:MAX_NAMED])
    return [(row.id, row.block) for row in rows]


async def finish_by_vendor(
    session: AsyncSession, actor: Actor, request_id: UUID, contract_id: UUID
) -> ContractWorkView:
    """Declare a contract done: its open seats close; what is submitted is still judged and paid."""
    await vendor_contract(session, actor, request_id, contract_id)
    await finish_contract(session, request_id, contract_id)
    record(session, actor, "contract.finished", f"contract:{contract_id}")
    return await contract_work(session, actor, request_id, contract_id)


async def contract_work(session: AsyncSession, actor: Actor, request_id: UUID, contract_id: UUID) -> ContractWorkView:
    """Return what of the vendor's own contract is not decided yet."""
    contract = await vendor_contract(session, actor, request_id, contract_id)
    left = await contract_outstanding(session, request_id, contract_id)
    return ContractWorkView(
        contract_id=contract.id,
        state=contract.state,
        open_seats=left.open_seats,
        held=left.held,
        submitted=left.submitted,
    )
