"""Which gold a claim holds: places in an order never move, whatever rests or joins."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from marketplace.tasks.dealing import EFFECT_DELAY, GoldRow, make_gold_pool
from marketplace.tasks.policy import gold_of_worker

GOLD = [UUID(int=n) for n in range(10)]
NEW = [UUID(int=n) for n in range(100, 104)]
WORKER = UUID(int=77)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def row(item: UUID, **fields: object) -> GoldRow:
    empty = {"added_at": None, "met": None, "from_at": None, "until_at": None}
    return GoldRow(item, **(empty | fields))  # type: ignore[arg-type]


def test_span_is_the_workers_own_order_when_nothing_rests() -> None:
    pool = make_gold_pool(5, [row(gold) for gold in GOLD], NOON)
    assert pool.span(WORKER, 2, 3, NOON) == gold_of_worker(5, WORKER, GOLD)[2:5]
    assert pool.dealt == len(GOLD)


def test_claims_made_before_keep_gold_when_it_rests_and_later_ones_leave_it_out() -> None:
    order = gold_of_worker(5, WORKER, GOLD)
    resting = [row(gold, from_at=NOON) if gold == order[3] else row(gold) for gold in GOLD]
    pool = make_gold_pool(5, resting, NOON)
    assert pool.span(WORKER, 2, 3, NOON - timedelta(seconds=1)) == order[2:5]
    assert pool.span(WORKER, 2, 3, NOON) == [order[2], order[4]]
    assert pool.span(WORKER, 5, 3, NOON) == order[5:8], "the places of other spans do not move"


def test_gold_is_dealt_again_when_its_rest_is_over() -> None:
    end = NOON + timedelta(hours=1)
    order = gold_of_worker(5, WORKER, GOLD)
    rests = [row(order[0], from_at=NOON, until_at=end), row(order[0], from_at=end + timedelta(hours=1))]
    pool = make_gold_pool(5, [*rests, *(row(gold) for gold in GOLD if gold != order[0])], NOON)
    held = [bool(pool.span(WORKER, 0, 1, end + timedelta(minutes=at))) for at in (-61, -30, 0, 59, 60)]
    assert held == [True, False, True, True, False]


def test_orders_stay_when_gold_joins_and_those_who_met_it_never_get_it() -> None:
    before = make_gold_pool(5, [row(gold) for gold in GOLD], NOON)
    added = [row(gold, added_at=NOON, met=[WORKER] if gold == NEW[0] else []) for gold in NEW]
    after = make_gold_pool(5, [*(row(gold) for gold in GOLD), *added], NOON)
    assert after.span(WORKER, 0, 10, NOON) == before.span(WORKER, 0, 10, NOON)
    assert set(after.span(WORKER, 10, 4, NOON)) == set(NEW[1:])
    assert set(after.span(UUID(int=78), 10, 4, NOON)) == set(NEW)
    assert after.dealt == len(GOLD), "no process deals what another may not know yet"
    assert make_gold_pool(5, [*(row(gold) for gold in GOLD), *added], NOON + EFFECT_DELAY).dealt == 14
