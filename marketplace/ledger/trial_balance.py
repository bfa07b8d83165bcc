"""The trial balance: what was ever posted to each kind of account, debits and credits apart, per currency."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.ledger.accounts import type_of

_TOTALS: Final = text(
    """
    SELECT a.currency, split_part(a.path, ':', 1) AS name, count(DISTINCT a.id) AS accounts,
           coalesce(sum(p.amount_minor) FILTER (WHERE p.amount_minor > 0), 0) AS debit,
           coalesce(-sum(p.amount_minor) FILTER (WHERE p.amount_minor < 0), 0) AS credit
    FROM account a JOIN posting p ON p.account_id = a.id
    GROUP BY a.currency, name
    """
)


@dataclass(frozen=True, slots=True)
class TrialLine:
    """One kind of account in one currency; totals in minor units, `balance_minor` in the kind's normal direction."""

    code: int
    name: str
    accounts: int
    debit_minor: int
    credit_minor: int
    balance_minor: int


@dataclass(frozen=True, slots=True)
class TrialBalance:
    """All kinds of account in one currency; `difference_minor` is debits less credits, and zero in sound books."""

    currency: str
    lines: tuple[TrialLine, ...]
    debit_minor: int
    credit_minor: int
    difference_minor: int


async def trial_balances(session: AsyncSession) -> list[TrialBalance]:
    """Return one trial balance a currency, re-added from every posting, lines in the order of the chart."""
    found = await session.execute(_TOTALS)
    by_currency: dict[str, list[TrialLine]] = {}
    for currency, name, accounts, debit, credit in found:
        by_currency.setdefault(currency, []).append(_line(name, accounts, int(debit), int(credit)))
    return [_balance(currency, by_currency[currency]) for currency in sorted(by_currency)]


def _line(name: str, accounts: int, debit: int, credit: int) -> TrialLine:
    kind = type_of(name)
    return TrialLine(kind.code, name, accounts, debit, credit, (debit - credit) * kind.normal.sign)


def _balance(currency: str, lines: Iterable[TrialLine]) -> TrialBalance:
    ordered = tuple(sorted(lines, key=lambda line: line.code))
    debit, credit = sum(line.debit_minor for line in ordered), sum(line.credit_minor for line in ordered)
    return TrialBalance(currency, ordered, debit, credit, debit - credit)
