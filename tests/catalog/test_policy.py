"""The pure rules of a dataset request."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.catalog.policy import (
    deadline_problems,
    estimate_cost,
    money_problems,
    price_text,
    residency_allows,
    residency_problems,
)
from marketplace.catalog.schemas import MAX_UNIT_PRICE, QualityPlan
from marketplace.catalog.states import Channel, DataClass
from marketplace.core.clock import now
from marketplace.core.money import PRICE_SCALE

NOW = now()


def days(count: float) -> timedelta:
    return timedelta(days=count)


@pytest.mark.parametrize(
    ("channel", "bids", "work", "fields"),
    [
        (Channel.BOTH, 1, 2, []),
        (Channel.BOTH, None, 2, ["bid_deadline"]),
        (Channel.VENDORS, 2, 2, ["bid_deadline"]),
        (Channel.VENDORS, 3, 2, ["bid_deadline"]),
        (Channel.VENDORS, -1, 2, ["bid_deadline"]),
        (Channel.VENDORS, 1, -2, ["deadline", "bid_deadline"]),
        (Channel.OPEN_CROWD, None, 2, []),
        (Channel.OPEN_CROWD, None, 0, ["deadline"]),
    ],
)
def test_deadlines_are_named_when_they_are_past_or_out_of_order(
    channel: Channel, bids: float | None, work: float, fields: list[str]
) -> None:
    bid_deadline = None if bids is None else NOW + days(bids)
    assert [p.field for p in deadline_problems(channel, bid_deadline, NOW + days(work), NOW)] == fields


@pytest.mark.parametrize(
    ("currency", "price", "budget", "fields"),
    [
        ("CNY", 35_000, 4, []),
        ("CNY", 35_000, 3, ["budget_minor"]),
        ("XXX", 35_000, 100, ["currency"]),
        ("cny", 35_000, 100, ["currency"]),
    ],
)
def test_money_is_named_when_it_breaks_a_rule(currency: str, price: int, budget: int, fields: list[str]) -> None:
    assert [p.field for p in money_problems(currency, price, budget)] == fields


def test_residency_refuses_when_a_place_is_unknown_or_not_named() -> None:
    assert not residency_allows([], "CN")
    assert not residency_allows(["CN"], None)
    assert not residency_allows(["CN-GX"], "CN", "CN-BJ")
    assert residency_allows(["CN-GX"], "CN", "CN-GX")
    assert residency_allows(["CN"], "CN", "CN-BJ")
    assert residency_allows(["*"], None)


@pytest.mark.parametrize("data_class", [c for c in DataClass if c is not DataClass.PUBLIC])
def test_anywhere_is_refused_when_data_are_not_public(data_class: DataClass) -> None:
    assert [p.field for p in residency_problems(data_class, ["*"])] == ["residency"]
    assert residency_problems(DataClass.PUBLIC, ["*"]) == []


@given(
    items=st.integers(0, 10**7), price=st.integers(1, MAX_UNIT_PRICE), low=st.integers(1, 50), more=st.integers(0, 49)
)
def test_estimate_covers_every_answer_when_rounded(items: int, price: int, low: int, more: int) -> None:
    plan = QualityPlan(overlap_min=low, overlap_max=min(50, low + more))
    estimate = estimate_cost(items, plan, price, "CNY")
    assert 0 <= estimate.lowest_minor * PRICE_SCALE - items * low * price < PRICE_SCALE
    assert estimate.highest_minor >= estimate.lowest_minor


@pytest.mark.parametrize(
    ("price", "currency", "text"),
    [
        (35_000, "CNY", "0.035 CNY"),
        (1, "CNY", "0.000001 CNY"),
        (12_345, "VND", "1.2345 VND"),
        (20_000, "VND", "2 VND"),
        (10**12, "CNY", "1,000,000.00 CNY"),
    ],
)
def test_price_reads_in_major_units_when_shown(price: int, currency: str, text: str) -> None:
    assert price_text(price, currency) == text
