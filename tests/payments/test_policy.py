"""When a call may be repeated, and when a new one is safe."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.payments import policy
from marketplace.payments.policy import AfterAbsence
from marketplace.payments.sandbox.gateway import _CAPABILITIES

LIMITS = replace(_CAPABILITIES, key_lifetime=timedelta(hours=24), find_delay=timedelta(minutes=1))


@pytest.mark.parametrize(
    ("age", "answered", "wanted"),
    [
        (timedelta(seconds=1), False, AfterAbsence.REPLAY),  # the first request may still be on its way: same key only
        (timedelta(hours=22), False, AfterAbsence.REPLAY),
        (timedelta(hours=23, minutes=30), False, AfterAbsence.WAIT),  # the key may be forgotten, or not
        (timedelta(hours=24, minutes=30), False, AfterAbsence.WAIT),
        (timedelta(hours=26), False, AfterAbsence.NEW_ATTEMPT),
        (timedelta(seconds=1), True, AfterAbsence.WAIT),  # answered, but a look-up may not see its effect yet
        (timedelta(minutes=2), True, AfterAbsence.NEW_ATTEMPT),
        (timedelta(hours=26), True, AfterAbsence.NEW_ATTEMPT),
    ],
)
def test_absence_means_what_is_safe_at_that_age(age, answered, wanted):
    assert policy.after_absence(age, answered=answered, limits=LIMITS) is wanted


@given(seconds=st.integers(0, 200_000))
def test_no_new_key_is_used_when_a_call_without_answer_may_still_arrive(seconds):
    after = policy.after_absence(timedelta(seconds=seconds), answered=False, limits=LIMITS)
    assert after is not AfterAbsence.NEW_ATTEMPT or seconds > 25 * 3600


def test_waits_double_up_to_an_hour():
    waits = [policy.wait_before(number).total_seconds() for number in (1, 2, 3, 11, 100)]
    assert waits == [5, 10, 20, 3600, 3600]


@given(balance=st.integers(0, 10**12), step=st.integers(1, 1000), least=st.integers(1, 10**6))
def test_payable_part_keeps_to_the_providers_steps_and_minimum(balance, step, least):
    limits = replace(LIMITS, granularity_minor={"TWD": step}, minimum_payout_minor={"TWD": least})
    part = policy.payable_part(balance, "TWD", limits)
    assert part % step == 0
    assert part == 0 or least <= part <= balance
    assert balance - part < step or part == 0
