"""When payouts fall due: periods of a payee's schedule, and the day by which money must have left. Pure."""

from datetime import datetime, timedelta
from typing import Final

from marketplace.payments.control_states import PayoutSchedule

HOLD: Final = "hold:"
_MARGIN: Final = timedelta(days=15)  # money.md §8.3
_MARGIN_PART: Final = 5  # a provider that holds money for 10 days is left by day 8 (money.md §7)


def period_of(schedule: PayoutSchedule, at: datetime) -> str | None:
    """Return the name of the period that a moment (UTC) lies in, "2026-W48" or "2026-11"; None without a period."""
    if schedule is PayoutSchedule.WEEKLY:
        year, week, _ = at.isocalendar()
        return f"{year}-W{week:02d}"
    if schedule is PayoutSchedule.MONTHLY:
        return f"{at.year}-{at.month:02d}"
    return None


def hold_period(at: datetime) -> str:
    """Return the name of the period in which old money is paid out: a day."""
    return f"{HOLD}{at.date().isoformat()}"


def longest_stay(provider_limit: timedelta, own_limit_days: int) -> timedelta:
    """Return how long money may stay: the provider's limit, or our shorter one (0: none), less a margin."""
    limit = min(provider_limit, timedelta(days=own_limit_days)) if own_limit_days else provider_limit
    return limit - min(_MARGIN, limit / _MARGIN_PART)
