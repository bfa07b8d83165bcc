"""Minimum pay by region: the operator's table, and what an hour of work has come to. Pure; amounts in minor units.

Kapok ships no figure: a minimum is what the operator writes into the table, with its source and the day it holds from
(money.md §7). Time is what work on accepted answers took, rework included, without what was idle.
"""

from collections.abc import Iterable
from datetime import date
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from marketplace.core.money import PRICE_SCALE, Money
from marketplace.core.operator_tables import read_table
from marketplace.core.settings import Settings
from marketplace.settlement.errors import MinimumTableInvalid
from marketplace.settlement.states import MinimumPayAction

ANYWHERE: Final = "*"
_MS_AN_HOUR: Final = 3_600_000
_BPS: Final = 10_000


class MinimumRow(BaseModel):
    """What an hour must bring in a country (ISO 3166-1) or region (ISO 3166-2), by which source, and what else."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    region: Annotated[str, Field(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")]
    per_hour_minor: Annotated[int, Field(gt=0)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    source: Annotated[str, Field(pattern=r"^https?://")]
    valid_from: date
    valid_to: date | None = None
    action: MinimumPayAction

    def holds_on(self, day: date) -> bool:
        """Return whether the row is in force on a day."""
        return self.valid_from <= day and (self.valid_to is None or day <= self.valid_to)


class MinimumTable(BaseModel):
    """The operator's minima. An answer counts for `idle_factor` times the time its request plans for it, at most."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    idle_factor: Annotated[float, Field(ge=1, le=1000)]
    rows: Annotated[tuple[MinimumRow, ...], Field(min_length=1)]

    def row_of(self, country: str | None, region: str | None, day: date) -> MinimumRow | None:
        """Return the newest row in force of a place: its region's, else its country's."""
        for place in (region, country):
            found = [row for row in self.rows if row.region == place and row.holds_on(day)]
            if found:
                return max(found, key=lambda row: row.valid_from)
        return None

    def rows_within(self, places: Iterable[str], day: date) -> list[MinimumRow]:
        """Return the rows in force that may bind people who work in these places (`*`: anywhere), by region."""
        wanted = set(places)
        regions = sorted({row.region for row in self.rows if _touches(row.region, wanted)})
        found = (self.row_of(None, region, day) for region in regions)
        return [row for row in found if row is not None]


class Estimate(BaseModel):
    """What an hour on a request is expected to bring in a place, beside the minimum there.

    `basis` is `planned` (price ceiling over the planned seconds an answer) or `measured` (the median of those who have
    worked on it). `per_hour_minor` is null when the minimum stands in another currency.
    """

    region: str
    action: MinimumPayAction
    minimum_per_hour_minor: int
    currency: str
    source: str
    per_hour_minor: int | None
    basis: str
    below: bool


def _touches(region: str, places: set[str]) -> bool:
    """Whether a row's place lies in one of the places, or one of them in it."""
    if ANYWHERE in places:
        return True
    return any(place == region or place.startswith(f"{region}-") or region.startswith(f"{place}-") for place in places)


def net_price(unit_price: int, fee_bps: int) -> int:
    """Return what is left of a unit price after the platform's fee, at the same scale, rounded down."""
    return unit_price * (_BPS - fee_bps) // _BPS


def per_hour(unit_price: int, seconds: float) -> int:
    """Return what an hour brings, in minor units rounded down, at a price (at `PRICE_SCALE`) for so many seconds."""
    return unit_price * _MS_AN_HOUR // (PRICE_SCALE * max(milliseconds(seconds), 1))


def milliseconds(seconds: float) -> int:
    """Return a measured time as an integer, so that no float meets an amount."""
    return max(round(seconds * 1000), 0)


def minimum_of(row: MinimumRow, seconds: float) -> int:
    """Return the least that so much time must bring, rounded up to the minor unit."""
    return -(-row.per_hour_minor * milliseconds(seconds) // _MS_AN_HOUR)


def missing(row: MinimumRow, seconds: float, earned_minor: int) -> int:
    """Return what is missing to the minimum of the time worked; 0 when nothing is."""
    return max(minimum_of(row, seconds) - earned_minor, 0)


def estimate(row: MinimumRow, currency: str, hourly_minor: int, basis: str) -> Estimate:
    """Set what an hour brings beside the minimum of a place; another currency is not compared."""
    comparable = row.currency == currency
    return Estimate(
        region=row.region, action=row.action, minimum_per_hour_minor=row.per_hour_minor, currency=row.currency,
        source=row.source, per_hour_minor=hourly_minor if comparable else None, basis=basis,
        below=comparable and hourly_minor < row.per_hour_minor,
    )  # fmt: skip


def sentence(found: Estimate) -> str:
    """Say in words that an hour brings too little, with the figures."""
    hourly, least = (
        Money(found.per_hour_minor or 0, found.currency),
        Money(found.minimum_per_hour_minor, found.currency),
    )
    return f"an hour brings about {hourly} ({found.basis}); in {found.region} it must bring {least} ({found.source})"


def minimum_table(settings: Settings) -> MinimumTable | None:
    """Return the operator's table, None when there is none.

    Raises:
        MinimumTableInvalid: the file cannot be used.
    """
    path = settings.min_pay_table_file
    return read_table(MinimumTable, path, "MIN_PAY_TABLE_FILE", MinimumTableInvalid) if path else None
