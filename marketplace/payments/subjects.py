"""The rows that a saga moves, locked; and the calls made for them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.outbox import emit
from marketplace.payments.models import Charge, Payee, Payout, ProviderCall, Refund
from marketplace.payments.states import OPEN_CALLS, CallState, Leg, Subject

Row = Charge | Payee | Payout | Refund

_MODELS: Final[Mapping[Subject, type[Row]]] = {
    Subject.CHARGE: Charge,
    Subject.PAYEE: Payee,
    Subject.PAYOUT: Payout,
    Subject.REFUND: Refund,
}
SUBJECT_OF_LEG: Final = {
    Leg.CHARGE: Subject.CHARGE,
    Leg.PAYEE: Subject.PAYEE,
    Leg.TRANSFER: Subject.PAYOUT,
    Leg.PAYOUT: Subject.PAYOUT,
    Leg.REVERSAL: Subject.PAYOUT,
    Leg.REFUND: Subject.REFUND,
}


async def lock_subject(session: AsyncSession, subject: Subject, subject_id: UUID) -> Any:
    """Return the row as it is now, locked until the end of the transaction; None when there is none."""
    model: Any = _MODELS[subject]
    found = await session.exec(
        select(model).where(model.id == subject_id).with_for_update().execution_options(populate_existing=True)
    )
    return found.first()


async def read_subject(session: AsyncSession, subject: Subject, subject_id: UUID) -> Any:
    """Return the row as it is now, not locked."""
    return await session.get_one(_MODELS[subject], subject_id, populate_existing=True)


async def lock_call(session: AsyncSession, call_id: UUID) -> ProviderCall:
    """Return a call as it is now, locked; its subject must be locked before."""
    found = await session.exec(
        select(ProviderCall)
        .where(ProviderCall.id == call_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return found.one()


async def has_open_call(session: AsyncSession, subject_id: UUID) -> bool:
    """Whether a call for this row is under way, or its outcome unknown."""
    found = await session.exec(
        select(ProviderCall.id).where(ProviderCall.subject_id == subject_id, col(ProviderCall.state).in_(OPEN_CALLS))
    )
    return found.first() is not None


async def is_known(session: AsyncSession, payee_id: UUID) -> bool:
    """Whether the provider has confirmed that it has a payee; what exists there does not go away."""
    found = await session.exec(
        select(ProviderCall.id)
        .where(ProviderCall.subject_id == payee_id, ProviderCall.leg == Leg.PAYEE, ProviderCall.state == CallState.DONE)
        .limit(1)
    )
    return found.first() is not None


def ask_to_advance(
    session: AsyncSession, subject: Subject, subject_id: UUID, *, due_at: datetime | None = None
) -> None:
    """Ask for the next step of a saga, in a job of its own."""
    emit(session, "payments.advance", {"subject": subject.value, "id": str(subject_id)}, due_at=due_at)
