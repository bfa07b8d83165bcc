"""What workers and vendors earned, bundle by bundle, with its verdict, its release and its payout."""

from uuid import UUID

from fastapi import APIRouter

from api.routes.money import ORGANISATION, Paging, VendorReader, Worker
from api.session import Session
from marketplace.identity.queries import visible_organisation
from marketplace.payments.states import PayeeKind
from marketplace.settlement.earning_schemas import EarningsPage
from marketplace.settlement.earnings import earnings_page

router = APIRouter(prefix="/v1", tags=["Money"])


@router.get("/me/earnings/lines")
async def list_my_earnings(actor: Worker, session: Session, query: Paging) -> EarningsPage:
    """List what I earned by bundle, with its verdict, and what else was booked to me; newest work first."""
    return await earnings_page(session, PayeeKind.WORKER, actor.id, query)


@router.get(ORGANISATION + "/earnings/lines")
async def list_vendor_earnings(
    actor: VendorReader, session: Session, organisation_id: UUID, query: Paging
) -> EarningsPage:
    """List what the vendor earned by bundle, with its verdict, and what else was booked to it; newest work first."""
    organisation = await visible_organisation(session, actor, organisation_id)
    return await earnings_page(session, PayeeKind.VENDOR, organisation.id, query)
