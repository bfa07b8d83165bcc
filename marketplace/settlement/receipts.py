"""Which payments of an enterprise have a receipt."""

from uuid import UUID

from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.paging import PageQuery, read_page
from marketplace.payments.models import Charge, Refund
from marketplace.payments.queries import charge_of
from marketplace.payments.states import ChargeState, RefundState
from marketplace.settlement.errors import ReceiptNotYet, ReceiptUnknown


async def received(session: AsyncSession, organisation_id: UUID, charge_id: UUID) -> Charge:
    """Return an organisation's top-up that succeeded.

    Raises:
        ChargeUnknown: it has no such top-up.
        ReceiptNotYet: it did not succeed, or not yet.
    """
    charge = await charge_of(session, organisation_id, charge_id)
    if charge.state is not ChargeState.SUCCEEDED:
        raise ReceiptNotYet(f"It is {charge.state!s}.", state=str(charge.state))
    return charge


async def refunded(session: AsyncSession, organisation_id: UUID, refund_id: UUID) -> Refund:
    """Return an organisation's refund that was done.

    Raises:
        ReceiptUnknown: it has no such refund.
        ReceiptNotYet: it is not done, or failed.
    """
    refund = await session.get(Refund, refund_id)
    if refund is None or refund.organisation_id != organisation_id:
        raise ReceiptUnknown
    if refund.state is not RefundState.DONE:
        raise ReceiptNotYet(f"It is {refund.state!s}.", state=str(refund.state))
    return refund


async def refunds_of(session: AsyncSession, organisation_id: UUID, query: PageQuery) -> tuple[list[Refund], str | None]:
    """Return one page of an organisation's refunds, newest first."""
    return await read_page(session, select(Refund).where(Refund.organisation_id == organisation_id), Refund.id, query)
