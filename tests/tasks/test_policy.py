"""The pure rules of bundles."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.catalog.schemas import QualityPlan
from marketplace.core.ids import new_id
from marketplace.tasks import policy

PLAN = QualityPlan()


@pytest.mark.parametrize(
    ("minutes", "seconds_per_task", "most", "size"),
    [(5, 15, 20, 20), (5, 30, 20, 10), (5, 600, 20, 1), (1, 7, 20, 8), (120, 1, 200, 200)],
)
def test_bundle_takes_its_minutes_when_tasks_are_short_or_long(minutes, seconds_per_task, most, size):
    plan = PLAN.model_copy(update={"bundle_minutes": minutes, "bundle_max_tasks": most})
    assert policy.bundle_size(plan, seconds_per_task) == size


@pytest.mark.parametrize(
    ("size", "share", "available", "gold"),
    [(18, 0.1, 100, 2), (20, 0.1, 1, 1), (20, 0.1, 0, 0), (20, 0.0, 9, 0), (3, 0.1, 9, 1), (10, 0.5, 50, 10)],
)
def test_gold_is_its_share_of_what_a_worker_sees(size, share, available, gold):
    assert policy.gold_wanted(PLAN.model_copy(update={"gold_share": share}), size, available) == gold


def test_seat_order_is_the_same_when_made_again_and_another_for_another_claim():
    tasks, gold = [new_id() for _ in range(18)], [new_id() for _ in range(2)]
    claim, other = new_id(), new_id()
    first = policy.seat_order(7, claim, tasks, gold)
    assert first == policy.seat_order(7, claim, list(reversed(tasks)), gold)
    assert sorted(first) == sorted([*tasks, *gold])
    assert first != policy.seat_order(7, other, tasks, gold)
    assert first != policy.seat_order(8, claim, tasks, gold)


def test_gold_comes_in_an_order_of_the_workers_own():
    pool = [new_id() for _ in range(30)]
    orders = {tuple(policy.gold_of_worker(1, new_id(), pool)) for _ in range(5)}
    assert len(orders) == 5
    assert all(set(order) == set(pool) for order in orders)


@given(st.lists(st.integers(0, 12), max_size=60), st.integers(1, 20))
def test_chunks_hold_every_task_once_and_few_blocks(blocks, size):
    tasks = [(UUID(int=number), block) for number, block in enumerate(sorted(blocks))]
    chunks = policy.chunks_of_few_blocks(tasks, size)
    assert [task for chunk in chunks for task in chunk] == tasks
    assert all(0 < len(chunk) <= size for chunk in chunks)
    assert all(len({block for _, block in chunk}) <= policy.MAX_MIXED_BLOCKS for chunk in chunks)


def test_blocks_are_mixed_only_while_enough_workers_have_met_none_of_them():
    tasks = [(UUID(int=block), block) for block in range(4)]
    met = {block: frozenset({UUID(int=100 + 2 * block), UUID(int=101 + 2 * block)}) for block in range(4)}
    sizes = [
        [len(chunk) for chunk in policy.chunks_of_few_blocks(tasks, 20, policy.WorkerPool(size, met))]
        for size in (1, 7, 9, 11)
    ]
    assert sizes == [[1, 1, 1, 1], [2, 2], [3, 1], [4]]


@given(st.integers(1, 10**9), st.integers(0, 10**12), st.integers(1, 10**7))
def test_affordable_units_never_cost_more_than_the_budget(budget_minor, planned_cost, unit_price):
    units = policy.affordable_units(budget_minor, planned_cost, unit_price)
    assert units == 0 or planned_cost + units * unit_price <= budget_minor * policy.PRICE_SCALE
    assert planned_cost + (units + 1) * unit_price > budget_minor * policy.PRICE_SCALE


def test_worker_pay_is_after_fee_and_by_share():
    pay = policy.worker_pay_minor(20, 350_000, fee_bps=1000, worker_share_bps=8000, paid_directly=True)
    assert pay == 504  # 20 · 35 fen = 700; −10 % = 630; of it 80 %
    assert policy.worker_pay_minor(20, 350_000, fee_bps=0, worker_share_bps=8000, paid_directly=False) is None
