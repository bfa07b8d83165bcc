"""Income tax that is withheld from a payout to a person. Pure; amounts are in minor units of the table's currency.

The formulas are those of money.md §7; every figure in them comes from a table, which names its source and whether a
person has compared it with the law. A hint for counsel, not advice.
"""

from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from marketplace.core.operator_tables import read_table
from marketplace.payments.errors import TaxTableMissing

_WHOLE_BP: Final = 10_000
Minor = Annotated[int, Field(ge=0)]
BasisPoints = Annotated[int, Field(ge=0, le=_WHOLE_BP)]


class TaxMode(StrEnum):
    """Who withholds and by which formula; by `vendor_is_employer` and `none` the platform withholds nothing."""

    PLATFORM_CUMULATIVE = "platform_cumulative"
    PER_PAYMENT = "per_payment"
    VENDOR_IS_EMPLOYER = "vendor_is_employer"
    NONE = "none"


WITHHOLDING_MODES: Final = frozenset({TaxMode.PLATFORM_CUMULATIVE, TaxMode.PER_PAYMENT})


class Bracket(BaseModel):
    """A rate that holds for a base up to and including `up_to_minor` (None: without end), less the quick deduction."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    up_to_minor: Minor | None
    rate_bp: BasisPoints
    quick_deduction_minor: Minor


class TaxTable(BaseModel):
    """The figures of one formula. `allowance_minor` is per month when cumulative, per small payment otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: str
    mode: TaxMode
    authority: Annotated[str, Field(pattern=r"^[a-z0-9_]{2,32}$")]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    source: str
    valid_from: date
    valid_to: date | None
    time_zone: str = "Asia/Shanghai"
    verified: bool
    expense_bp: BasisPoints
    allowance_minor: Minor
    small_income_minor: Minor = 0
    brackets: Annotated[tuple[Bracket, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _brackets_join(self) -> Self:
        """A table that jumps, or whose rates fall, is a slip of the pen: tax would fall as income grows."""
        if self.mode not in WITHHOLDING_MODES:
            raise ValueError(f"{self.mode} has no table")
        if self.brackets[0].quick_deduction_minor != 0 or self.brackets[-1].up_to_minor is not None:
            raise ValueError("the first bracket has no quick deduction, the last one no end")
        for lower, upper in zip(self.brackets, self.brackets[1:], strict=False):
            if lower.up_to_minor is None or upper.rate_bp <= lower.rate_bp:
                raise ValueError("rates rise, and only the last bracket has no end")
            if upper.up_to_minor is not None and upper.up_to_minor <= lower.up_to_minor:
                raise ValueError("brackets rise")
            step = lower.up_to_minor * (upper.rate_bp - lower.rate_bp)
            if step != (upper.quick_deduction_minor - lower.quick_deduction_minor) * _WHOLE_BP:
                raise ValueError(f"the quick deduction of {upper.rate_bp} bp does not join the bracket below it")
        return self

    def holds_on(self, day: date) -> bool:
        """Return whether the table is in force on a day."""
        return self.valid_from <= day and (self.valid_to is None or day <= self.valid_to)


class YearSoFar(BaseModel):
    """A payee's earlier payouts of the tax year: gross income, tax withheld, consecutive months with this one."""

    model_config = ConfigDict(frozen=True)

    income_minor: Minor = 0
    withheld_minor: Minor = 0
    months: Annotated[int, Field(ge=1, le=12)] = 1
    exempt_minor: Minor = 0
    other_minor: Minor = 0


def load_table(mode: TaxMode, path: Path | None) -> TaxTable | None:
    """Return the table that a mode needs; None when the mode withholds nothing.

    Raises:
        TaxTableMissing: the mode needs a table, and the operator's file is not given, not readable or of another mode.
    """
    if mode not in WITHHOLDING_MODES:
        return None
    if path is None:
        raise TaxTableMissing(f"tax mode {mode} needs TAX_TABLE_FILE: a table of rates that the operator answers for")
    table = read_table(TaxTable, path, "TAX_TABLE_FILE", TaxTableMissing)
    if table.mode is not mode:
        raise TaxTableMissing(f"TAX_TABLE_FILE {path} is for {table.mode}, the tax mode is {mode}")
    return table


def withheld_from(table: TaxTable, income_minor: int, before: YearSoFar) -> int:
    """Return the tax to withhold from one payment of `income_minor`, between 0 and that income."""
    if table.mode is TaxMode.PER_PAYMENT:
        return min(_per_payment(table, income_minor), income_minor)
    due = _due_for_year(table, before.income_minor + income_minor, before)
    return min(max(due - before.withheld_minor, 0), income_minor)


def _due_for_year(table: TaxTable, income_minor: int, year: YearSoFar) -> int:
    """Announcement 16/2025: income − 20 % of it − exempt − 5,000 × months − other, by the yearly brackets."""
    deducted = year.exempt_minor + table.allowance_minor * year.months + year.other_minor
    base = income_minor * (_WHOLE_BP - table.expense_bp) - deducted * _WHOLE_BP
    return _by_brackets(table.brackets, base)


def _per_payment(table: TaxTable, income_minor: int) -> int:
    """61/2018: a small payment less a fixed sum, a larger one less a share of it."""
    if income_minor <= table.small_income_minor:
        return _by_brackets(table.brackets, (income_minor - table.allowance_minor) * _WHOLE_BP)
    return _by_brackets(table.brackets, income_minor * (_WHOLE_BP - table.expense_bp))


def _by_brackets(brackets: tuple[Bracket, ...], base: int) -> int:
    """Return the tax on a base given in 1/10⁴ minor units, rounded half up once, at the end."""
    if base <= 0:
        return 0
    fits = (one for one in brackets if one.up_to_minor is None or base <= one.up_to_minor * _WHOLE_BP)
    bracket = next(fits)
    scaled = base * bracket.rate_bp - bracket.quick_deduction_minor * _WHOLE_BP**2
    return (2 * scaled + _WHOLE_BP**2) // (2 * _WHOLE_BP**2)
