"""What an enterprise files: its money per request, invoices and receipts."""

from datetime import date, datetime
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict

from api.papers import InLanguage, PaperFormat, as_file
from api.routes.money import ORGANISATION, Paging, Reader
from api.session import Session
from marketplace.core.paging import Page
from marketplace.identity.queries import visible_organisation
from marketplace.settlement import invoices
from marketplace.settlement.paper_models import InvoiceKind, LineKind
from marketplace.settlement.papers.invoice import invoice_paper

router = APIRouter(prefix="/v1", tags=["Money"])
INVOICES = ORGANISATION + "/invoices"


class InvoiceView(BaseModel):
    """An invoice: the work of one month and currency, already paid from the prepaid balance; amounts in minor units.

    A credit note has negative amounts, and says which invoice it corrects.
    """

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    kind: InvoiceKind
    corrects: UUID | None
    number: str
    entity_name: str
    entity_tax_id: str
    entity_address: str
    buyer_name: str
    buyer_country: str
    currency: str
    period_start: date
    period_end: date
    time_zone: str
    work_minor: int
    fee_minor: int
    total_minor: int
    issued_at: datetime


class InvoiceLineView(BaseModel):
    """The work of one contract, or one bonus or correction, whose transaction in the ledger is `txn_id`."""

    model_config = ConfigDict(from_attributes=True)

    position: int
    kind: LineKind
    request_id: UUID
    request_title: str
    contract_id: UUID | None
    txn_id: UUID | None
    units: int
    work_minor: int
    fee_minor: int
    amount_minor: int


class InvoiceDetail(InvoiceView):
    """An invoice with its lines."""

    lines: list[InvoiceLineView]


@router.get(INVOICES)
async def list_invoices(actor: Reader, session: Session, organisation_id: UUID, query: Paging) -> Page[InvoiceView]:
    """List the enterprise's invoices, newest first. One is issued for each past month and currency with work in it."""
    organisation = await visible_organisation(session, actor, organisation_id)
    rows, cursor = await invoices.invoices_of(session, organisation.id, query)
    return Page(items=[InvoiceView.model_validate(row) for row in rows], next_cursor=cursor)


@router.get(INVOICES + "/{invoice_id}")
async def get_invoice(actor: Reader, session: Session, organisation_id: UUID, invoice_id: UUID) -> InvoiceDetail:
    """Return an invoice with its lines."""
    organisation = await visible_organisation(session, actor, organisation_id)
    invoice = await invoices.invoice_of(session, organisation.id, invoice_id)
    lines = [InvoiceLineView.model_validate(line) for line in await invoices.lines_of(session, invoice)]
    return InvoiceDetail(**InvoiceView.model_validate(invoice).model_dump(), lines=lines)


@router.get(INVOICES + "/{invoice_id}/pdf")
async def get_invoice_pdf(
    actor: Reader, session: Session, language: InLanguage, organisation_id: UUID, invoice_id: UUID
) -> Response:
    """Return an invoice as PDF, in Chinese or English."""
    return await _invoice_file(actor, session, language, organisation_id, invoice_id, PaperFormat.PDF)


@router.get(INVOICES + "/{invoice_id}/csv")
async def get_invoice_csv(
    actor: Reader, session: Session, language: InLanguage, organisation_id: UUID, invoice_id: UUID
) -> Response:
    """Return an invoice as CSV, in Chinese or English."""
    return await _invoice_file(actor, session, language, organisation_id, invoice_id, PaperFormat.CSV)


async def _invoice_file(
    actor: Reader,
    session: Session,
    language: InLanguage,
    organisation_id: UUID,
    invoice_id: UUID,
    file_format: PaperFormat,
) -> Response:
    organisation = await visible_organisation(session, actor, organisation_id)
    invoice = await invoices.invoice_of(session, organisation.id, invoice_id)
    corrected = invoice.corrects and await invoices.invoice_of(session, organisation.id, invoice.corrects)
    paper = invoice_paper(invoice, await invoices.lines_of(session, invoice), corrected or None, language)
    return await as_file(paper, file_format, f"invoice-{invoice.number}")
