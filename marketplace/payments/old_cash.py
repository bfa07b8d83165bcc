"""Prepaid money that nobody used goes back to where it came from before the provider's hold limit (money.md §8.3)."""

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement
from sqlmodel import and_, col, false, func, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.actor import SYSTEM
from marketplace.core.clock import now
from marketplace.core.outbox import emit
from marketplace.ledger import accounts
from marketplace.ledger import queries as ledger
from marketplace.payments.models import Charge
from marketplace.payments.periods import hold_period
from marketplace.payments.refunds import can_be_refunded, refund_to_source


async def plan(session: AsyncSession, stays: Mapping[str, timedelta]) -> int:
    """Ask for the refunds of every organisation with a charge that is older than its provider's money may stay.

    `stays` says how long per provider. Returns how many were asked for.
    """
    found = await session.exec(
        select(Charge.organisation_id, Charge.currency).where(can_be_refunded(), _is_old(stays)).distinct()
    )
    holders = list(found.all())
    balances = await ledger.balances(session, [accounts.org_cash(organisation_id) for organisation_id, _ in holders])
    filled = {(balance.path, balance.currency) for balance in balances if balance.minor > 0}
    asked = [holder for holder in holders if (accounts.org_cash(holder[0]), holder[1]) in filled]
    for organisation_id, currency in asked:
        emit(session, "payments.refund_old_cash", {"organisation_id": str(organisation_id), "currency": currency})
    return len(asked)


async def refund(session: AsyncSession, organisation_id: UUID, currency: str, stays: Mapping[str, timedelta]) -> int:
    """Give back what is left of an organisation's old charges; money is taken to be used in the order it came.

    Returns what is refunded, in minor units; at most once a day.
    """
    is_old, left = _is_old(stays), col(Charge.amount_minor) - col(Charge.refunded_minor)
    found = await session.exec(
        select(func.coalesce(func.sum(left).filter(is_old), 0), func.coalesce(func.sum(left).filter(~is_old), 0)).where(
            Charge.organisation_id == organisation_id, Charge.currency == currency, can_be_refunded()
        )
    )
    old_minor, young_minor = (int(total) for total in found.one())
    balance = await ledger.balance(session, accounts.org_cash(organisation_id), currency)
    amount = min(balance - young_minor, old_minor)
    if amount <= 0:
        return 0
    cause = f"{hold_period(now())}:{organisation_id}:{currency}"
    await refund_to_source(session, SYSTEM, organisation_id, amount, currency, cause=cause, only=is_old)
    return amount


def _is_old(stays: Mapping[str, timedelta]) -> ColumnElement[bool]:
    """Return the condition that a charge came in longer ago than money may stay with its provider."""
    ages = [and_(Charge.provider == name, col(Charge.changed_at) < now() - stay) for name, stay in stays.items()]
    return or_(false(), *ages)
