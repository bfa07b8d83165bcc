"""Making bundles and seats: the first ones of a contract, and further ones for tasks that need more answers.

Everything here is set-based SQL: a contract may have a million tasks. The `contract_plan` row is locked first, so that
of two jobs that plan the same contract one waits for the other.
"""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.queries import locked
from marketplace.catalog.schemas import QualityPlan
from marketplace.catalog.service import move
from marketplace.catalog.states import RequestState
from marketplace.core.ids import new_id
from marketplace.core.states import check_step
from marketplace.ledger import queries as ledger
from marketplace.ledger.accounts import reserved
from marketplace.matching.models import Contract
from marketplace.matching.states import CONTRACT_STEPS, Assignment, ContractState
from marketplace.tasks import policy
from marketplace.tasks.models import ContractPlan

BOOKED_WORK: Final = ("accrue", "unaccrue")
"""The kinds of transactions by which accepted work leaves a request's reserve, or comes back to it."""
_TASKS: Final = text(
    """
    INSERT INTO task (request_id, id, contract_id, block, planned, answered, done, created_at)
    SELECT request_id, id, :contract,
           :first_block + ((row_number() OVER (ORDER BY md5(:seed || id::text)) - 1) / :size)::int,
           0, 0, false, now()
    FROM item WHERE request_id = :request AND position >= :first AND position < :last
    """
)
_BUNDLES: Final = text(
    """
    INSERT INTO bundle (request_id, id, contract_id, task_ids, blocks, gold_wanted, created_at)
    SELECT request_id, gen_random_uuid(), contract_id, array_agg(id ORDER BY md5(:seed || id::text)), ARRAY[block],
           :gold, now()
    FROM task WHERE request_id = :request AND contract_id = :contract GROUP BY request_id, contract_id, block
    """
)
_SEATS: Final = text(
    """
    INSERT INTO seat (request_id, id, bundle_id, contract_id, rank, state, created_at)
    SELECT b.request_id, gen_random_uuid(), b.id, b.contract_id,
           CAST(round AS bigint) * :rank_round + b.blocks[1], 'ready', now()
    FROM bundle b CROSS JOIN generate_series(0, :overlap - 1) AS round
    WHERE b.request_id = :request AND b.contract_id = :contract
    """
)
_QUEUE: Final = text(
    """
    INSERT INTO open_seat (request_id, seat_id, contract_id, bundle_id, rank, blocks, units, gold_wanted, reserved_for,
                           created_at)
    SELECT s.request_id, s.id, s.contract_id, s.bundle_id, s.rank, b.blocks, cardinality(b.task_ids), b.gold_wanted,
           s.reserved_for, now()
    FROM seat s JOIN bundle b ON b.request_id = s.request_id AND b.id = s.bundle_id
    WHERE s.request_id = :request AND s.contract_id = :contract AND s.state = 'ready'
      AND (CAST(:bundles AS uuid[]) IS NULL OR s.bundle_id = ANY(CAST(:bundles AS uuid[])))
    """
)
_PLANNED: Final = text(
    "UPDATE task SET planned = planned + :more WHERE request_id = :request AND contract_id = :contract"
)
_PLANNED_COST: Final = text(
    """
    SELECT coalesce(sum(p.planned_units * c.unit_price), 0)::bigint FROM contract_plan p
    JOIN contract c ON c.request_id = p.request_id AND c.id = p.contract_id WHERE p.request_id = :request
    """
)
_MORE_BUNDLES: Final = text(
    """
    INSERT INTO bundle (request_id, id, contract_id, task_ids, blocks, gold_wanted, created_at)
    SELECT :request, id, :contract, task_ids, blocks, :gold, now() FROM jsonb_to_recordset(CAST(:rows AS jsonb))
        AS made(id uuid, task_ids uuid[], blocks int[])
    """
)
_MORE_SEATS: Final = text(
    """
    INSERT INTO seat (request_id, id, bundle_id, contract_id, rank, state, reserved_for, created_at)
    SELECT :request, gen_random_uuid(), id, :contract, rank, 'ready', :worker, now()
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS made(id uuid, rank bigint)
    """
)
_MORE_PLANNED: Final = text(
    """
    WITH locked AS (SELECT id FROM task WHERE request_id = :request AND id = ANY(:tasks) ORDER BY id FOR UPDATE)
    UPDATE task SET planned = planned + 1 FROM locked WHERE task.request_id = :request AND task.id = locked.id
    """
)
_POOL_SIZE: Final = text(
    "SELECT count(*) FROM request_worker WHERE request_id = :request AND :contract = ANY(contract_ids)"
)
_MET: Final = text(
    """
    SELECT met.block, w.worker_id FROM request_worker w CROSS JOIN unnest(w.seen_blocks) AS met(block)
    WHERE w.request_id = :request AND :contract = ANY(w.contract_ids) AND met.block = ANY(CAST(:blocks AS int[]))
    """
)
_OUTSTANDING: Final = text(
    """
    SELECT (SELECT count(*) FROM open_seat WHERE request_id = :request AND contract_id = :contract) AS open_seats,
           count(*) FILTER (WHERE state IN ('claimed', 'rework')) AS held,
           count(*) FILTER (WHERE state = 'submitted') AS submitted
    FROM claim WHERE request_id = :request AND contract_id = :contract
      AND state IN ('claimed', 'rework', 'submitted')
    """
)
_ACCEPTED_UNITS: Final = text(
    """
    SELECT coalesce((SELECT sum(planned_units) FROM contract_plan WHERE request_id = :request), 0)
         - coalesce((SELECT sum(units) FROM open_seat WHERE request_id = :request), 0)
         - coalesce((SELECT sum(units) FROM claim WHERE request_id = :request
                     AND state IN ('claimed', 'rework', 'submitted')), 0)
    """
)
# Only seats whose place in the queue is deleted here: one that is claimed at this moment stays its worker's.
_CLOSE_SEATS: Final = text(
    """
    WITH gone AS (
        DELETE FROM open_seat WHERE request_id = :request AND contract_id = :contract RETURNING request_id, seat_id
    )
    UPDATE seat SET state = 'closed' FROM gone WHERE seat.request_id = gone.request_id AND seat.id = gone.seat_id
    """
)


@dataclass(frozen=True, slots=True)
class Outstanding:
    """What of a contract is not decided yet: seats nobody holds, seats somebody works at, submissions to be judged."""

    open_seats: int
    held: int
    submitted: int

    @property
    def nothing(self) -> bool:
        """Whether everything that was planned has been decided."""
        return self.open_seats + self.held + self.submitted == 0


async def lock_plan(session: AsyncSession, request_id: UUID, contract_id: UUID) -> ContractPlan | None:
    """Lock and return a contract's plan as it now is; None when its bundles have not been built."""
    found = await session.exec(
        select(ContractPlan)
        .where(ContractPlan.request_id == request_id, ContractPlan.contract_id == contract_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return found.one_or_none()


async def load_contract(session: AsyncSession, request_id: UUID, contract_id: UUID) -> tuple[DatasetRequest, Contract]:
    """Return a request and one of its contracts as they now are, both locked (request first, always)."""
    request = await locked(session, request_id)
    contract = await session.exec(
        select(Contract)
        .where(Contract.request_id == request_id, Contract.id == contract_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return request, contract.one()


async def build_bundles(session: AsyncSession, request_id: UUID, contract_id: UUID) -> None:
    """Make a contract's tasks, and unless its seats are reserved one by one, their bundles and first seats.

    A second run finds the plan and does nothing.
    """
    request, contract = await load_contract(session, request_id, contract_id)
    if await lock_plan(session, request_id, contract_id) is not None:
        return
    plan = QualityPlan.model_validate(request.quality_plan)
    size = policy.bundle_size(plan, request.seconds_per_task)
    names = {"request": request_id, "contract": contract_id, "seed": str(request.seed)}
    first_block = -(-contract.first_position // size) + 1  # no block number serves two contracts
    span = {"first": contract.first_position, "last": contract.end_position}
    await session.execute(_TASKS, {**names, **span, "size": size, "first_block": first_block})
    units = 0
    if contract.assignment is Assignment.OPEN:
        gold = policy.gold_wanted(plan, size, request.gold_count)
        await session.execute(_BUNDLES, {**names, "gold": gold})
        await session.execute(_SEATS, {**names, "overlap": plan.overlap_min, "rank_round": policy.RANK_ROUND})
        await session.execute(_QUEUE, {**names, "bundles": None})
        await session.execute(_PLANNED, {**names, "more": plan.overlap_min})
        units = (contract.end_position - contract.first_position) * plan.overlap_min
    session.add(ContractPlan(request_id=request_id, contract_id=contract_id, planned_units=units))
    if request.state is RequestState.AWARDED:
        await move(session, request, RequestState.IN_PRODUCTION)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Bundles to be made: their tasks as (task, block) pairs, and for whom they are reserved, if for anybody.

    `kept_minor` of the request's money is not spent on them.
    """

    chunks: list[list[tuple[UUID, int]]]
    worker_id: UUID | None = None
    kept_minor: int = 0


async def affordable(session: AsyncSession, request: DatasetRequest, contract: Contract, *, kept_minor: int = 0) -> int:
    """Return how many more units of a contract the money pays for that is neither planned nor gone otherwise.

    Bonuses, top-ups and chargebacks leave the request's reserve too, so what is left is what lies there, with what was
    already booked for planned work, less all planned work and `kept_minor`. A reserve that was never used (a trial
    without money) is bound by the budget alone.
    """
    found = await session.execute(_PLANNED_COST, {"request": request.id})
    planned_cost = int(found.scalar_one())
    path, currency = reserved(request.id), request.currency
    left_minor = request.budget_minor
    for held in await ledger.balances(session, [path]):
        if held.currency == currency:
            booked = -await ledger.moved(session, path, currency, *BOOKED_WORK)
            left_minor = min(left_minor, held.minor + booked)
    return policy.affordable_units(left_minor - kept_minor, planned_cost, contract.unit_price)


async def add_bundles(
    session: AsyncSession, request: DatasetRequest, contract: Contract, plan_row: ContractPlan, wanted: Wanted
) -> int:
    """Make bundles with one seat each, as many as the money pays for; return how many units that is."""
    left = await affordable(session, request, contract, kept_minor=wanted.kept_minor)
    rows: list[dict[str, Any]] = []
    task_ids: list[UUID] = []
    for chunk in wanted.chunks:
        if len(task_ids) + len(chunk) > left:
            break
        number = plan_row.bundle_count + len(rows)
        blocks = sorted({block for _, block in chunk})
        rank = policy.rank_of(policy.LATER_ROUND, number)
        tasks = [task for task, _ in chunk]
        rows.append({"id": new_id(), "task_ids": tasks, "blocks": blocks, "rank": rank})
        task_ids += tasks
    if not rows:
        return 0
    plan = QualityPlan.model_validate(request.quality_plan)
    gold = policy.gold_wanted(plan, max(len(chunk) for chunk in wanted.chunks), request.gold_count)
    names = {"request": request.id, "contract": contract.id}
    made = {**names, "rows": msgspec.json.encode(rows).decode()}
    await session.execute(_MORE_BUNDLES, {**made, "gold": gold})
    await session.execute(_MORE_SEATS, {**made, "worker": wanted.worker_id})
    await session.execute(_QUEUE, {**names, "bundles": [row["id"] for row in rows]})
    await session.execute(_MORE_PLANNED, {"request": request.id, "tasks": task_ids})
    plan_row.planned_units += len(task_ids)
    plan_row.bundle_count += len(rows)
    session.add(plan_row)
    return len(task_ids)


async def extend(
    session: AsyncSession,
    request: DatasetRequest,
    contract: Contract,
    task_ids: list[UUID],
    *,
    flush: bool,
    kept_minor: int = 0,
) -> int:
    """Give each of these tasks one more seat; return how many got one.

    Full bundles are made at once; what does not fill one waits until `flush` says that nothing else is under way. None
    are made beyond what the money pays for (`affordable`).
    """
    plan_row = await lock_plan(session, request.id, contract.id)
    if plan_row is None or not task_ids:
        return 0
    found = await session.execute(
        text("SELECT id, block FROM task WHERE request_id = :request AND id = ANY(:tasks) ORDER BY block, id"),
        {"request": request.id, "tasks": task_ids},
    )
    plan = QualityPlan.model_validate(request.quality_plan)
    size = policy.bundle_size(plan, request.seconds_per_task)
    tasks = [(row.id, row.block) for row in found]
    pool = await _pool(session, contract, {block for _, block in tasks}, plan.overlap_max)
    chunks = policy.chunks_of_few_blocks(tasks, size, pool)
    if not flush:
        chunks = [chunk for chunk in chunks if len(chunk) == size]
    return await add_bundles(session, request, contract, plan_row, Wanted(chunks, kept_minor=kept_minor))


async def _pool(
    session: AsyncSession, contract: Contract, blocks: set[int], overlap_max: int
) -> policy.WorkerPool | None:
    """Return who has met these blocks among the workers of a contract; None when there are plenty of workers."""
    names = {"request": contract.request_id, "contract": contract.id}
    size: int = (await session.execute(_POOL_SIZE, names)).scalar_one()
    if not policy.needs_pool(size, overlap_max):
        return None
    met: dict[int, set[UUID]] = {block: set() for block in blocks}
    for row in await session.execute(_MET, {**names, "blocks": sorted(blocks)}):
        met[row.block].add(row.worker_id)
    return policy.WorkerPool(size, {block: frozenset(workers) for block, workers in met.items()})


async def contract_outstanding(session: AsyncSession, request_id: UUID, contract_id: UUID) -> Outstanding:
    """Return what of a contract is not decided yet."""
    found = await session.execute(_OUTSTANDING, {"request": request_id, "contract": contract_id})
    row = found.one()
    return Outstanding(row.open_seats, row.held, row.submitted)


async def accepted_units(session: AsyncSession, request_id: UUID) -> int:
    """Return how many units of a request were accepted, without reading what was accepted: all planned units that are
    neither open nor undecided. It may be off by what an appeal won after its seat went to somebody else.
    """
    return int((await session.execute(_ACCEPTED_UNITS, {"request": request_id})).scalar_one())


async def finish_contract(session: AsyncSession, request_id: UUID, contract_id: UUID) -> None:
    """Complete a contract: close its open seats; work that is held or submitted is still decided on and paid."""
    _, contract = await load_contract(session, request_id, contract_id)
    if contract.state is ContractState.COMPLETED:
        return
    check_step(CONTRACT_STEPS, contract.state, ContractState.COMPLETED)
    await session.execute(_CLOSE_SEATS, {"request": request_id, "contract": contract_id})
    contract.state = ContractState.COMPLETED
    session.add(contract)


async def active_contracts(session: AsyncSession, request_id: UUID) -> list[Contract]:
    """Return the contracts of a request on which work goes on, by id (the order in which they are locked)."""
    found = await session.exec(
        select(Contract)
        .where(Contract.request_id == request_id, col(Contract.state) == ContractState.ACTIVE)
        .order_by(col(Contract.id))
    )
    return list(found.all())
