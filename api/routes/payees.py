"""Payees at the payment provider: who is paid tells the provider who they are, on the provider's own pages."""

from fastapi import APIRouter

from api.routes.money import ORGANISATION, PaidWorker, PayoutProvider, VendorOwner, VendorTreasurer, WorkerOwner
from api.session import Session, Shared
from marketplace.payments import onboarding
from marketplace.payments.schemas import OnboardingView, PayeeView

router = APIRouter(prefix="/v1", tags=["Money"])


@router.post("/me/payee-onboarding")
async def onboard_me(
    actor: PaidWorker, session: Session, shared: Shared, provider: PayoutProvider, owner: WorkerOwner
) -> OnboardingView:
    """Return a fresh link to the page where I tell the payment provider who I am and where my bank is."""
    done, lapsed = shared.settings.payee_pages
    return await onboarding.onboard(session, actor, provider, owner, return_url=done, refresh_url=lapsed)


@router.get("/me/payee")
async def get_my_payee(_: PaidWorker, session: Session, provider: PayoutProvider, owner: WorkerOwner) -> PayeeView:
    """Return whether I can be paid, and what the payment provider has yet to be told."""
    return await onboarding.status_of(session, provider, owner)


@router.post(ORGANISATION + "/payee-onboarding")
async def onboard_vendor(
    actor: VendorTreasurer, session: Session, shared: Shared, provider: PayoutProvider, owner: VendorOwner
) -> OnboardingView:
    """Return a fresh link to the page where the vendor tells the payment provider who it is and where its bank is."""
    done, lapsed = shared.settings.payee_pages
    return await onboarding.onboard(session, actor, provider, owner, return_url=done, refresh_url=lapsed)


@router.get(ORGANISATION + "/payee")
async def get_vendor_payee(
    _: VendorTreasurer, session: Session, provider: PayoutProvider, owner: VendorOwner
) -> PayeeView:
    """Return whether the vendor can be paid, and what the payment provider has yet to be told."""
    return await onboarding.status_of(session, provider, owner)
