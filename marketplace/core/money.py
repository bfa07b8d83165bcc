"""Money: integers in minor units of one currency, never floats.

Exponents are those of ISO 4217 (how many decimal digits the minor unit has). A price of one unit of work is finer than
a minor unit: it is an integer at scale 10⁻⁴ minor units (`PRICE_SCALE`), so that 3.5 fen an answer is 35,000.
"""

from dataclasses import dataclass
from typing import Final, Self

from marketplace.core.errors import FieldProblem, Invalid

PRICE_SCALE: Final = 10_000

# ISO 4217:2015 list one (amendment 177), the currencies a request may be priced in: code → digits of the minor unit.
EXPONENTS: Final[dict[str, int]] = {
    "AUD": 2, "BND": 2, "CAD": 2, "CHF": 2, "CNY": 2, "EUR": 2, "GBP": 2, "HKD": 2, "IDR": 2, "JPY": 0, "KHR": 2,
    "KRW": 0, "LAK": 2, "MMK": 2, "MOP": 2, "MYR": 2, "NZD": 2, "PHP": 2, "SGD": 2, "THB": 2, "TWD": 2, "USD": 2,
    "VND": 0,
}  # fmt: skip


class CurrencyUnknown(Invalid):
    """Kapok does not settle in this currency."""

    code = "currency_unknown"


class CurrencyMixed(Invalid):
    """Two amounts of different currencies do not add up."""

    code = "currency_mixed"


def check_currency(code: str) -> str:
    """Return the code when Kapok settles in it, else raise `CurrencyUnknown`."""
    if code not in EXPONENTS:
        reason = f"{code!r} is not one of {', '.join(EXPONENTS)}"
        raise CurrencyUnknown(reason, fields=[FieldProblem("currency", reason)])
    return code


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units (fen, cent, đồng) of one currency."""

    minor: int
    currency: str

    def _same(self, other: Self) -> None:
        if self.currency != other.currency:
            raise CurrencyMixed(f"{self.currency} and {other.currency}")

    def __add__(self, other: Self) -> "Money":
        self._same(other)
        return Money(self.minor + other.minor, self.currency)

    def __sub__(self, other: Self) -> "Money":
        self._same(other)
        return Money(self.minor - other.minor, self.currency)

    def __str__(self) -> str:
        digits = EXPONENTS[self.currency]
        return f"{self.minor / 10**digits:,.{digits}f} {self.currency}"


def cumulative_due(units: int, unit_price: int, already_minor: int) -> int:
    """Return what the next accrual is, in minor units: half-up(units · price) − what was accrued before.

    `units` counts all units so far, `unit_price` is at `PRICE_SCALE`. Rounding the running total and not each bundle
    keeps the error of a whole contract within half a minor unit, however many bundles it has.
    """
    total = (units * unit_price * 2 + PRICE_SCALE) // (2 * PRICE_SCALE)
    return total - already_minor


def largest_remainder(amount: int, shares: dict[str, int]) -> dict[str, int]:
    """Split an amount by integer weights so that the parts add up to it exactly.

    Every part gets its floor; the units left go to the largest remainders, ties to the smaller key (Hamilton's method).
    """
    weight = sum(shares.values())
    if weight <= 0:
        raise ValueError("shares must have a positive sum")
    parts = {key: amount * share // weight for key, share in shares.items()}
    left = amount - sum(parts.values())
    by_remainder = sorted(shares, key=lambda key: (-(amount * shares[key] % weight), key))
    for key in by_remainder[:left]:
        parts[key] += 1
    return parts
