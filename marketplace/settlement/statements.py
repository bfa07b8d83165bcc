"""Statements of account for a period: opening balance, every movement, closing balance.

One statement to the database reads all three, so that no posting comes between them. A movement belongs to the day on
which it took effect, in the operator's time zone.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.settlement.errors import StatementTooLong
from marketplace.settlement.periods import Period

_REFERENCES: Final = ("top_up_id", "payout_id", "refund_id", "claim_id")
_STATEMENT: Final = text(
    """
    WITH moved AS MATERIALIZED (
        SELECT p.id, t.kind, t.facts, t.effective_at,
               p.amount_minor * CASE a.normal WHEN 'debit' THEN 1 ELSE -1 END AS minor
        FROM account a JOIN posting p ON p.account_id = a.id JOIN txn t ON t.id = p.txn_id
        WHERE a.path = :path AND a.currency = :currency AND t.effective_at < :ends_at
    ), totals AS (
        SELECT coalesce(sum(minor) FILTER (WHERE effective_at < :starts_at), 0) AS opening,
               coalesce(sum(minor), 0) AS closing,
               count(*) FILTER (WHERE effective_at >= :starts_at) AS lines
        FROM moved
    ), shown AS (
        SELECT * FROM moved WHERE effective_at >= :starts_at ORDER BY effective_at, id LIMIT :most
    )
    SELECT totals.opening, totals.closing, totals.lines, shown.*, r.title, o.tax_minor, o.tax_mode, o.tax_table,
           o.tax_authority
    FROM totals LEFT JOIN shown ON true
    LEFT JOIN dataset_request r ON r.id = CAST(shown.facts->>'request_id' AS uuid)
    LEFT JOIN payout o ON o.id = CAST(shown.facts->>'payout_id' AS uuid) AND shown.kind = 'payout.reserve'
    ORDER BY shown.effective_at, shown.id
    """
)


@dataclass(frozen=True, slots=True)
class Withholding:
    """Tax that was withheld from a payout, in minor units, and why: by which rule, table of rates and authority."""

    tax_minor: int
    mode: str
    table: str
    authority: str


@dataclass(frozen=True, slots=True)
class Movement:
    """One movement, positive when the balance grew; `subject` is what it was for, in the words of who named it."""

    id: UUID
    kind: str
    effective_at: datetime
    amount_minor: int
    balance_minor: int
    subject: str
    withholding: Withholding | None


@dataclass(frozen=True, slots=True)
class Statement:
    """An account in a period; opening and movements add up to closing. Amounts are in minor units."""

    period: Period
    currency: str
    opening_minor: int
    closing_minor: int
    movements: list[Movement]


async def statement_of(session: AsyncSession, path: str, currency: str, period: Period, *, most: int) -> Statement:
    """Return the statement of an account for a period.

    Raises:
        StatementTooLong: the period holds more than `most` movements.
    """
    names = {
        "path": path,
        "currency": currency,
        "starts_at": period.starts_at,
        "ends_at": period.ends_at,
        "most": most,
    }
    rows = (await session.execute(_STATEMENT, names)).all()
    opening, lines = int(rows[0].opening), int(rows[0].lines)
    if lines > most:
        raise StatementTooLong(f"It holds {lines:,} movements, a file of this kind takes {most:,}; ask for fewer days.")
    balance, movements = opening, []
    for row in rows if lines else ():
        balance += int(row.minor)
        movements.append(_movement(row, balance))
    return Statement(period, currency, opening, int(rows[0].closing), movements)


def _movement(row: Any, balance: int) -> Movement:
    withholding = None
    if row.tax_minor:
        withholding = Withholding(row.tax_minor, row.tax_mode or "", row.tax_table or "", row.tax_authority or "")
    return Movement(
        id=row.id, kind=row.kind, effective_at=row.effective_at, amount_minor=int(row.minor), balance_minor=balance,
        subject=_subject(row), withholding=withholding,
    )  # fmt: skip


def _subject(row: Any) -> str:
    facts: dict[str, Any] = row.facts
    named = [row.title or "", str(facts.get("reason", ""))]
    refers = next((str(facts[name]) for name in _REFERENCES if name in facts), "")
    return " · ".join(part for part in [*named, refers] if part)
