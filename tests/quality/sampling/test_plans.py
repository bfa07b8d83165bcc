"""Sampling plans: Wald's constants, the exact characteristic against its definition and draws, ISO's tables."""

import random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.quality.sampling.iso2859 import AQLS, Inspection, SinglePlan, inspection_after, single_plan
from marketplace.quality.sampling.plans import Method, drawn, hash_of, is_double, make_plan, read_plan, walk
from marketplace.quality.sampling.sprt import Bounds, Step, risks_at, wald_lines

P0, P1, ALPHA, BETA = 0.025, 0.09, 0.05, 0.10
ASKED = {"method": Method.SPRT, "aql": 2.5, "p1": P1, "alpha": ALPHA, "beta": BETA, "double_share": 0.1}
LINES = wald_lines(P0, P1, ALPHA, BETA)
IDS = [UUID(int=n) for n in range(2_000)]


def plan_of(lot: int = 3_000, **changed: object):  # type: ignore[no-untyped-def]
    return make_plan({**ASKED, **changed}, lot, 7)


def test_wald_lines_when_constants_are_known() -> None:
    assert (round(LINES.slope, 4), round(LINES.h0, 2), round(LINES.h1, 2)) == (0.0511, 1.67, 2.14)


@pytest.mark.parametrize(
    ("p0", "p1", "alpha", "beta"),
    [(0.1, 0.1, 0.05, 0.1), (0.2, 0.1, 0.05, 0.1), (0.0, 0.1, 0.05, 0.1), (0.1, 0.2, 0.6, 0.5), (0.1, 0.2, 0.0, 0.5)],
)
def test_wald_lines_refuse_when_risks_make_no_test(p0: float, p1: float, alpha: float, beta: float) -> None:
    with pytest.raises(ValueError, match="must"):
        wald_lines(p0, p1, alpha, beta)


def test_steps_when_lines_are_crossed() -> None:
    bounds = Bounds(125, 6, LINES)
    assert bounds.step(32, 0) is Step.GO_ON  # .0511 · 32 - 1.67 < 0
    assert bounds.step(33, 0) is Step.ACCEPTED
    assert bounds.step(3, 3) is Step.REJECTED  # .0511 · 3 + 2.14 = 2.29
    assert bounds.step(3, 2) is Step.GO_ON
    assert bounds.step(125, 6) is Step.ACCEPTED
    assert bounds.step(100, 7) is Step.REJECTED


@given(st.integers(1, 300), st.integers(0, 20), st.booleans())
def test_every_plan_has_decided_when_its_limit_is_reached(limit: int, accept: int, sequential: bool) -> None:
    accept = min(accept, limit - 1)
    bounds = Bounds(limit, accept, LINES if sequential else None)
    for items in range(1, limit + 1):
        assert bounds.accept_at(items) < bounds.reject_at(items)
    for wrong in range(limit + 1):
        assert bounds.step(limit, wrong) is (Step.ACCEPTED if wrong <= accept else Step.REJECTED)


def test_curtailment_changes_no_decision_when_compared_with_the_whole_sample() -> None:
    bounds, draws = Bounds(50, 3), random.Random(5)
    for _ in range(2_000):
        sample = [draws.random() < 0.07 for _ in range(50)]
        decided = walk(bounds, sample)[2]
        assert decided is (Step.ACCEPTED if sum(sample) <= 3 else Step.REJECTED)


@pytest.mark.parametrize("p", [0.0, 0.01, P0, 0.05, P1, 0.2])
def test_exact_characteristic_when_compared_with_draws(p: float) -> None:
    plan, draws = plan_of(), random.Random(11)
    exact = risks_at(plan.bounds, p)
    accepted = looked_at = 0
    lots = 4_000
    for _ in range(lots):
        items, _, step = walk(plan.bounds, [draws.random() < p for _ in range(plan.limit)])
        accepted, looked_at = accepted + (step is Step.ACCEPTED), looked_at + items
    assert exact.accepted == pytest.approx(accepted / lots, abs=0.025)  # over three standard errors
    assert exact.mean_items == pytest.approx(looked_at / lots, rel=0.04)


def test_characteristic_is_the_binomial_when_the_plan_is_single() -> None:
    # P(X <= 3), X ~ Binomial(50, .09): summed by hand from its definition
    assert risks_at(Bounds(50, 3), 0.09).accepted == pytest.approx(0.3303, abs=1e-4)


def test_risks_hold_and_half_the_reviews_are_saved_when_the_lot_is_good() -> None:
    plan = plan_of()
    single = single_plan(3_000, 2.5)
    assert (plan.limit, plan.accept_number) == (125, 6)
    assert 1 - risks_at(plan.bounds, P0).accepted <= ALPHA
    at_p1 = risks_at(plan.bounds, P1).accepted
    assert at_p1 <= BETA * 1.15
    assert at_p1 <= risks_at(Bounds(single.size, single.accept), P1).accepted
    assert risks_at(plan.bounds, P0).mean_items <= 0.5 * single.size
    assert risks_at(plan.bounds, P0 / 2).mean_items <= 0.4 * single.size


@pytest.mark.parametrize("lot", [300, 1_000, 3_000, 9_000, 30_000])
@pytest.mark.parametrize("aql", [1.0, 2.5, 4.0])
def test_a_good_lot_is_rejected_no_more_often_than_stated_when_truncated(lot: int, aql: float) -> None:
    plan = plan_of(lot, aql=aql, p1=min(4 * aql / 100, 0.5))
    single = risks_at(Bounds(plan.limit, single_plan(lot, aql).accept), aql / 100).accepted
    assert 1 - risks_at(plan.bounds, aql / 100).accepted <= max(ALPHA, 1 - single + 0.02)


@pytest.mark.parametrize(
    ("lot", "size", "accept"),
    [
        (281, 50, 3), (500, 50, 3), (501, 80, 5), (1_200, 80, 5), (1_201, 125, 7), (3_200, 125, 7), (3_201, 200, 10),
        (10_000, 200, 10), (151, 32, 2), (91, 20, 1), (51, 20, 1), (26, 5, 0), (2, 2, 0), (600_000, 500, 21),
    ],
)  # fmt: skip
def test_normal_plan_when_aql_is_two_and_a_half(lot: int, size: int, accept: int) -> None:
    plan = single_plan(lot, 2.5)
    assert (plan.size, plan.accept) == (size, accept)


@pytest.mark.parametrize(
    ("aql", "plan"),
    [
        (0.65, SinglePlan("K", 125, 2)), (1.0, SinglePlan("K", 125, 3)), (1.5, SinglePlan("K", 125, 5)),
        (2.5, SinglePlan("K", 125, 7)), (4.0, SinglePlan("K", 125, 10)), (6.5, SinglePlan("K", 125, 14)),
    ],
)  # fmt: skip
def test_row_k_when_all_aqls(aql: float, plan: SinglePlan) -> None:
    assert single_plan(2_000, aql) == plan


@pytest.mark.parametrize(
    ("lot", "inspection", "size", "accept"),
    [
        (2_000, Inspection.TIGHTENED, 125, 5), (5_000, Inspection.TIGHTENED, 200, 8),
        (400, Inspection.TIGHTENED, 50, 2),
        (60, Inspection.TIGHTENED, 32, 1), (2_000, Inspection.REDUCED, 50, 3),
    ],
)  # fmt: skip
def test_other_inspection_when_lots_before_said_so(lot: int, inspection: Inspection, size: int, accept: int) -> None:
    plan = single_plan(lot, 2.5, inspection)
    assert (plan.size, plan.accept) == (size, accept)


@given(st.integers(2, 10**7), st.sampled_from(AQLS), st.sampled_from(list(Inspection)[:3]))
def test_plan_fits_the_lot_when_any_is_asked(lot: int, aql: float, inspection: Inspection) -> None:
    plan = single_plan(lot, aql, inspection)
    assert 0 <= plan.accept < plan.size <= lot


@pytest.mark.parametrize(("lot", "aql"), [(1, 2.5), (0, 2.5), (100, 3.0)])
def test_plan_is_refused_when_the_table_has_none(lot: int, aql: float) -> None:
    with pytest.raises(ValueError, match=r"lot|AQL"):
        single_plan(lot, aql)


def test_discontinued_inspection_has_no_plan_when_asked() -> None:
    with pytest.raises(ValueError, match="discontinued"):
        single_plan(500, 2.5, Inspection.DISCONTINUED)


@pytest.mark.parametrize(
    ("lots", "inspection"),
    [
        ("", Inspection.NORMAL),
        ("+-++++-", Inspection.NORMAL),  # the second one is more than five lots away
        ("+-+-", Inspection.TIGHTENED),
        ("--" + "+" * 4, Inspection.TIGHTENED),
        ("--" + "+" * 5, Inspection.NORMAL),
        ("--" + "+-+-+-+--", Inspection.DISCONTINUED),
        ("+" * 10, Inspection.REDUCED),
        ("+" * 10 + "-", Inspection.NORMAL),
    ],
)
def test_inspection_switches_when_lots_have_been_judged(lots: str, inspection: Inspection) -> None:
    assert inspection_after([lot == "+" for lot in lots]) is inspection


def test_plan_keeps_its_hash_when_stored_and_read() -> None:
    plan = plan_of()
    assert read_plan(plan.as_json()) == plan
    assert hash_of(read_plan(plan.as_json())) == hash_of(plan)
    assert hash_of(plan_of(aql=4.0)) != hash_of(plan)


def test_items_are_drawn_the_same_when_the_seed_is() -> None:
    assert drawn(3, IDS) == drawn(3, reversed(IDS))
    assert drawn(3, IDS) != drawn(4, IDS)
    assert sum(is_double(3, each, 0.1) for each in IDS) / len(IDS) == pytest.approx(0.1, abs=0.02)


def test_items_behind_an_open_one_wait_when_they_are_reviewed_first() -> None:
    bounds = Bounds(125, 6, LINES)
    assert walk(bounds, [True, None, True, True, True]) == (1, 1, Step.GO_ON)
    assert walk(bounds, [True, True, True, None]) == (3, 3, Step.REJECTED)
    assert walk(bounds, []) == (0, 0, Step.GO_ON)
