"""What belongs on the invoices of a month: released work, bonuses, and corrections of earlier invoices.

What an enterprise paid beside the work (a bonus, a top-up to the minimum pay, a claw-back that is reversed) is a line
of the month's invoice. What it got back (a claw-back, a bonus that is reversed) is a line of a credit note to the
invoice of the month in which it had paid.
"""

from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.settlement.paper_models import InvoiceLine, LineKind
from marketplace.settlement.periods import Period

UNWRITTEN: Final = UUID(int=0)
_WORK: Final = text(
    """
    SELECT a.request_id, r.title, a.contract_id, sum(a.units) AS units,
           sum(a.amount_minor - a.fee_minor) AS work_minor, sum(a.fee_minor) AS fee_minor
    FROM accrual a JOIN dataset_request r ON r.id = a.request_id
    WHERE r.organisation_id = :organisation AND a.currency = :currency AND a.amount_minor > 0
      AND a.released_at >= :starts_at AND a.released_at < :ends_at
    GROUP BY a.request_id, r.title, a.contract_id ORDER BY a.request_id, a.contract_id
    """
)
# Positive when the enterprise paid; `paid_at` is when it had paid what it now gets back.
_BESIDE: Final = """
    SELECT t.id AS txn_id, t.kind, r.id AS request_id, r.title, r.organisation_id, p.currency, a.contract_id,
           coalesce(a.released_at, first.effective_at) AS paid_at,
           sum(p.amount_minor) FILTER (WHERE split_part(acc.path, ':', 1) IN ('org_cash', 'reserved')) AS minor,
           coalesce(-sum(p.amount_minor) FILTER (WHERE acc.path = 'platform_fee'), 0) AS fee_minor
    FROM txn t
    LEFT JOIN txn first ON first.id = t.reverses
    JOIN dataset_request r ON r.id = CAST(coalesce(first.facts, t.facts)->>'request_id' AS uuid)
    LEFT JOIN accrual a ON t.kind = 'claw_back' AND a.request_id = r.id
        AND a.claim_id = CAST(t.facts->>'claim_id' AS uuid) AND a.revision = CAST(t.facts->>'revision' AS int)
    JOIN posting p ON p.txn_id = t.id JOIN account acc ON acc.id = p.account_id
    WHERE (t.kind IN ('bonus', 'minimum_pay', 'claw_back')
           OR t.kind = 'reverse' AND first.kind IN ('bonus', 'claw_back'))
      AND t.effective_at >= :starts_at AND t.effective_at < :ends_at
    GROUP BY t.id, r.id, p.currency, a.contract_id, a.released_at, first.effective_at
"""
_PAID_BESIDE_OF: Final = """
    SELECT * FROM ({beside}) b
    WHERE organisation_id = :organisation AND currency = :currency AND minor > 0 ORDER BY txn_id
"""
_GOT_BACK_OF: Final = """
    SELECT b.*, i.id AS invoice_id FROM ({beside}) b
    JOIN invoice i ON i.entity_tax_id = :entity AND i.organisation_id = b.organisation_id AND i.currency = b.currency
        AND i.kind = 'invoice' AND i.period_start = CAST(date_trunc('month', b.paid_at AT TIME ZONE :zone) AS date)
    WHERE b.organisation_id = :organisation AND b.currency = :currency AND b.minor < 0 ORDER BY b.txn_id
"""
_DUE_OF: Final = """
    WITH beside AS ({beside}), wanted AS (
        SELECT r.organisation_id, a.currency FROM accrual a JOIN dataset_request r ON r.id = a.request_id
        WHERE a.released_at >= :starts_at AND a.released_at < :ends_at AND a.amount_minor > 0
        UNION SELECT organisation_id, currency FROM beside WHERE minor > 0
    )
    SELECT organisation_id, currency FROM wanted w WHERE NOT EXISTS (
        SELECT 1 FROM invoice i
        WHERE i.entity_tax_id = :entity AND i.organisation_id = w.organisation_id AND i.currency = w.currency
          AND i.period_start = :first AND i.kind = 'invoice')
    UNION
    SELECT b.organisation_id, b.currency FROM beside b
    JOIN invoice i ON i.entity_tax_id = :entity AND i.organisation_id = b.organisation_id AND i.currency = b.currency
        AND i.kind = 'invoice' AND i.period_start = CAST(date_trunc('month', b.paid_at AT TIME ZONE :zone) AS date)
    WHERE b.minor < 0 AND NOT EXISTS (
        SELECT 1 FROM invoice n WHERE n.corrects = i.id AND n.period_start = :first)
"""
_PAID_BESIDE: Final = text(_PAID_BESIDE_OF.format(beside=_BESIDE))
_GOT_BACK: Final = text(_GOT_BACK_OF.format(beside=_BESIDE))
_DUE: Final = text(_DUE_OF.format(beside=_BESIDE))


def _names(period: Period, **more: Any) -> dict[str, Any]:
    return {"starts_at": period.starts_at, "ends_at": period.ends_at, **more}


async def due(session: AsyncSession, entity_tax_id: str, month: Period) -> list[tuple[UUID, str]]:
    """Return the enterprises and currencies for which an invoice or credit note of a month is to be issued."""
    names = _names(month, first=month.first, zone=month.time_zone, entity=entity_tax_id)
    return [(organisation_id, currency) for organisation_id, currency in await session.execute(_DUE, names)]


async def lines_to_pay(session: AsyncSession, organisation_id: UUID, currency: str, month: Period) -> list[InvoiceLine]:
    """Return the lines of a month's invoice: work by request and contract, then what was paid beside it.

    They stand on `UNWRITTEN` until the invoice has an id.
    """
    names = _names(month, organisation=organisation_id, currency=currency)
    work = (await session.execute(_WORK, names)).all()
    lines = [
        InvoiceLine(
            invoice_id=UNWRITTEN, position=position, request_id=row.request_id, request_title=row.title,
            contract_id=row.contract_id, units=int(row.units), work_minor=int(row.work_minor),
            fee_minor=int(row.fee_minor), amount_minor=int(row.work_minor + row.fee_minor),
        )
        for position, row in enumerate(work, start=1)
    ]  # fmt: skip
    beside = (await session.execute(_PAID_BESIDE, names)).all()
    return lines + [_line(position, row) for position, row in enumerate(beside, start=len(lines) + 1)]


async def lines_got_back(
    session: AsyncSession, entity_tax_id: str, organisation_id: UUID, currency: str, month: Period
) -> dict[UUID, list[InvoiceLine]]:
    """Return the lines of a month's credit notes, by the invoice that each corrects."""
    names = _names(
        month, organisation=organisation_id, currency=currency, zone=month.time_zone, entity=entity_tax_id
    )  # fmt: skip
    notes: dict[UUID, list[InvoiceLine]] = {}
    for row in (await session.execute(_GOT_BACK, names)).all():
        lines = notes.setdefault(row.invoice_id, [])
        lines.append(_line(len(lines) + 1, row))
    return notes


def _line(position: int, row: Any) -> InvoiceLine:
    minor, fee = int(row.minor), int(row.fee_minor)
    return InvoiceLine(
        invoice_id=UNWRITTEN, position=position, kind=LineKind(row.kind), request_id=row.request_id,
        request_title=row.title, contract_id=row.contract_id, txn_id=row.txn_id, units=0, work_minor=minor - fee,
        fee_minor=fee, amount_minor=minor,
    )  # fmt: skip
