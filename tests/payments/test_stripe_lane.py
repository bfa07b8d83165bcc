"""The lane of Stripe's test mode does not call itself green when nothing was tried."""

import pytest

from tests import stripe_lane
from tests.payments.live import LaneRefused, key


def test_lane_says_skipped_when_there_is_no_key(monkeypatch, capsys):
    monkeypatch.delenv("STRIPE_TEST_KEY", raising=False)
    assert stripe_lane.main() == stripe_lane.SKIPPED != 0
    assert "skipped, no key" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["sk_live_51", "rk_live_51", "pk_test_51"])
def test_lane_is_refused_when_the_key_is_not_one_of_the_test_mode(monkeypatch, given):
    monkeypatch.setenv("STRIPE_TEST_KEY", given)
    with pytest.raises(LaneRefused):
        key()
    assert stripe_lane.main() == 1
