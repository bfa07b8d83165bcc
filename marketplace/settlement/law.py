"""Which of the figures and choices that law asks of an operator are set. Kapok has no default for any of them."""

from datetime import date
from typing import Literal

from pydantic import BaseModel

from marketplace.core.settings import Settings
from marketplace.payments.errors import TaxTableMissing
from marketplace.payments.rules import payout_rules
from marketplace.payments.withholding import WITHHOLDING_MODES
from marketplace.settlement.errors import MinimumTableInvalid, RetentionTableInvalid
from marketplace.settlement.pay_rules import minimum_table
from marketplace.settlement.retention_rules import retention_table

State = Literal["set", "missing", "invalid"]


class LawFact(BaseModel):
    """One choice of the operator's: the settings it stands in, whether it is made, and what is known of it."""

    name: str
    settings: list[str]
    state: State
    detail: str


def law_facts(settings: Settings, today: date) -> list[LawFact]:
    """Return what is set, what is missing and what cannot be used."""
    return [
        _tax(settings, today),
        _forms(settings),
        _minimum_pay(settings, today),
        _retention(settings),
        _who(settings),
    ]


def _tax(settings: Settings, today: date) -> LawFact:
    names = ["TAX_MODE", "TAX_TABLE_FILE"]
    rules = payout_rules(settings)
    if rules.tax_mode not in WITHHOLDING_MODES:
        state: State = "missing" if settings.tax_mode == "none" else "set"
        return _fact("tax", names, state, f"mode {settings.tax_mode}: nothing is withheld")
    try:
        table = rules.tax_table()
    except TaxTableMissing as error:
        return _fact("tax", names, "invalid", error.detail)
    assert table is not None  # noqa: S101  # every withholding mode has one
    title = f"mode {rules.tax_mode}, table {table.name} {table.version}"
    if not table.holds_on(today):
        return _fact("tax", names, "invalid", f"{title} holds from {table.valid_from} to {table.valid_to or 'further'}")
    checked = "verified" if table.verified else "nobody has compared it with the law (verified: false)"
    return _fact("tax", names, "set" if table.verified else "missing", f"{title}; {checked}")


def _forms(settings: Settings) -> LawFact:
    names = ["TAX_FORMS_REQUIRED"]
    if not settings.tax_forms_required:
        return _fact("tax_forms", names, "missing", "no form is asked of any payee")
    parts = (f"{country}: {', '.join(forms)}" for country, forms in sorted(settings.tax_forms_required.items()))
    return _fact("tax_forms", names, "set", "; ".join(parts))


def _minimum_pay(settings: Settings, today: date) -> LawFact:
    names = ["MIN_PAY_TABLE_FILE"]
    try:
        table = minimum_table(settings)
    except MinimumTableInvalid as error:
        return _fact("minimum_pay", names, "invalid", error.detail)
    if table is None:
        return _fact("minimum_pay", names, "missing", "no table: pay is compared with no minimum")
    current = table.rows_within(["*"], today)
    if not current:
        return _fact("minimum_pay", names, "invalid", f"{table.name}: no row is in force today")
    rows = ", ".join(f"{row.region} {row.action}" for row in current)
    return _fact("minimum_pay", names, "set", f"{table.name}: {rows}")


def _retention(settings: Settings) -> LawFact:
    names = ["RETENTION_TABLE_FILE"]
    try:
        table = retention_table(settings)
    except RetentionTableInvalid as error:
        return _fact("retention", names, "invalid", error.detail)
    if table is None:
        return _fact("retention", names, "missing", "no table: nothing is ever erased")
    absent = table.absent()
    if absent:
        return _fact("retention", names, "missing", f"{table.name} says nothing of {', '.join(absent)}")
    years = ", ".join(f"{rule.record_class} {rule.years} y" for rule in table.classes)
    return _fact("retention", names, "set", f"{table.name}: {years}")


def _who(settings: Settings) -> LawFact:
    names = ["PAYEE_COUNTRIES"]
    if not settings.payee_country_codes:
        return _fact("payee_countries", names, "missing", "not said where payees live: whose law holds is unknown")
    return _fact("payee_countries", names, "set", ", ".join(settings.payee_country_codes))


def _fact(name: str, names: list[str], state: State, detail: str) -> LawFact:
    return LawFact(name=name, settings=names, state=state, detail=detail)
