"""Reads of payments."""

from dataclasses import dataclass
from uuid import UUID

from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.paging import PageQuery, read_page
from marketplace.payments.errors import CallUnknown, ChargeUnknown, PayoutUnknown
from marketplace.payments.models import Charge, Payee, Payout, ProviderCall, WebhookEvent
from marketplace.payments.states import ON_THE_WAY, PayeeKind, PayoutState


@dataclass(frozen=True, slots=True)
class PaidOut:
    """What is on its way to a payee and what has arrived, in minor units, per currency."""

    on_the_way_minor: int
    paid_minor: int


async def charge_of(session: AsyncSession, organisation_id: UUID, charge_id: UUID) -> Charge:
    """Return an organisation's top-up, or raise `ChargeUnknown`."""
    charge = await session.get(Charge, charge_id)
    if charge is None or charge.organisation_id != organisation_id:
        raise ChargeUnknown
    return charge


async def charges_of(session: AsyncSession, organisation_id: UUID, query: PageQuery) -> tuple[list[Charge], str | None]:
    """Return one page of an organisation's top-ups, newest first."""
    return await read_page(session, select(Charge).where(Charge.organisation_id == organisation_id), Charge.id, query)


async def payout_of(session: AsyncSession, kind: PayeeKind, owner_id: UUID, payout_id: UUID) -> Payout:
    """Return a payee's payout, or raise `PayoutUnknown`."""
    found = await session.exec(
        select(Payout)
        .join(Payee, col(Payee.id) == col(Payout.payee_id))
        .where(Payout.id == payout_id, Payee.kind == kind, Payee.owner_id == owner_id)
    )
    payout = found.first()
    if payout is None:
        raise PayoutUnknown
    return payout


async def payouts_of(
    session: AsyncSession, kind: PayeeKind, owner_id: UUID, query: PageQuery
) -> tuple[list[Payout], str | None]:
    """Return one page of a payee's payouts, newest first."""
    payees = select(Payee.id).where(Payee.kind == kind, Payee.owner_id == owner_id)
    return await read_page(session, select(Payout).where(col(Payout.payee_id).in_(payees)), Payout.id, query)


async def paid_out(session: AsyncSession, kind: PayeeKind, owner_id: UUID) -> dict[str, PaidOut]:
    """Return per currency what is on its way to a payee and what was paid."""
    amount = func.coalesce(func.sum(col(Payout.amount_minor)).filter(col(Payout.state).in_(ON_THE_WAY)), 0)
    paid = func.coalesce(func.sum(col(Payout.amount_minor)).filter(col(Payout.state) == PayoutState.PAID), 0)
    found = await session.exec(
        select(Payout.currency, amount, paid)
        .join(Payee, col(Payee.id) == col(Payout.payee_id))
        .where(Payee.kind == kind, Payee.owner_id == owner_id)
        .group_by(col(Payout.currency))
    )
    return {currency: PaidOut(int(moving), int(arrived)) for currency, moving, arrived in found}


async def provider_of_call(session: AsyncSession, call_id: UUID) -> str:
    """Return the provider that a call goes to, whatever the settings say now; raises `CallUnknown`."""
    provider = (await session.exec(select(ProviderCall.provider).where(ProviderCall.id == call_id))).first()
    if provider is None:
        raise CallUnknown
    return provider


async def provider_of_event(session: AsyncSession, event_id: UUID) -> str:
    """Return the provider that an event of the inbox came from."""
    return (await session.exec(select(WebhookEvent.provider).where(WebhookEvent.id == event_id))).one()


async def provider_of_payee(session: AsyncSession, payee_id: UUID) -> str:
    """Return the provider that knows this payee."""
    return (await session.exec(select(Payee.provider).where(Payee.id == payee_id))).one()


async def providers_in_use(session: AsyncSession, current: list[str]) -> list[str]:
    """Return the providers that hold money or payees of ours, and the current ones, by name."""
    charged = await session.exec(select(Charge.provider).distinct())
    paid = await session.exec(select(Payee.provider).distinct())
    return sorted({*current, *charged, *paid})
