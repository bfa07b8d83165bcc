"""From the last verdict to the enterprise's desk: more answers where needed, the end of contracts, the delivery."""

from collections import Counter
from math import inf
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlmodel import col, exists, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.deliveries import put_delivery
from marketplace.catalog.models import DatasetRequest, Delivery
from marketplace.catalog.queries import locked
from marketplace.catalog.schemas import QualityPlan
from marketplace.catalog.service import move
from marketplace.catalog.states import RequestState
from marketplace.core.clock import now
from marketplace.core.money import PRICE_SCALE
from marketplace.core.outbox import emit
from marketplace.matching.models import Contract
from marketplace.matching.states import Assignment, ContractState
from marketplace.quality.annotators.predicting import wake
from marketplace.quality.cases import fix_gates, load_rules
from marketplace.quality.consolidation import consolidate_request
from marketplace.quality.delivery_report.service import make_delivery_report
from marketplace.quality.doubt import expected_gains
from marketplace.quality.queries import contestable_units
from marketplace.quality.refit import settle
from marketplace.quality.service import ask_to_extend
from marketplace.tasks import bundles, policy
from marketplace.tasks.models import Claim, Task
from marketplace.tasks.states import UNDECIDED
from marketplace.tasks.withdrawal import unplan, withdraw_seats

SWEEP_BATCH: Final = 200
_DELIVERABLE: Final = frozenset({RequestState.IN_PRODUCTION, RequestState.IN_ACCEPTANCE})
_LOCK: Final = text(
    """
    SELECT id FROM task
    WHERE request_id = :request AND (id = ANY(CAST(:also AS uuid[])) OR (
        contract_id = :contract AND NOT done AND answered >= planned AND planned > 0 AND planned < :most))
    ORDER BY id FOR UPDATE
    """
)
_HUNGRY: Final = text(
    """
    SELECT id FROM task
    WHERE request_id = :request AND id = ANY(CAST(:locked AS uuid[])) AND NOT done AND answered >= planned
      AND planned < :most
    ORDER BY id
    """
)
_OTHERS: Final = text(
    """
    SELECT EXISTS (SELECT 1 FROM open_seat WHERE request_id = :request AND contract_id <> :contract)
        OR EXISTS (SELECT 1 FROM claim WHERE request_id = :request AND contract_id <> :contract
                   AND state IN ('claimed', 'rework', 'submitted'))
    """
)
_IDLE_CONTRACTS: Final = text(
    """
    SELECT c.request_id, c.id FROM contract c
    JOIN dataset_request r ON r.id = c.request_id AND r.state = 'in_production'
    JOIN contract_plan p ON p.request_id = c.request_id AND p.contract_id = c.id
    WHERE c.state = 'active'
      AND NOT EXISTS (SELECT 1 FROM open_seat o WHERE o.request_id = c.request_id AND o.contract_id = c.id)
      AND NOT EXISTS (SELECT 1 FROM claim k WHERE k.request_id = c.request_id AND k.contract_id = c.id
                      AND k.state IN ('claimed', 'rework', 'submitted'))
      AND (c.assignment = 'open' OR NOT EXISTS (
          SELECT 1 FROM task t WHERE t.request_id = c.request_id AND t.contract_id = c.id AND NOT t.done))
    ORDER BY c.created_at LIMIT :batch
    """
)
_IDLE_REQUESTS: Final = text(
    """
    SELECT r.id FROM dataset_request r
    WHERE r.state = 'in_production'
      AND EXISTS (SELECT 1 FROM contract c WHERE c.request_id = r.id)
      AND NOT EXISTS (SELECT 1 FROM contract c WHERE c.request_id = r.id AND c.state = 'active')
      AND NOT EXISTS (SELECT 1 FROM claim k WHERE k.request_id = r.id
                      AND k.state IN ('claimed', 'rework', 'submitted'))
      AND NOT EXISTS (SELECT 1 FROM outbox o
                      WHERE o.kind = 'quality.deliver' AND o.payload->>'request_id' = r.id::text)
    ORDER BY r.id LIMIT :batch
    """
)
_WITHOUT_GATES: Final = text(
    """
    SELECT r.id FROM dataset_request r WHERE r.state IN ('awarded', 'in_production')
      AND NOT EXISTS (SELECT 1 FROM gate_set g WHERE g.request_id = r.id)
    ORDER BY r.id LIMIT :batch
    """
)
_FINAL: Final = text(
    """
    UPDATE verdict SET state = 'final' WHERE (request_id, id) IN (
        SELECT request_id, id FROM verdict WHERE state = 'given' AND final_at < :moment
        ORDER BY final_at LIMIT 1000 FOR UPDATE SKIP LOCKED)
    """
)


async def extend(session: AsyncSession, request_id: UUID, contract_id: UUID) -> int:
    """Give tasks that need more answers another seat, and take open seats from those that need none.

    Finishes the contract when no task needs more or no more can be paid. Returns how many tasks got a seat. Locks
    request, contract and plan, then seats nobody holds, then the tasks by id.
    """
    request, contract = await bundles.load_contract(session, request_id, contract_id)
    if request.state is not RequestState.IN_PRODUCTION or contract.state is not ContractState.ACTIVE:
        return 0
    plan_row = await bundles.lock_plan(session, request_id, contract_id)
    if plan_row is None:
        return 0
    lost = await withdraw_seats(session, plan_row)
    # what is outstanding is read first: a seat that is decided meanwhile then only delays the flush
    outstanding = await bundles.contract_outstanding(session, request_id, contract_id)
    hungry = await _hungry(session, request, contract, lost)
    made = await _ask_more(session, request, contract, hungry, flush=outstanding.nothing)
    idle = made == 0 and outstanding.nothing and await _needs_nobody(session, contract)
    # while others work the request is not closing: it is fitted again as it grows, and once more when it is delivered
    alone = idle and not await _others_at_work(session, request_id, contract_id)
    settled = await settle(session, request_id, closing=alone)
    if idle and (settled or not alone):
        await bundles.finish_contract(session, request_id, contract_id)
        emit(session, "quality.deliver", {"request_id": str(request_id)})
    return made


async def _others_at_work(session: AsyncSession, request_id: UUID, contract_id: UUID) -> bool:
    found = await session.execute(_OTHERS, {"request": request_id, "contract": contract_id})
    return bool(found.scalar_one())


async def _ask_more(
    session: AsyncSession, request: DatasetRequest, contract: Contract, hungry: list[UUID], *, flush: bool
) -> int:
    """Give these tasks another seat, as far as money reaches, in full bundles unless `flush` says not to wait for more.

    What money is left is read only where a bundle can be made: it means adding up what the ledger booked.
    """
    size = policy.bundle_size(QualityPlan.model_validate(request.quality_plan), request.seconds_per_task)
    if contract.assignment is not Assignment.OPEN or not hungry or (len(hungry) < size and not flush):
        return 0
    kept = await _kept_for_appeals(session, contract)
    paid_for = await bundles.affordable(session, request, contract, kept_minor=kept)
    chosen = await _worth_most(session, request, hungry, paid_for)
    return await bundles.extend(session, request, contract, chosen, flush=flush, kept_minor=kept)


async def _hungry(
    session: AsyncSession, request: DatasetRequest, contract: Contract, lost: Counter[UUID]
) -> list[UUID]:
    """Return the tasks that need another seat, in the order of their ids, after some lost one; all are locked."""
    most = QualityPlan.model_validate(request.quality_plan).overlap_max
    names = {"request": request.id, "contract": contract.id, "most": most}
    locked_ids = list((await session.execute(_LOCK, {**names, "also": list(lost)})).scalars())
    await unplan(session, request.id, lost)
    found = await session.execute(_HUNGRY, {"request": request.id, "locked": locked_ids, "most": most})
    return list(found.scalars())


async def _worth_most(
    session: AsyncSession, request: DatasetRequest, hungry: list[UUID], affordable_units: int
) -> list[UUID]:
    """Return those tasks that the money reaches for: where it is short, those of whose labels an answer tells most.

    All answers of a contract cost the same, so that most information per task is most information per yuan.
    """
    if affordable_units >= len(hungry):
        return hungry
    gains = await expected_gains(session, request.id, hungry)
    return sorted(hungry, key=lambda task: (-gains.get(task, inf), task))[:affordable_units]


async def _kept_for_appeals(session: AsyncSession, contract: Contract) -> int:
    """Return what rejected work may still cost by appeals, in minor units; its seats are planned for others already."""
    units = await contestable_units(session, contract.request_id)
    return sum(-(-of_claim * contract.unit_price // PRICE_SCALE) for of_claim in units)


async def _needs_nobody(session: AsyncSession, contract: Contract) -> bool:
    """Return whether a contract may end: seats that a vendor reserves one by one are waited for until all is done."""
    if contract.assignment is Assignment.OPEN:
        return True
    left = select(exists().where(
        col(Task.request_id) == contract.request_id, col(Task.contract_id) == contract.id, ~col(Task.done)
    ))  # fmt: skip
    return not (await session.exec(left)).one()


async def deliver(session: AsyncSession, request_id: UUID) -> Delivery | None:
    """Compute the final consensus and the quality report, and put the request before its enterprise.

    A request that is before it already gets a new report (an appeal may have changed its labels) until it is accepted.
    Nothing happens (None) unless all contracts have ended and everything submitted has been decided.
    """
    request = await locked(session, request_id)
    if request.state not in _DELIVERABLE or not await _all_decided(session, request_id):
        return None
    await consolidate_request(session, request_id, await load_rules(session, request_id))
    report = await make_delivery_report(session, request)
    delivery = await put_delivery(session, request_id, report.model_dump(mode="json"))
    if request.state is RequestState.IN_PRODUCTION:
        await move(session, request, RequestState.IN_ACCEPTANCE)
    return delivery


async def _all_decided(session: AsyncSession, request_id: UUID) -> bool:
    states = set((await session.exec(select(Contract.state).where(Contract.request_id == request_id))).all())
    undecided = select(exists().where(col(Claim.request_id) == request_id, col(Claim.state).in_(UNDECIDED)))
    return bool(states) and ContractState.ACTIVE not in states and not (await session.exec(undecided)).one()


async def sweep(session: AsyncSession) -> None:
    """Write down gates that are not yet, ring again where nothing is under way, let verdicts become final in time.

    A delivery that was asked for and still stands, waiting or dead, is not asked for again: one dead letter is enough.
    """
    for request_id in (await session.execute(_WITHOUT_GATES, {"batch": SWEEP_BATCH})).scalars().all():
        await fix_gates(session, await session.get_one(DatasetRequest, request_id))
    for row in (await session.execute(_IDLE_CONTRACTS, {"batch": SWEEP_BATCH})).all():
        await ask_to_extend(session, row.request_id, row.id)
    for request_id in (await session.execute(_IDLE_REQUESTS, {"batch": SWEEP_BATCH})).scalars().all():
        emit(session, "quality.deliver", {"request_id": str(request_id)})
    await wake(session)
    await session.execute(_FINAL, {"moment": now()})
