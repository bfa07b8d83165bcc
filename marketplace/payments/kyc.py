"""Whether the provider has identified a payee; what an operator asks for before money is released, or paid out."""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.outbox import emit
from marketplace.payments import outcomes
from marketplace.payments.gateway import Gateway
from marketplace.payments.models import Payee
from marketplace.payments.states import Leg, PayeeState


def is_identified(owner_id: Any) -> ColumnElement[bool]:
    """Return the condition that a provider knows and pays the vendor or worker whose id stands in this column."""
    return select(Payee.id).where(Payee.owner_id == owner_id, Payee.state == PayeeState.READY).exists()


async def plan_checks(session: AsyncSession, providers: list[str]) -> int:
    """Ask for a look-up of every payee of these providers who lapsed; the notice that they are active may be lost."""
    found = await session.exec(
        select(Payee.id).where(col(Payee.state) == PayeeState.LAPSED, col(Payee.provider).in_(providers))
    )
    lapsed = list(found.all())
    for payee_id in lapsed:
        emit(session, "payments.check_payee", {"payee_id": str(payee_id)})
    return len(lapsed)


async def check(session: AsyncSession, gateway: Gateway, payee_id: UUID) -> None:
    """Take down how a payee stands at the provider. No transaction is open while the provider answers."""
    await session.rollback()
    remote = await gateway.find(Leg.PAYEE, payee_id.hex)
    if remote is not None:
        await outcomes.apply(session, remote)
