"""What payees say about their payouts: where the money goes, and when; and whether it moves."""

from uuid import UUID

from fastapi import APIRouter

from api.routes.money import (
    ORGANISATION,
    PaidWorker,
    PayoutProvider,
    Provider,
    Reader,
    VendorOwner,
    VendorReader,
    VendorTreasurer,
    Worker,
    WorkerOwner,
)
from api.session import Session, Shared
from marketplace.core.actor import OrganisationKind
from marketplace.identity.queries import visible_organisation
from marketplace.payments import methods, money_status, preferences
from marketplace.payments.control_schemas import MoneyStatus, PayoutMethodView, PayoutPreferences, SetPayoutMethod
from marketplace.payments.states import PayeeKind

router = APIRouter(prefix="/v1", tags=["Money"])


@router.get("/me/payout-methods")
async def list_my_payout_methods(actor: Worker, session: Session) -> list[PayoutMethodView]:
    """Return where my money goes, by provider and currency."""
    return await methods.methods_of(session, PayeeKind.WORKER, actor.id)


@router.put("/me/payout-methods")
async def set_my_payout_method(
    actor: PaidWorker,
    session: Session,
    shared: Shared,
    provider: PayoutProvider,
    owner: WorkerOwner,
    body: SetPayoutMethod,
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
    provider: PayoutProvider,
    owner: VendorOwner,
    body: SetPayoutMethod,
) -> PayoutMethodView:
    """Say where the vendor's money in a currency goes; for a day after a change nothing is paid out."""
    return await methods.set_method(session, actor, provider, shared.settings, owner, body)


@router.get("/me/payout-preferences")
async def get_my_payout_preferences(actor: Worker, session: Session, provider: PayoutProvider) -> PayoutPreferences:
    """Return when my cleared money is paid out, and from which amount on."""
    return await preferences.preferences_of(session, provider, PayeeKind.WORKER, actor.id)


@router.put("/me/payout-preferences")
async def set_my_payout_preferences(
    actor: PaidWorker, session: Session, provider: PayoutProvider, owner: WorkerOwner, body: PayoutPreferences
) -> PayoutPreferences:
    """Say when my cleared money is paid out: by hand, at once, or at the start of each week or month (UTC)."""
    return await preferences.set_preferences(session, actor, provider, owner, body)


@router.get(ORGANISATION + "/payout-preferences")
async def get_vendor_payout_preferences(
    actor: VendorReader, session: Session, provider: PayoutProvider, organisation_id: UUID
) -> PayoutPreferences:
    """Return when the vendor's cleared money is paid out, and from which amount on."""
    organisation = await visible_organisation(session, actor, organisation_id)
    return await preferences.preferences_of(session, provider, PayeeKind.VENDOR, organisation.id)


@router.put(ORGANISATION + "/payout-preferences")
async def set_vendor_payout_preferences(
    actor: VendorTreasurer, session: Session, provider: PayoutProvider, owner: VendorOwner, body: PayoutPreferences
) -> PayoutPreferences:
    """Say when the vendor's cleared money is paid out: by hand, at once, or each week or month (UTC)."""
    return await preferences.set_preferences(session, actor, provider, owner, body)


@router.get("/me/money-status")
async def get_my_money_status(actor: Worker, session: Session, provider: PayoutProvider) -> MoneyStatus:
    """Return whether I am paid out, and if not, why: a pause, a new bank account, or what the provider asks of me."""
    return await money_status.of_payee(session, provider, PayeeKind.WORKER, actor.id)


@router.get(ORGANISATION + "/money-status")
async def get_money_status(
    actor: Reader, session: Session, provider: Provider, payout_provider: PayoutProvider, organisation_id: UUID
) -> MoneyStatus:
    """Return whether the organisation's money moves (an enterprise's in, a vendor's out), and if not, why."""
    organisation = await visible_organisation(session, actor, organisation_id)
    if organisation.kind is OrganisationKind.VENDOR:
        return await money_status.of_payee(session, payout_provider, PayeeKind.VENDOR, organisation.id)
    return await money_status.of_enterprise(session, provider.name, organisation.id)
