"""When a payee wants cleared money to be paid out, and from which amount on."""

from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.actor import Actor
from marketplace.core.clock import now
from marketplace.core.money import check_currency
from marketplace.payments import payouts
from marketplace.payments.control_models import PayoutPreference
from marketplace.payments.control_schemas import PayoutPreferences
from marketplace.payments.control_states import PayoutSchedule
from marketplace.payments.gateway import Gateway
from marketplace.payments.models import Payee
from marketplace.payments.payouts import Owner
from marketplace.payments.periods import period_of
from marketplace.payments.states import PayeeKind


async def preferences_of(session: AsyncSession, gateway: Gateway, kind: PayeeKind, owner_id: UUID) -> PayoutPreferences:
    """Return an owner's preferences; paid out by hand, from the provider's minimum on, when nothing was said."""
    row = await session.get(PayoutPreference, (kind, owner_id))
    found = await session.exec(
        select(Payee.auto_payout).where(Payee.kind == kind, Payee.owner_id == owner_id, Payee.provider == gateway.name)
    )
    if row is None:
        return PayoutPreferences(schedule=PayoutSchedule.AT_ONCE if found.first() else PayoutSchedule.MANUAL)
    schedule = PayoutSchedule.AT_ONCE if found.first() else row.schedule
    return PayoutPreferences(schedule=schedule, minimums_minor=row.minimums_minor)


async def set_preferences(
    session: AsyncSession, actor: Actor, gateway: Gateway, owner: Owner, command: PayoutPreferences
) -> PayoutPreferences:
    """Take down an owner's preferences; a period that has begun is over, the first payout comes with the next one.

    Raises:
        CurrencyUnknown: a minimum is in no currency.
    """
    for currency in command.minimums_minor:
        check_currency(currency)
    at_once = command.schedule is PayoutSchedule.AT_ONCE
    # what the switch of automatic payouts falls back to, when it is turned off there, is by hand
    kept = PayoutSchedule.MANUAL if at_once else command.schedule
    values = {
        "schedule": kept,
        "minimums_minor": command.minimums_minor,
        "planned_period": period_of(kept, now()) or "",
    }
    await session.execute(
        insert(PayoutPreference)
        .values(kind=owner.kind, owner_id=owner.id, created_at=now(), **values)
        .on_conflict_do_update(index_elements=["kind", "owner_id"], set_=values)
    )
    facts = command.model_dump(mode="json")
    await payouts.set_auto_payout(session, actor, gateway, owner, on=at_once, **facts)
    return command


async def minimum_of(session: AsyncSession, payee: Payee, currency: str) -> int:
    """Return the amount from which on a payee wants to be paid out, in minor units."""
    found = await session.exec(
        select(PayoutPreference.minimums_minor).where(
            PayoutPreference.kind == payee.kind, col(PayoutPreference.owner_id) == payee.owner_id
        )
    )
    return int((found.first() or {}).get(currency, 0))
