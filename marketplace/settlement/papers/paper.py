"""A paper before it is drawn: what an invoice, a receipt and a statement have in common. Pure."""

from dataclasses import dataclass, field
from decimal import Decimal

from babel.numbers import format_decimal

from marketplace.core.money import EXPONENTS
from marketplace.core.papers.language import Language


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. Numbers stand on the right and are as wide as they are; texts share what is left."""

    title: str
    share: int = 0
    numeric: bool = False


@dataclass(frozen=True, slots=True)
class Amount:
    """Minor units of a currency, in a cell."""

    minor: int
    currency: str

    def plain(self) -> str:
        """Return the amount for a machine: a point, no groups."""
        digits = EXPONENTS[self.currency]
        return f"{_decimal(self.minor, self.currency):.{digits}f}"

    def shown(self, language: Language) -> str:
        """Return the amount as people of the language write it, with the currency's own count of decimals."""
        return shown_amount(self.minor, self.currency, language)


Cell = str | int | Amount


@dataclass(frozen=True, slots=True)
class Paper:
    """Title, facts over the table, the table, totals under it, and notes at the end."""

    language: Language
    title: str
    facts: list[tuple[str, str]]
    columns: list[Column]
    rows: list[list[Cell]]
    totals: list[tuple[str, Amount]]
    notes: list[str] = field(default_factory=list)


def _decimal(minor: int, currency: str) -> Decimal:
    return Decimal(minor).scaleb(-EXPONENTS[currency])


def shown_amount(minor: int, currency: str, language: Language) -> str:
    """Return an amount without its currency; decimals are those of the ledger's table, not of CLDR."""
    digits = EXPONENTS[currency]
    pattern = "#,##0" + ("." + "0" * digits if digits else "")
    return str(format_decimal(_decimal(minor, currency), format=pattern, locale=language.value))
