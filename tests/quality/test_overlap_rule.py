"""When a task has enough answers, and what another would tell."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.quality.overlap import StoppingRule, expected_gain, gain_per_price

RULE = StoppingRule(confidence=0.99, lead=3, calibrated_lead=2)


@pytest.mark.parametrize(
    ("confidence", "lead", "answers", "more"),
    [
        (0.999, 3, 3, False),
        (0.999, 2, 2, True),  # sure, but by two votes
        (0.98, 5, 5, True),  # many votes, but not sure
        (0.5, 0, 10, False),  # no more to be had
        (math.nan, 9, 9, True),
    ],
)
def test_needs_more_when_neither_sure_nor_full(confidence: float, lead: float, answers: int, more: bool) -> None:
    assert RULE.needs_more(confidence, lead, answers, 2, 10) is more


def test_needs_more_when_below_the_least_however_sure() -> None:
    assert RULE.needs_more(1.0, 9, 1, 2, 10)


def test_a_smaller_lead_is_enough_when_calibrated() -> None:
    assert RULE.needs_more(0.995, 2, 2, 2, 10)
    assert not RULE.needs_more(0.995, 2, 2, 2, 10, calibrated=True)


def test_doubt_of_raw_posteriors_counts_tenfold() -> None:
    rule = StoppingRule(confidence=0.95).of_posteriors()
    assert rule.needs_more(0.99, 5, 5, 2, 10)
    assert not rule.needs_more(0.9951, 5, 5, 2, 10)
    assert rule.lead == StoppingRule().lead


def test_the_most_wins_when_the_budget_pays_for_fewer_than_the_least() -> None:
    assert not RULE.needs_more(0.1, 0, 1, 2, 1)


def test_gain_is_the_whole_entropy_when_the_worker_is_perfect() -> None:
    assert expected_gain(np.array([0.25] * 4), 1.0) == pytest.approx(math.log(4))


@pytest.mark.parametrize(
    ("posterior", "accuracy"), [([0.5, 0.5], 0.5), ([1.0, 0.0], 0.9), ([1.0], 0.9), ([1 / 3] * 3, 1 / 3)]
)
def test_gain_is_nothing_when_the_worker_guesses_or_the_label_is_certain(
    posterior: list[float], accuracy: float
) -> None:
    assert expected_gain(np.array(posterior), accuracy) == pytest.approx(0, abs=1e-9)


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=8), st.floats(0, 1))
def test_gain_is_the_expected_drop_of_entropy_when_spelled_out(weights: list[float], accuracy: float) -> None:
    posterior = np.array(weights) / sum(weights)
    wrong = (1 - accuracy) / (len(posterior) - 1)
    after = 0.0
    for answer in range(len(posterior)):
        joint = posterior * np.where(np.arange(len(posterior)) == answer, accuracy, wrong)
        if joint.sum() > 0:
            updated = joint[joint > 0] / joint.sum()
            after += float(joint.sum() * -(updated * np.log(updated)).sum())
    before = float(-(posterior * np.log(posterior)).sum())
    assert expected_gain(posterior, accuracy) == pytest.approx(before - after, abs=1e-7)


def test_the_cheaper_of_two_alike_brings_more_per_price() -> None:
    even = np.array([0.5, 0.5])
    assert gain_per_price(even, 0.8, 1.0) == pytest.approx(2 * gain_per_price(even, 0.8, 2.0))
    with pytest.raises(ValueError, match="price"):
        gain_per_price(even, 0.8, 0)
