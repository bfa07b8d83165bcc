"""Amounts as Stripe counts them. Its exponents are a table of its own, apart from ISO 4217 (money.md §1, §7). Pure."""

from collections.abc import Mapping
from typing import Final

from marketplace.core.money import EXPONENTS, Money
from marketplace.payments.errors import AmountOutOfRange

# Source: Stripe's documentation of currencies, "zero-decimal currencies" and "special cases".
_ZERO_DECIMAL: Final = frozenset(
    ["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"]
)  # fmt: skip
_THREE_DECIMAL: Final = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})
# Payouts in these leave as whole units only; in minor units of Stripe, of which a hundred make one.
GRANULARITY_MINOR: Final[Mapping[str, int]] = {"HUF": 100, "ISK": 100, "TWD": 100, "UGX": 100}
_THREE_DECIMAL_STEP: Final = 10


def exponent(currency: str) -> int:
    """Return how many decimal digits an amount has at Stripe."""
    if currency in _ZERO_DECIMAL:
        return 0
    return 3 if currency in _THREE_DECIMAL else 2


def to_stripe(amount: Money, *, exponents: Mapping[str, int] = EXPONENTS) -> int:
    """Return an amount in Stripe's units, exactly.

    Raises:
        AmountOutOfRange: Stripe cannot express the amount without rounding, or not at all.
    """
    digits, wanted = exponents.get(amount.currency, exponent(amount.currency)), exponent(amount.currency)
    units, rest = divmod(amount.minor * _power(wanted), _power(digits))
    if rest or amount.minor <= 0 or (wanted == 3 and units % _THREE_DECIMAL_STEP):
        raise AmountOutOfRange(f"{amount.minor} minor units of {amount.currency} are no amount at Stripe")
    return units


def check_payout(amount: Money) -> None:
    """Refuse a payout that Stripe's granularity does not allow.

    Raises:
        AmountOutOfRange: the amount is no multiple of the granularity.
    """
    if amount.minor % GRANULARITY_MINOR.get(amount.currency, 1):
        raise AmountOutOfRange(f"a payout in {amount.currency} must be a multiple of 100 minor units")


def from_stripe(units: int, currency: str, *, exponents: Mapping[str, int] = EXPONENTS) -> int:
    """Return Stripe's units, of either sign, in our minor units, exactly.

    Raises:
        AmountOutOfRange: our minor unit is coarser than the amount.
    """
    code = currency.upper()
    minor, rest = divmod(units * _power(exponents.get(code, exponent(code))), _power(exponent(code)))
    if rest:
        raise AmountOutOfRange(f"{units} units of {code} at Stripe are no whole minor units here")
    return minor


def _power(digits: int) -> int:
    return int(10**digits)
