"""Days and months as the operator counts them. Pure."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from marketplace.settlement.errors import PeriodInvalid


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days in a time zone, from `first` up to, not including, `end`."""

    first: date
    end: date
    time_zone: str

    def __post_init__(self) -> None:
        """Refuse an empty period with `PeriodInvalid`."""
        if self.end <= self.first:
            raise PeriodInvalid

    @property
    def starts_at(self) -> datetime:
        """The instant at which the period begins."""
        return datetime.combine(self.first, time(), ZoneInfo(self.time_zone))

    @property
    def ends_at(self) -> datetime:
        """The first instant that is not in the period any more."""
        return datetime.combine(self.end, time(), ZoneInfo(self.time_zone))

    @property
    def last(self) -> date:
        """The last day of the period."""
        return self.end - timedelta(days=1)


def month_of(day: date, time_zone: str) -> Period:
    """Return the calendar month that a day is in."""
    first = day.replace(day=1)
    return Period(first, (first + timedelta(days=32)).replace(day=1), time_zone)


def months_before(day: date, count: int, time_zone: str) -> list[Period]:
    """Return the whole months before the one that a day is in, the last `count` of them, oldest first."""
    months: list[Period] = []
    first = day.replace(day=1)
    for _ in range(count):
        month = month_of(first - timedelta(days=1), time_zone)
        months.append(month)
        first = month.first
    return months[::-1]
