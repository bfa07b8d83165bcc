"""Tax withheld from payouts: the formulas, on tables that are marked unverified."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from marketplace.core.settings import Settings
from marketplace.payments import withholding
from marketplace.payments.errors import TaxTableMissing
from marketplace.payments.withholding import TaxMode, TaxTable, YearSoFar, load_table, withheld_from

_SHIPPED = Path(withholding.__file__).parent / "tax_tables"
_BRACKETS = [(3_600_000, 300, 0), (14_400_000, 1000, 252_000), (None, 2000, 1_692_000)]
_CUMULATIVE = TaxTable.model_validate(
    {
        "name": "test", "version": "unverified", "mode": "platform_cumulative", "authority": "cn", "currency": "CNY",
        "source": "a test's", "valid_from": "2025-10-01", "valid_to": None, "verified": False,
        "expense_bp": 2000, "allowance_minor": 500_000,
        "brackets": [{"up_to_minor": a, "rate_bp": b, "quick_deduction_minor": c} for a, b, c in _BRACKETS],
    }
)  # fmt: skip
_PER_PAYMENT = TaxTable.model_validate_json((_SHIPPED / "cn_per_payment_61_2018.json").read_bytes())
_INCOME = st.integers(min_value=0, max_value=10**10)
_YEAR = st.builds(
    YearSoFar,
    income_minor=st.integers(0, 10**9),
    withheld_minor=st.integers(0, 10**8),
    months=st.integers(1, 12),
)


@pytest.mark.parametrize(("yuan", "once", "cumulative"), [(3_000, 440, 0), (8_000, 1_280, 42), (15_000, 2_400, 210)])
def test_tax_is_the_worked_figure_when_first_month(yuan: int, once: int, cumulative: int) -> None:
    assert withheld_from(_PER_PAYMENT, yuan * 100, YearSoFar()) == once * 100
    assert withheld_from(_CUMULATIVE, yuan * 100, YearSoFar()) == cumulative * 100


def test_tax_rises_to_the_worked_figure_when_the_year_goes_on() -> None:
    withheld: list[int] = []
    for month in range(1, 13):
        before = YearSoFar(income_minor=1_500_000 * (month - 1), withheld_minor=sum(withheld), months=month)
        withheld.append(withheld_from(_CUMULATIVE, 1_500_000, before))
    assert withheld[:3] == [21_000] * 3
    assert withheld[-1] == 70_000


@given(_INCOME, _YEAR, st.sampled_from([_CUMULATIVE, _PER_PAYMENT]))
def test_tax_stays_between_nothing_and_the_income_when_any(income: int, year: YearSoFar, table: TaxTable) -> None:
    assert 0 <= withheld_from(table, income, year) <= income


@given(_INCOME, st.integers(0, 10**8), _YEAR)
def test_tax_does_not_fall_when_income_grows(income: int, more: int, year: YearSoFar) -> None:
    assert withheld_from(_CUMULATIVE, income, year) <= withheld_from(_CUMULATIVE, income + more, year)


@given(st.lists(st.integers(0, 10**8), min_size=1, max_size=12), st.integers(1, 12))
def test_tax_of_a_month_is_the_same_when_paid_in_parts(parts: list[int], months: int) -> None:
    income = withheld = 0
    for part in parts:
        before = YearSoFar(income_minor=income, withheld_minor=withheld, months=months)
        withheld += withheld_from(_CUMULATIVE, part, before)
        income += part
    assert withheld == withheld_from(_CUMULATIVE, income, YearSoFar(months=months))


def test_mode_refuses_when_no_table_is_given() -> None:
    with pytest.raises(TaxTableMissing, match="TAX_TABLE_FILE"):
        load_table(TaxMode.PLATFORM_CUMULATIVE, None)


def test_shipped_cumulative_table_refuses_when_its_brackets_are_not_filled_in() -> None:
    with pytest.raises(TaxTableMissing, match="brackets"):
        load_table(TaxMode.PLATFORM_CUMULATIVE, _SHIPPED / "cn_platform_cumulative_16_2025.json")


def test_table_refuses_when_it_is_for_another_mode() -> None:
    with pytest.raises(TaxTableMissing, match="per_payment"):
        load_table(TaxMode.PLATFORM_CUMULATIVE, _SHIPPED / "cn_per_payment_61_2018.json")


@pytest.mark.parametrize("mode", [TaxMode.NONE, TaxMode.VENDOR_IS_EMPLOYER])
def test_no_table_is_needed_when_nothing_is_withheld(mode: TaxMode) -> None:
    assert load_table(mode, None) is None


def test_table_is_refused_when_its_brackets_do_not_join() -> None:
    facts = _CUMULATIVE.model_dump()
    facts["brackets"][1]["quick_deduction_minor"] = 100_000
    with pytest.raises(ValidationError, match="does not join"):
        TaxTable.model_validate(facts)


def test_start_is_refused_when_tax_is_to_be_withheld_without_a_table() -> None:
    with pytest.raises(ValidationError, match="TAX_TABLE_FILE"):
        Settings(tax_mode="per_payment")
