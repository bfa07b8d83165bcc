"""How rates and forecasts are computed. Pure."""

from datetime import datetime, timedelta
from typing import Final

ACTIVE_WINDOW: Final = timedelta(minutes=10)
RATE_WINDOW: Final = timedelta(hours=1)
# a rate over less than this would jump with every bundle
MIN_RATE_WINDOW: Final = timedelta(minutes=5)
FARTHEST_FORECAST: Final = timedelta(days=3650)


def answers_per_hour(answers: int, first_at: datetime | None, at: datetime) -> float:
    """Return answers an hour over the last hour, or over the time since the first submission if that is shorter."""
    if first_at is None:
        return 0.0
    window = min(RATE_WINDOW, max(MIN_RATE_WINDOW, at - first_at))
    return round(answers * (timedelta(hours=1) / window), 1)


def forecast_finish(answers_left: int, per_hour: float, at: datetime) -> datetime | None:
    """Return when the answers left will be there at this rate, to the minute; None if the rate says nothing."""
    if answers_left == 0 or per_hour <= 0:
        return None
    needed = timedelta(hours=min(answers_left / per_hour, FARTHEST_FORECAST / timedelta(hours=1)))
    return (at + needed).replace(second=0, microsecond=0)
