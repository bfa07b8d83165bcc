"""Whether somebody's money moves, and if not, why: the view of the payee or the enterprise."""

from uuid import UUID

from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.payments import holds
from marketplace.payments.control_schemas import HoldView, MoneyStatus
from marketplace.payments.control_states import HoldReason
from marketplace.payments.gateway import Gateway
from marketplace.payments.holds import Hold
from marketplace.payments.models import Payee
from marketplace.payments.states import PayeeKind, PayeeState


async def of_payee(session: AsyncSession, gateway: Gateway, kind: PayeeKind, owner_id: UUID) -> MoneyStatus:
    """Return whether a vendor or worker is paid out by a provider, and if not, every reason."""
    provider = gateway.name
    missing = []
    if gateway.capabilities().needs_bank_details and not await holds.any_account_given(
        session, provider, kind, owner_id
    ):
        missing = [Hold(HoldReason.METHOD_MISSING, "no bank account is given; payouts wait for one")]
    found = await session.exec(
        select(Payee).where(Payee.kind == kind, Payee.owner_id == owner_id, Payee.provider == provider)
    )
    payee = found.first()
    if payee is not None:
        return _view(provider, [*missing, *await holds.on_payee(session, payee)], payee.state)
    targets = holds.targets_of_payee(provider, kind, owner_id)
    return _view(provider, [*missing, *await holds.on_target(session, provider, targets)])


async def of_enterprise(session: AsyncSession, provider: str, organisation_id: UUID) -> MoneyStatus:
    """Return whether an enterprise's top-ups and refunds go through, and if not, every reason."""
    targets = holds.targets_of_organisation(provider, organisation_id)
    return _view(provider, await holds.on_target(session, provider, targets))


def _view(provider: str, standing: list[Hold], state: PayeeState | None = None) -> MoneyStatus:
    views = [HoldView.model_validate(hold) for hold in standing]
    return MoneyStatus(provider=provider, payee_state=state, moving=not views, holds=views)
