"""What payees say about their payouts: where the money goes, and when."""

from uuid import UUID

from fastapi import APIRouter

from api.routes.money import (
    ORGANISATION,
    PaidWorker,
    Provider,
    VendorOwner,
    VendorReader,
    VendorTreasurer,
    Worker,
    WorkerOwner,
)
from api.session import Session, Shared
from marketplace.identity.queries import visible_organisation
from marketplace.payments import methods
from marketplace.payments.control_schemas import PayoutMethodView, SetPayoutMethod
from marketplace.payments.states import PayeeKind

router = APIRouter(prefix="/v1", tags=["Money"])


@router.get("/me/payout-methods")
async def list_my_payout_methods(actor: Worker, session: Session) -> list[PayoutMethodView]:
    """Return where my money goes, by provider and currency."""
    return await methods.methods_of(session, PayeeKind.WORKER, actor.id)


@router.put("/me/payout-methods")
async def set_my_payout_method(
    actor: PaidWorker, session: Session, shared: Shared, provider: Provider, owner: WorkerOwner, body: SetPayoutMethod
) -> PayoutMethodView:
    """Say where my money in a currency goes; for a day after a change nothing is paid out."""
    return await methods.set_method(session, actor, provider, shared.settings, owner, body)


@router.get(ORGANISATION + "/payout-methods")
async def list_vendor_payout_methods(
    actor: VendorReader, session: Session, organisation_id: UUID
) -> list[PayoutMethodView]:
    """Return where the vendor's money goes, by provider and currency."""
    organisation = await visible_organisation(session, actor, organisation_id)
    return await methods.methods_of(session, PayeeKind.VENDOR, organisation.id)


@router.put(ORGANISATION + "/payout-methods")
async def set_vendor_payout_method(
    actor: VendorTreasurer,
    session: Session,
    shared: Shared,
    provider: Provider,
    owner: VendorOwner,
    body: SetPayoutMethod,
) -> PayoutMethodView:
    """Say where the vendor's money in a currency goes; for a day after a change nothing is paid out."""
    return await methods.set_method(session, actor, provider, shared.settings, owner, body)
