"""Payees at the provider: whether they can be paid, what they have yet to tell, and the page on which they do."""

from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.core.actor import Actor
from marketplace.core.errors import Unavailable
from marketplace.core.ids import new_id
from marketplace.payments.errors import OnboardingNotOffered, PayeeRefused, PayeeUnknown
from marketplace.payments.gateway import Gateway
from marketplace.payments.models import Payee
from marketplace.payments.payouts import Owner, payee_of
from marketplace.payments.schemas import OnboardingView, PayeeView
from marketplace.payments.states import Leg, PayeeState, Subject
from marketplace.payments.subjects import ask_to_advance, is_known


async def onboard(
    session: AsyncSession, actor: Actor, gateway: Gateway, owner: Owner, *, return_url: str, refresh_url: str
) -> OnboardingView:
    """Return a fresh link to the provider's page for a payee; first makes the payee known to the provider.

    Raises:
        OnboardingNotOffered: the provider asks its payees nothing.
        PayeeRefused: the provider has refused the payee.
    """
    payee = await payee_of(session, gateway, owner)
    state, ref = payee.state, payee.id.hex
    if state is PayeeState.REFUSED:
        raise PayeeRefused(payee.failure_code or "")
    if not await is_known(session, payee.id):
        record(session, actor, "payee.onboard", f"payee:{payee.id}")
        ask_to_advance(session, Subject.PAYEE, payee.id)
        return OnboardingView(state=state, url=None)
    await session.rollback()  # no transaction is open while the provider answers
    url = await gateway.onboarding_link(new_id().hex, ref, return_url=return_url, refresh_url=refresh_url)
    if url is None:
        raise OnboardingNotOffered
    return OnboardingView(state=state, url=url)


async def status_of(session: AsyncSession, gateway: Gateway, owner: Owner) -> PayeeView:
    """Return a payee's state, and what the provider has yet to be told.

    Raises:
        PayeeUnknown: this owner was never a payee at this provider.
    """
    found = await session.exec(
        select(Payee).where(Payee.kind == owner.kind, Payee.owner_id == owner.id, Payee.provider == gateway.name)
    )
    payee = found.first()
    if payee is None:
        raise PayeeUnknown
    known, ref = await is_known(session, payee.id), payee.id.hex
    view = PayeeView(
        id=payee.id, provider=payee.provider, state=payee.state, is_known=known, requirements_due=None,
        failure_code=payee.failure_code,
    )  # fmt: skip
    if known:
        await session.rollback()  # no transaction is open while the provider answers
        view.requirements_due = await _due(gateway, ref)
    return view


async def _due(gateway: Gateway, ref: str) -> list[str] | None:
    try:
        remote = await gateway.find(Leg.PAYEE, ref)
    except Unavailable:
        return None
    return None if remote is None else list(remote.requirements)
