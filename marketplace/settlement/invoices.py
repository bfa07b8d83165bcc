"""Invoices: one a month, enterprise and currency, of the work that was released in it and what was paid beside it.

What the enterprise got back in the month is a credit note to the invoice on which it stood, numbered like an invoice.

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

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.core.actor import SYSTEM
from marketplace.core.clock import now
from marketplace.core.outbox import emit
from marketplace.core.paging import PageQuery, read_page
from marketplace.core.settings import Settings
from marketplace.identity.models import Organisation
from marketplace.settlement import invoice_sources as sources
from marketplace.settlement.errors import InvoiceUnknown, PapersNotSetUp
from marketplace.settlement.paper_models import Invoice, InvoiceCounter, InvoiceKind, InvoiceLine
from marketplace.settlement.periods import Period, month_of, months_before

# What was released in the last moments of a month may be committed after it; a day is more than any transaction takes.
REST: Final = timedelta(days=1)
# A month that could not be invoiced, as the settings were missing, is made up for so long.
LOOK_BACK_MONTHS: Final = 12


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
    """Ask for what is not issued of past months; returns for how many of them. Without a legal entity, for none."""
    if settings.missing_for_papers:
        return 0
    entity = legal_entity(settings)
    today = (now() - REST).astimezone(ZoneInfo(entity.time_zone)).date()
    asked = 0
    for month in months_before(today, LOOK_BACK_MONTHS, entity.time_zone):
        for organisation_id, currency in await sources.due(session, entity.tax_id, month):
            payload = {"organisation_id": str(organisation_id), "currency": currency, "month": month.first.isoformat()}
            emit(session, "settlement.issue_invoice", payload)
            asked += 1
    return asked


async def issue_invoices(
    session: AsyncSession, settings: Settings, organisation_id: UUID, currency: str, month: date
) -> list[Invoice]:
    """Issue an enterprise's invoice of a month and the credit notes of that month; what is issued stays as it is.

    Returns what was issued now: nothing when nothing was paid or given back, or all of it is issued.

    Raises:
        PapersNotSetUp: the operator has not said which legal entity issues it.
    """
    entity = legal_entity(settings)
    period = month_of(month, entity.time_zone)
    year = now().astimezone(ZoneInfo(entity.time_zone)).year
    draft = _Draft(entity, await _lock_counter(session, entity, year), period, currency)
    buyer = await session.get_one(Organisation, organisation_id)
    issued = await _issued(session, entity, organisation_id, currency, period)
    made: list[Invoice] = []
    if None not in issued:
        lines = await sources.lines_to_pay(session, organisation_id, currency, period)
        made += [await _write(session, draft, buyer, lines, None)] if lines else []
    back = await sources.lines_got_back(session, entity.tax_id, organisation_id, currency, period)
    made += [
        await _write(session, draft, buyer, lines, corrects)
        for corrects, lines in back.items()
        if corrects not in issued
    ]
    return made


@dataclass(frozen=True, slots=True)
class _Draft:
    """What the papers of one month, enterprise and currency have in common; the counter's row is locked."""

    entity: LegalEntity
    counter: InvoiceCounter
    period: Period
    currency: str


async def _issued(
    session: AsyncSession, entity: LegalEntity, organisation_id: UUID, currency: str, period: Period
) -> set[UUID | None]:
    """Return what is issued of a month: None stands for its invoice, an id for the credit note to that invoice."""
    found = await session.exec(
        select(Invoice.corrects).where(
            Invoice.entity_tax_id == entity.tax_id,
            Invoice.organisation_id == organisation_id,
            Invoice.currency == currency,
            Invoice.period_start == period.first,
        )
    )
    return set(found.all())


async def _write(
    session: AsyncSession, draft: _Draft, buyer: Organisation, lines: list[InvoiceLine], corrects: UUID | None
) -> Invoice:
    """Write an invoice, or the credit note to one, under the next number."""
    entity, counter, period = draft.entity, draft.counter, draft.period
    counter.last_number += 1
    invoice = Invoice(
        kind=InvoiceKind.INVOICE if corrects is None else InvoiceKind.CREDIT_NOTE, corrects=corrects,
        entity_tax_id=entity.tax_id, year=counter.year, sequence=counter.last_number,
        number=f"{entity.prefix}-{counter.year}-{counter.last_number:06}", entity_name=entity.name,
        entity_address=entity.address, organisation_id=buyer.id, buyer_name=buyer.name, buyer_country=buyer.country,
        currency=draft.currency, period_start=period.first, period_end=period.last, time_zone=entity.time_zone,
        work_minor=sum(line.work_minor for line in lines), fee_minor=sum(line.fee_minor for line in lines),
        total_minor=sum(line.amount_minor for line in lines), issued_at=now(),
    )  # fmt: skip
    session.add(invoice)
    await session.flush()
    for line in lines:
        line.invoice_id = invoice.id
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
