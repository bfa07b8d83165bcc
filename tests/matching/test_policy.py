"""The award formula, the proposal, the split of items and the fit of vendors, as tables and properties."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.catalog.states import Channel, DataClass
from marketplace.core.errors import TransitionRefused
from marketplace.core.states import check_step
from marketplace.matching.errors import AwardSharesWrong, AwardUnaffordable
from marketplace.matching.policy import (
    PARTS,
    Demand,
    Needs,
    Offer,
    Part,
    Record,
    VendorFacts,
    check_affordable,
    misfits,
    propose,
    score,
    speaks,
    split_positions,
    terms_problems,
    track_record,
)
from marketplace.matching.schemas import AwardReasonCode, BidTerms
from marketplace.matching.states import BID_STEPS, CONTRACT_STEPS, BidState, ContractState
from tests.factories.matching import make_terms

AT = datetime(2030, 1, 1, tzinfo=UTC)
WEIGHTS = {"price": 0.4, "quality": 0.3, "capacity": 0.1, "track_record": 0.2}
DEMAND = Demand(item_count=1000, overlap_min=3, unit_price_ceiling=400_000, budget_minor=120_000, weights=WEIGHTS)
MARKET = Record(judged=1000, accepted=900, on_time=810)


def terms_of(**overrides: object) -> BidTerms:
    return make_terms(**({"delivery_at": AT + timedelta(days=10)} | overrides))


@pytest.mark.parametrize(
    ("part", "overrides", "value"),
    [
        ("price", {"unit_price": 400_000}, 0.0),
        ("price", {"unit_price": 300_000}, 0.25),
        ("price", {"unit_price": 4_000}, 0.99),
        ("quality", {"promised_quality": 0.97}, 0.97),
        # 10 days of 300 answers are all of 1000 items by 3 answers
        ("capacity", {"capacity_per_day": 300}, 1.0),
        ("capacity", {"capacity_per_day": 150}, 0.5),
        ("capacity", {"capacity_per_day": 150, "share_wanted": 0.5}, 1.0),
        ("capacity", {"delivery_at": AT - timedelta(days=1)}, 0.0),
    ],
)
def test_part_of_the_score_follows_the_published_formula(part: str, overrides: dict[str, object], value: float) -> None:
    assert getattr(score(terms_of(**overrides), DEMAND, Record(), MARKET, AT), part) == pytest.approx(value)


@pytest.mark.parametrize(
    ("own", "market", "value"),
    [
        (Record(), MARKET, (0.9 + 0.9) / 2),
        (Record(), Record(), (0.9 + 0.9) / 2),
        # two perfect bundles: (2 + 50·0.9)/52, for both halves
        (Record(2, 2, 2), MARKET, 47 / 52),
        (Record(2000, 1980, 1980), MARKET, ((1980 + 45) / 2050 + (1980 + 45) / 2030) / 2),
        (Record(100, 0, 0), MARKET, (45 / 150 + 0.9) / 2),
    ],
)
def test_track_record_is_shrunk_to_the_market_when_data_are_few(own: Record, market: Record, value: float) -> None:
    assert track_record(own, market) == pytest.approx(value)


def test_total_is_the_weighted_mean_when_weights_do_not_add_up_to_one() -> None:
    demand = Demand(1000, 3, 400_000, 120_000, {"price": 2.0, "quality": 2.0})
    found = score(terms_of(unit_price=200_000, promised_quality=0.9), demand, Record(), MARKET, AT)
    assert found.total == pytest.approx(0.7)


def test_parts_weigh_alike_when_no_weight_is_given() -> None:
    demand = Demand(1000, 3, 400_000, 120_000, {})
    found = score(terms_of(), demand, Record(), MARKET, AT)
    assert found.total == pytest.approx(sum(getattr(found, part) for part in PARTS) / 4)


def offers(*given_terms: BidTerms, fit: bool = True) -> list[Offer]:
    return [
        Offer(UUID(int=index), terms, score(terms, DEMAND, Record(), MARKET, AT), fit)
        for index, terms in enumerate(given_terms, start=1)
    ]


@pytest.mark.parametrize(
    ("bids", "wanted"),
    [
        ([{}], [(1, 1000, AwardReasonCode.WHOLE_SHARE)]),
        # the cheaper one comes first, the other gets the rest
        (
            [{"unit_price": 300_000}, {"unit_price": 100_000, "share_wanted": 0.6}],
            [(2, 600, AwardReasonCode.WHOLE_SHARE), (1, 400, AwardReasonCode.REST_OF_ITEMS)],
        ),
        ([{}, {"unit_price": 399_000}], [(1, 1000, AwardReasonCode.WHOLE_SHARE), (2, 0, AwardReasonCode.NOTHING_LEFT)]),
        # 10 days of 30 answers are 100 items by 3 answers
        ([{"capacity_per_day": 30}], [(1, 100, AwardReasonCode.CAPACITY_BOUND)]),
        ([{"delivery_at": AT}], [(1, 0, AwardReasonCode.NO_CAPACITY)]),
        # a tie in score and price goes to the earlier bid
        ([{}, {}], [(1, 1000, AwardReasonCode.WHOLE_SHARE), (2, 0, AwardReasonCode.NOTHING_LEFT)]),
    ],
)
def test_proposal_fills_by_score_within_share_and_capacity(
    bids: list[dict[str, object]], wanted: list[tuple[int, int, AwardReasonCode]]
) -> None:
    plenty = {"capacity_per_day": 10_000}
    found = propose(offers(*(terms_of(**(plenty | bid)) for bid in bids)), DEMAND, AT)
    assert [(proposal.bid_id.int, proposal.items, proposal.reason) for proposal in found] == wanted


def test_proposal_stops_when_the_money_does() -> None:
    poor = Demand(1000, 3, 400_000, 6_000, WEIGHTS)
    found = propose(offers(terms_of(unit_price=200_000)), poor, AT)
    assert [(proposal.items, proposal.reason) for proposal in found] == [(100, AwardReasonCode.BUDGET_BOUND)]


def test_proposal_gives_nothing_when_the_vendor_became_unfit() -> None:
    found = propose(offers(terms_of(), fit=False), DEMAND, AT)
    assert [(proposal.items, proposal.reason) for proposal in found] == [(0, AwardReasonCode.VENDOR_UNFIT)]


@given(
    st.lists(
        st.builds(
            terms_of,
            unit_price=st.integers(1, 400_000),
            capacity_per_day=st.integers(1, 5_000),
            share_wanted=st.floats(0.001, 1),
            promised_quality=st.floats(0, 1),
        ),
        max_size=6,
    ),
    st.integers(1, 500),
    st.integers(0, 50_000),
)
def test_proposal_never_exceeds_items_or_money(bids: list[BidTerms], item_count: int, budget_minor: int) -> None:
    demand = Demand(item_count, 3, 400_000, budget_minor, WEIGHTS)
    scored = [Offer(UUID(int=i), t, score(t, demand, Record(), MARKET, AT)) for i, t in enumerate(bids)]
    prices = {offer.bid_id: offer.terms.unit_price for offer in scored}
    found = propose(scored, demand, AT)
    assert len(found) == len(bids)
    assert sum(proposal.items for proposal in found) <= item_count
    assert sum(proposal.items * 3 * prices[proposal.bid_id] for proposal in found) <= budget_minor * 10_000


@given(st.lists(st.integers(1, 1_000), min_size=1, max_size=20), st.integers(1_000_000, 10_000_000))
def test_split_covers_all_items_once_when_shares_add_up(weights: list[int], item_count: int) -> None:
    shares = [weight / sum(weights) for weight in weights]
    parts = split_positions(shares, item_count)
    assert parts[0].first == 0
    assert parts[-1].end == item_count
    assert all(left.end == right.first for left, right in pairwise(parts))
    for share, part in zip(shares, parts, strict=True):
        assert abs((part.end - part.first) - share * item_count) <= 1 + 1e-3


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=10), st.integers(1, 1_000))
def test_split_is_whole_or_refused_whatever_the_shares(shares: list[float], item_count: int) -> None:
    try:
        parts = split_positions(shares, item_count)
    except AwardSharesWrong:
        assert abs(sum(shares) - 1) > 1e-9 or min(shares) * item_count < 1
        return
    assert sum(part.end - part.first for part in parts) == item_count
    assert all(part.end > part.first for part in parts)


@pytest.mark.parametrize("shares", [[0.5], [0.5, 0.5, 0.5], [0.6, 0.4 + 1e-6], [0.999999, 0.000001]])
def test_split_is_refused_when_shares_do_not_fit(shares: list[float]) -> None:
    with pytest.raises(AwardSharesWrong):
        split_positions(shares, 100)


@pytest.mark.parametrize(("budget_minor", "lacking"), [(9_000, 0), (8_999, 1), (1, 8_999)])
def test_award_is_unaffordable_when_the_smallest_number_of_answers_costs_more(budget_minor: int, lacking: int) -> None:
    demand = Demand(100, 3, 400_000, budget_minor, WEIGHTS)
    prices, parts = [200_000, 400_000], [Part(0, 50), Part(50, 100)]
    if not lacking:
        check_affordable(prices, parts, demand)
        return
    with pytest.raises(AwardUnaffordable) as refused:
        check_affordable(prices, parts, demand)
    assert refused.value.extra == {"lacking_minor": lacking}


@pytest.mark.parametrize(
    ("spoken", "wanted", "fits"),
    [
        (["zh"], "zh-CN", True),
        (["zh-Hant-HK"], "zh", True),
        (["zh-CN"], "zh-TW", False),
        (["ZH-cn"], "zh-CN", True),
        (["vi", "th"], "za", False),
        (["zha"], "zh", False),
        ([], "zh", False),
    ],
)
def test_language_is_covered_by_whole_subtags(spoken: list[str], wanted: str, *, fits: bool) -> None:
    assert speaks(frozenset(spoken), wanted) is fits


ZH = VendorFacts(frozenset({"zh"}), security_level=2)


@pytest.mark.parametrize(
    ("vendor", "needs", "codes"),
    [
        (ZH, Needs(Channel.VENDORS, ["zh"], DataClass.PERSONAL), []),
        (ZH, Needs(Channel.BOTH, ["zh", "vi"], DataClass.IMPORTANT), ["language_missing", "security_level_low"]),
        (None, Needs(Channel.BOTH, ["zh"], DataClass.PUBLIC), ["not_approved"]),
        (ZH, Needs(Channel.OPEN_CROWD, ["zh"], DataClass.PUBLIC), ["open_crowd_only"]),
    ],
)
def test_vendor_is_told_every_reason_when_it_may_not_bid(
    vendor: VendorFacts | None, needs: Needs, codes: list[str]
) -> None:
    assert [misfit.code for misfit in misfits(vendor, needs)] == codes


@pytest.mark.parametrize(
    ("overrides", "fields"),
    [
        ({}, []),
        ({"unit_price": 400_001}, ["unit_price"]),
        ({"delivery_at": AT + timedelta(days=31)}, ["delivery_at"]),
        ({"delivery_at": AT, "unit_price": 500_000}, ["unit_price", "delivery_at"]),
    ],
)
def test_terms_are_refused_when_they_break_a_limit(overrides: dict[str, object], fields: list[str]) -> None:
    problems = terms_problems(terms_of(**overrides), 400_000, AT + timedelta(days=30), AT)
    assert [problem.field for problem in problems] == fields


@pytest.mark.parametrize("current", BidState)
@pytest.mark.parametrize("target", BidState)
def test_bid_moves_only_as_its_table_says(current: BidState, target: BidState) -> None:
    if target in BID_STEPS.get(current, frozenset()):
        check_step(BID_STEPS, current, target)
        return
    with pytest.raises(TransitionRefused):
        check_step(BID_STEPS, current, target)


@pytest.mark.parametrize("current", ContractState)
@pytest.mark.parametrize("target", ContractState)
def test_contract_moves_only_as_its_table_says(current: ContractState, target: ContractState) -> None:
    if target in CONTRACT_STEPS.get(current, frozenset()):
        check_step(CONTRACT_STEPS, current, target)
        return
    with pytest.raises(TransitionRefused):
        check_step(CONTRACT_STEPS, current, target)
