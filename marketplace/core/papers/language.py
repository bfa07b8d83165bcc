"""The language of a paper, and how its people write numbers, days and times. Pure."""

from datetime import date, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal


class Language(StrEnum):
    """In which language a paper is written; the values are what Babel calls them."""

    ZH = "zh_CN"
    EN = "en"


def shown_count(count: int, language: Language) -> str:
    """Return a whole number with groups."""
    return str(format_decimal(count, format="#,##0", locale=language.value))


def shown_date(day: date, language: Language) -> str:
    """Return a day in the language's middle form."""
    return str(format_date(day, format="long", locale=language.value))


def shown_time(at: datetime, time_zone: str, language: Language) -> str:
    """Return an instant to the minute, in a time zone."""
    pattern = "yyyy-MM-dd HH:mm"
    return str(format_datetime(at.astimezone(ZoneInfo(time_zone)), pattern, locale=language.value))
