"""Pure rules of bundles: their size, the gold in them, the order of a seat, what they pay."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from marketplace.catalog.schemas import QualityPlan
from marketplace.core.money import PRICE_SCALE

MAX_HELD: Final = 3  # claims of one request that a worker may hold at once
MAX_LEASE_RENEWALS: Final = 12  # a claim lives at most so many leases, however often it is renewed
MAX_MIXED_BLOCKS: Final = 4  # blocks in a bundle of further answers: each one keeps its earlier workers away
MIN_LEFT: Final = 3  # workers who must be left for a bundle that mixes blocks
LATER_ROUND: Final = 1000  # rank of further answers: behind every first one
RANK_ROUND: Final = 1 << 32
FASTEST_PACE_SECONDS: Final = 0.1  # no faster pace is believed: what a client says it measured promises no riches


def bundle_size(plan: QualityPlan, seconds_per_task: float) -> int:
    """Return how many tasks (gold not counted) a bundle has so that it takes about `plan.bundle_minutes`."""
    fitting = int(plan.bundle_minutes * 60 / seconds_per_task)
    return max(1, min(plan.bundle_max_tasks, fitting))


def gold_wanted(plan: QualityPlan, size: int, gold_available: int) -> int:
    """Return how many gold tasks are mixed into a bundle so that they are `plan.gold_share` of what a worker sees."""
    if gold_available == 0 or plan.gold_share == 0:
        return 0
    wanted = round(size * plan.gold_share / (1 - plan.gold_share))
    return min(gold_available, max(1, wanted))


def _order(seed: str, ids: Iterable[UUID]) -> list[UUID]:
    """Return the ids in an order that only the seed decides, the same in every Python and on every machine."""
    return sorted(ids, key=lambda each: hashlib.sha256(seed.encode() + each.bytes).digest())


def gold_of_worker(seed: int, worker_id: UUID, pool: Sequence[UUID]) -> list[UUID]:
    """Return a request's gold in the order in which this worker meets it."""
    return _order(f"gold:{seed}:{worker_id}", pool)


def seat_order(seed: int, claim_id: UUID, task_ids: Sequence[UUID], gold_ids: Sequence[UUID]) -> list[UUID]:
    """Return the order in which a claim shows its tasks, gold mixed in; reproducible from the request's seed."""
    return _order(f"seat:{seed}:{claim_id}", [*task_ids, *gold_ids])


def rank_of(round_number: int, bundle_number: int) -> int:
    """Return a seat's place in the queue: rounds first, so that every bundle gets a first answer before a second."""
    return round_number * RANK_ROUND + bundle_number


def affordable_units(budget_minor: int, planned_cost: int, unit_price: int) -> int:
    """Return how many more units the budget pays for; `planned_cost` and `unit_price` are at `PRICE_SCALE`."""
    return max(0, (budget_minor * PRICE_SCALE - planned_cost) // unit_price)


def worker_pay_minor(
    units: int, unit_price: int, *, fee_bps: int, worker_share_bps: int, paid_directly: bool
) -> int | None:
    """Return what a worker gets for units of work, in minor units, rounded down; None when the vendor pays."""
    if not paid_directly:
        return None
    after_fee = units * unit_price * (10_000 - fee_bps) // 10_000
    return after_fee * worker_share_bps // 10_000 // PRICE_SCALE


@dataclass(frozen=True, slots=True)
class WorkerPool:
    """Who may work on a contract: how many, and for each block those who have met it and get it no more."""

    size: int
    met: Mapping[int, frozenset[UUID]]

    def leaves_enough(self, blocks: Iterable[int]) -> bool:
        """Return whether enough workers are left who have met none of these blocks."""
        kept_away = frozenset().union(*(self.met.get(block, frozenset()) for block in blocks))
        return self.size - len(kept_away) >= MIN_LEFT


def needs_pool(size: int, overlap_max: int) -> bool:
    """Return whether so few may work on a contract that mixed blocks could keep all of them away."""
    return size < 2 * MAX_MIXED_BLOCKS * overlap_max


def chunks_of_few_blocks(
    tasks: Sequence[tuple[UUID, int]], size: int, pool: WorkerPool | None = None
) -> list[list[tuple[UUID, int]]]:
    """Group (task, block) pairs, sorted by block, into chunks of at most `size` tasks and `MAX_MIXED_BLOCKS` blocks.

    Blocks are mixed only while `pool` leaves enough workers who may take the chunk (None: there are plenty).
    """
    chunks: list[list[tuple[UUID, int]]] = []
    blocks: set[int] = set()
    for task in tasks:
        full = not chunks or len(chunks[-1]) == size
        if full or (task[1] not in blocks and not _may_mix(blocks | {task[1]}, pool)):
            chunks.append([])
            blocks = set()
        chunks[-1].append(task)
        blocks.add(task[1])
    return chunks


def _may_mix(blocks: set[int], pool: WorkerPool | None) -> bool:
    return len(blocks) <= MAX_MIXED_BLOCKS and (pool is None or pool.leaves_enough(blocks))
