"""Splits and cumulative rounding, for all amounts."""

from hypothesis import given
from hypothesis import strategies as st

from marketplace.core.money import PRICE_SCALE, cumulative_due
from marketplace.settlement.policy import BPS, Split, Terms, split

BPS_VALUES = st.integers(0, BPS)


@given(amount=st.integers(0, 10**15), fee=BPS_VALUES, share=BPS_VALUES, to_vendor=st.booleans(), directly=st.booleans())
def test_parts_add_up_and_are_never_negative(amount, fee, share, to_vendor, directly):
    parts = split(amount, Terms(fee, to_vendor, directly, share))
    assert parts.fee_minor + parts.vendor_minor + parts.worker_minor == amount
    assert min(parts.fee_minor, parts.vendor_minor, parts.worker_minor) >= 0
    assert parts.fee_minor == amount * fee // BPS


@given(amount=st.integers(0, 10**12), fee=st.integers(0, 5000), share=BPS_VALUES)
def test_each_part_is_within_one_minor_unit_of_its_share(amount, fee, share):
    parts = split(amount, Terms(fee, to_vendor=True, pay_workers_directly=True, worker_share_bps=share))
    rest = amount - parts.fee_minor
    assert abs(parts.worker_minor * BPS - rest * share) < BPS


def test_money_goes_where_the_contract_says():
    assert split(1000, Terms(1000, False, True, 10_000)) == Split(100, 0, 900)
    assert split(1000, Terms(1000, True, False, 7000)) == Split(100, 900, 0)
    assert split(1000, Terms(1000, True, True, 7000)) == Split(100, 270, 630)
    assert split(1, Terms(1000, True, True, 5000)) == Split(0, 1, 0)  # a tie goes to the smaller key


@given(bundles=st.lists(st.integers(1, 200), min_size=1, max_size=60), price=st.integers(1, 10**7))
def test_rounding_error_stays_within_half_a_minor_unit_however_many_bundles(bundles, price):
    units = accrued = 0
    for size in bundles:
        due = cumulative_due(units + size, price, accrued)
        assert due >= 0
        units, accrued = units + size, accrued + due
    assert abs(accrued * PRICE_SCALE - units * price) * 2 <= PRICE_SCALE
