"""Invoices: one a month, enterprise and currency, of the work that was released in it.

The platform operator is the merchant of record (money.md §8.1): it sells the work and its fee to the enterprise, which
has paid both from its prepaid balance. An invoice states no value added tax, as nothing here knows the rate.
Numbers are without gaps per legal entity and year of issue: the counter's row is locked while an invoice is written,
so that an invoice that is rolled back gives its number back.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.core.actor import SYSTEM
from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.core.outbox import emit
from marketplace.core.paging import PageQuery, read_page
from marketplace.core.settings import Settings
from marketplace.identity.models import Organisation
from marketplace.settlement.errors import InvoiceUnknown, PapersNotSetUp
from marketplace.settlement.paper_models import Invoice, InvoiceCounter, InvoiceLine
from marketplace.settlement.periods import Period, month_of, months_before

# What was released in the last moments of a month may be committed after it; a day is more than any transaction takes.
REST: Final = timedelta(days=1)
# A month that could not be invoiced, as the settings were missing, is made up for so long.
LOOK_BACK_MONTHS: Final = 12

_DUE = text(
    """
    SELECT DISTINCT r.organisation_id, a.currency
    FROM accrual a JOIN dataset_request r ON r.id = a.request_id
    WHERE a.released_at >= :starts_at AND a.released_at < :ends_at AND a.amount_minor > 0 AND NOT EXISTS (
        SELECT 1 FROM invoice i
        WHERE i.entity_tax_id = :entity AND i.organisation_id = r.organisation_id AND i.currency = a.currency
          AND i.period_start = :first)
    """
)
_LINES = text(
    """
    SELECT a.request_id, r.title, a.contract_id, sum(a.units) AS units,
           sum(a.amount_minor - a.fee_minor) AS work_minor, sum(a.fee_minor) AS fee_minor
    FROM accrual a JOIN dataset_request r ON r.id = a.request_id
    WHERE r.organisation_id = :organisation AND a.currency = :currency AND a.amount_minor > 0
      AND a.released_at >= :starts_at AND a.released_at < :ends_at
    GROUP BY a.request_id, r.title, a.contract_id ORDER BY a.request_id, a.contract_id
    """
)


@dataclass(frozen=True, slots=True)
class LegalEntity:
    """The company that issues papers."""

    name: str
    tax_id: str
    address: str
    prefix: str
    time_zone: str


def legal_entity(settings: Settings) -> LegalEntity:
    """Return who issues invoices and receipts, or raise `PapersNotSetUp`, which names the settings that are missing."""
    missing = settings.missing_for_papers
    if missing:
        raise PapersNotSetUp(f"The operator has not set {', '.join(missing)}.", missing=missing)
    return LegalEntity(
        settings.operator_legal_name,
        settings.operator_tax_id,
        settings.operator_address,
        settings.invoice_prefix,
        settings.papers_time_zone,
    )


async def ask_due_invoices(session: AsyncSession, settings: Settings) -> int:
    """Ask for every invoice of a past month that is not issued; returns how many. Without a legal entity, none."""
    if settings.missing_for_papers:
        return 0
    entity = legal_entity(settings)
    today = (now() - REST).astimezone(ZoneInfo(entity.time_zone)).date()
    asked = 0
    for month in months_before(today, LOOK_BACK_MONTHS, entity.time_zone):
        names = {"starts_at": month.starts_at, "ends_at": month.ends_at, "first": month.first, "entity": entity.tax_id}
        for organisation_id, currency in (await session.execute(_DUE, names)).all():
            payload = {"organisation_id": str(organisation_id), "currency": currency, "month": month.first.isoformat()}
            emit(session, "settlement.issue_invoice", payload)
            asked += 1
    return asked


async def issue_invoice(
    session: AsyncSession, settings: Settings, organisation_id: UUID, currency: str, month: date
) -> Invoice | None:
    """Issue an enterprise's invoice of a month, or return the one that is issued; None when nothing was released.

    Raises:
        PapersNotSetUp: the operator has not said which legal entity issues it.
    """
    entity = legal_entity(settings)
    period = month_of(month, entity.time_zone)
    issued_at = now()
    counter = await _lock_counter(session, entity, issued_at.astimezone(ZoneInfo(entity.time_zone)).year)
    issued = await session.exec(
        select(Invoice).where(
            Invoice.entity_tax_id == entity.tax_id,
            Invoice.organisation_id == organisation_id,
            Invoice.currency == currency,
            Invoice.period_start == period.first,
        )
    )
    existing = issued.first()
    if existing is not None:
        return existing
    invoice_id = new_id()
    lines = await _lines(session, invoice_id, organisation_id, currency, period)
    if not lines:
        return None
    counter.last_number += 1
    buyer = await session.get_one(Organisation, organisation_id)
    invoice = Invoice(
        id=invoice_id, entity_tax_id=entity.tax_id, year=counter.year, sequence=counter.last_number,
        number=f"{entity.prefix}-{counter.year}-{counter.last_number:06}", entity_name=entity.name,
        entity_address=entity.address, organisation_id=buyer.id, buyer_name=buyer.name, buyer_country=buyer.country,
        currency=currency, period_start=period.first, period_end=period.last, time_zone=entity.time_zone,
        work_minor=sum(line.work_minor for line in lines), fee_minor=sum(line.fee_minor for line in lines),
        total_minor=sum(line.amount_minor for line in lines), issued_at=issued_at,
    )  # fmt: skip
    session.add(invoice)
    await session.flush()
    session.add_all(lines)
    record(session, SYSTEM, "invoice.issued", f"invoice:{invoice.id}", organisation_id=buyer.id, number=invoice.number)
    return invoice


async def _lock_counter(session: AsyncSession, entity: LegalEntity, year: int) -> InvoiceCounter:
    new = insert(InvoiceCounter).values(entity_tax_id=entity.tax_id, year=year, last_number=0, created_at=now())
    await session.execute(new.on_conflict_do_nothing())
    found = await session.exec(
        select(InvoiceCounter)
        .where(InvoiceCounter.entity_tax_id == entity.tax_id, InvoiceCounter.year == year)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return found.one()


async def _lines(
    session: AsyncSession, invoice_id: UUID, organisation_id: UUID, currency: str, period: Period
) -> list[InvoiceLine]:
    names = {
        "organisation": organisation_id,
        "currency": currency,
        "starts_at": period.starts_at,
        "ends_at": period.ends_at,
    }
    found = (await session.execute(_LINES, names)).all()
    return [
        InvoiceLine(
            invoice_id=invoice_id, position=position, request_id=row.request_id, request_title=row.title,
            contract_id=row.contract_id, units=int(row.units), work_minor=int(row.work_minor),
            fee_minor=int(row.fee_minor), amount_minor=int(row.work_minor + row.fee_minor),
        )
        for position, row in enumerate(found, start=1)
    ]  # fmt: skip


async def invoice_of(session: AsyncSession, organisation_id: UUID, invoice_id: UUID) -> Invoice:
    """Return an organisation's invoice, or raise `InvoiceUnknown`."""
    invoice = await session.get(Invoice, invoice_id)
    if invoice is None or invoice.organisation_id != organisation_id:
        raise InvoiceUnknown
    return invoice


async def lines_of(session: AsyncSession, invoice: Invoice) -> list[InvoiceLine]:
    """Return the lines of an invoice in their order."""
    mine = select(InvoiceLine).where(InvoiceLine.invoice_id == invoice.id).order_by(col(InvoiceLine.position))
    return list(await session.exec(mine))


async def invoices_of(
    session: AsyncSession, organisation_id: UUID, query: PageQuery
) -> tuple[list[Invoice], str | None]:
    """Return one page of an organisation's invoices, newest first."""
    mine = select(Invoice).where(Invoice.organisation_id == organisation_id)
    return await read_page(session, mine, Invoice.id, query)
