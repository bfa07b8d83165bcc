"""What an enterprise looks up about its payments: its money per request, refunds, and receipts."""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict

from api.papers import InLanguage, PaperFormat, as_file
from api.routes.money import ORGANISATION, Paging, Reader
from api.session import Session, Shared
from marketplace.core.paging import Page
from marketplace.identity.queries import visible_organisation
from marketplace.payments.states import RefundState
from marketplace.settlement import receipts
from marketplace.settlement.invoices import legal_entity
from marketplace.settlement.papers.receipt import refund_receipt, top_up_receipt
from marketplace.settlement.request_balances import RequestBalance, request_balances

router = APIRouter(prefix="/v1", tags=["Money"])


class RefundView(BaseModel):
    """Money on its way back to the top-up it came from; `cause` says why."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    charge_id: UUID
    cause: str
    state: RefundState
    amount_minor: int
    currency: str
    failure_code: str | None
    created_at: datetime
    changed_at: datetime


@router.get(ORGANISATION + "/balance/requests")
async def list_request_balances(
    actor: Reader, session: Session, organisation_id: UUID, query: Paging
) -> Page[RequestBalance]:
    """List the enterprise's requests with their money: reserved, accrued, released, fee, given back; newest first."""
    organisation = await visible_organisation(session, actor, organisation_id)
    return await request_balances(session, organisation.id, query)


@router.get(ORGANISATION + "/refunds")
async def list_refunds(actor: Reader, session: Session, organisation_id: UUID, query: Paging) -> Page[RefundView]:
    """List the organisation's refunds, newest first."""
    organisation = await visible_organisation(session, actor, organisation_id)
    rows, cursor = await receipts.refunds_of(session, organisation.id, query)
    return Page(items=[RefundView.model_validate(row) for row in rows], next_cursor=cursor)


@router.get(ORGANISATION + "/top-ups/{top_up_id}/receipt")
async def get_top_up_receipt(
    actor: Reader, session: Session, shared: Shared, language: InLanguage, organisation_id: UUID, top_up_id: UUID
) -> Response:
    """Return the receipt of a top-up that succeeded, as PDF, in Chinese or English."""
    organisation = await visible_organisation(session, actor, organisation_id)
    charge = await receipts.received(session, organisation.id, top_up_id)
    paper = top_up_receipt(charge, organisation.name, legal_entity(shared.settings), language)
    return await as_file(paper, PaperFormat.PDF, f"receipt-{charge.id}")


@router.get(ORGANISATION + "/refunds/{refund_id}/receipt")
async def get_refund_receipt(
    actor: Reader, session: Session, shared: Shared, language: InLanguage, organisation_id: UUID, refund_id: UUID
) -> Response:
    """Return the confirmation of a refund that was done, as PDF, in Chinese or English."""
    organisation = await visible_organisation(session, actor, organisation_id)
    refund = await receipts.refunded(session, organisation.id, refund_id)
    paper = refund_receipt(refund, organisation.name, legal_entity(shared.settings), language)
    return await as_file(paper, PaperFormat.PDF, f"refund-{refund.id}")
