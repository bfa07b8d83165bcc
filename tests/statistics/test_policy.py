"""Rates and forecasts as tables."""

from datetime import UTC, datetime, timedelta

import pytest

from marketplace.statistics.policy import answers_per_hour, forecast_finish

AT = datetime(2030, 1, 1, 12, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("answers", "since", "rate"),
    [
        (0, None, 0.0),
        (120, timedelta(hours=5), 120.0),
        (120, timedelta(minutes=30), 240.0),
        # less than five minutes count as five
        (10, timedelta(seconds=1), 120.0),
    ],
)
def test_rate_looks_at_the_last_hour(answers: int, since: timedelta | None, rate: float) -> None:
    assert answers_per_hour(answers, AT - since if since else None, AT) == rate


@pytest.mark.parametrize(
    ("left", "rate", "finish"),
    [
        (0, 100.0, None),
        (100, 0.0, None),
        (150, 100.0, datetime(2030, 1, 1, 13, 30, tzinfo=UTC)),
    ],
)
def test_forecast_is_none_when_the_rate_says_nothing(left: int, rate: float, finish: datetime | None) -> None:
    assert forecast_finish(left, rate, AT) == finish


def test_forecast_is_bounded_when_the_rate_is_tiny() -> None:
    found = forecast_finish(10**12, 0.1, AT)
    assert found is not None
    assert found.year == 2039
