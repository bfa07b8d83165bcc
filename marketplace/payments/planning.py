"""Payouts that nobody asks for one by one: at once, by the week or month, and before the provider's hold limit.

The jobs that plan only say whom to look at; each payee is then paid out in a job of its own, with its row locked, and
once in a period, which `payout_plan` keeps.
"""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.actor import SYSTEM
from marketplace.core.clock import now
from marketplace.core.money import Money
from marketplace.core.outbox import emit
from marketplace.ledger import queries as ledger
from marketplace.payments import holds, payouts, policy
from marketplace.payments.control_models import PayoutPlan, PayoutPreference
from marketplace.payments.control_states import HoldReason, PayoutSchedule
from marketplace.payments.errors import NetTooSmall, TaxFormMissing, TaxTableMissing
from marketplace.payments.gateway import Gateway
from marketplace.payments.models import Payee
from marketplace.payments.periods import HOLD, hold_period, period_of
from marketplace.payments.preferences import minimum_of
from marketplace.payments.rules import PayoutRules
from marketplace.payments.states import PayeeState

_PAYEES_A_JOB: Final = 500
_HELD_WAIT: Final = timedelta(hours=1)

log = structlog.get_logger()


async def plan_at_once(session: AsyncSession, provider: str) -> None:
    """Ask for a payout of every payee of a provider with automatic payouts whose account is not empty."""
    after = UUID(int=0)
    while True:
        found = await session.exec(
            select(Payee)
            .where(col(Payee.auto_payout), Payee.provider == provider, col(Payee.id) > after)
            .order_by(col(Payee.id))
            .limit(_PAYEES_A_JOB)
        )
        payees = found.all()
        if not payees:
            return
        by_path = {policy.payable_path(payee.kind, payee.owner_id): payee for payee in payees}
        paths = {balance.path for balance in await ledger.balances(session, list(by_path)) if balance.minor > 0}
        for path in sorted(paths):
            emit(session, "payments.pay_out", {"payee_id": str(by_path[path].id)})
        after = payees[-1].id


async def plan_periods(session: AsyncSession, provider: str) -> int:
    """Ask for the payouts of every payee whose week or month has begun; return how many. Run twice, it asks once."""
    asked = 0
    for schedule in (PayoutSchedule.WEEKLY, PayoutSchedule.MONTHLY):
        period = period_of(schedule, now()) or ""
        begun = await session.execute(
            update(PayoutPreference)
            .where(col(PayoutPreference.schedule) == schedule, col(PayoutPreference.planned_period) != period)
            .values(planned_period=period)
            .returning(col(PayoutPreference.owner_id))
        )
        owners = list(begun.scalars())
        payees = select(Payee.id).where(col(Payee.owner_id).in_(owners), Payee.provider == provider)
        for payee_id in (await session.exec(payees)).all():
            emit(session, "payments.pay_out", {"payee_id": str(payee_id), "period": period})
            asked += 1
    return asked


async def plan_hold_limit(session: AsyncSession, provider: str, stay: timedelta) -> int:
    """Ask for the payout of every payee who has money that came in longer ago than it may stay; return how many.

    A payee whom the provider does not know, or does not pay out to, cannot be paid: the log says so each time.
    """
    aged = await ledger.older_balances(session, ["worker", "vendor"], now() - stay, not_new=["payout.restore"])
    paths = {balance.path for balance in aged}
    owners = [UUID(path.split(":")[1]) for path in paths]
    found = await session.exec(
        select(Payee).where(
            col(Payee.owner_id).in_(owners), Payee.provider == provider, Payee.state == PayeeState.READY
        )
    )
    for payee in found:
        paths.discard(policy.payable_path(payee.kind, payee.owner_id))
        emit(session, "payments.pay_out", {"payee_id": str(payee.id), "period": hold_period(now())})
    if paths:
        log.error("payments.hold_limit_near", provider=provider, accounts=sorted(paths)[:100], count=len(paths))
    return len(owners) - len(paths)


async def pay_out(
    session: AsyncSession, gateway: Gateway, rules: PayoutRules, payee_id: UUID, period: str | None
) -> None:
    """Pay out what is cleared for a payee, in every currency; without a period, only if they want it at once.

    What is held (a pause, a new bank account, a tax form that is missing) is tried again when the hold may be over.
    """
    found = await session.exec(
        select(Payee).where(Payee.id == payee_id).with_for_update().execution_options(populate_existing=True)
    )
    payee = found.one()
    by_limit = period is not None and period.startswith(HOLD)
    if not by_limit and not await _is_wanted(session, payee, period):
        return
    needs_account = gateway.capabilities().needs_bank_details
    held: list[datetime] = []
    for balance in await ledger.balances(session, [policy.payable_path(payee.kind, payee.owner_id)]):
        amount = policy.payable_part(balance.minor, balance.currency, gateway.capabilities())
        if amount <= 0 or (not by_limit and amount < await minimum_of(session, payee, balance.currency)):
            continue
        until = await _held_until(session, payee, balance.currency, needs_account=needs_account)
        if until is None:
            until = await _begin_once(session, gateway, rules, payee, Money(amount, balance.currency), period)
        if until is not None:
            held.append(until)
    if held and period is not None and not by_limit:  # the others are looked at again and again anyhow
        emit(session, "payments.pay_out", {"payee_id": str(payee_id), "period": period}, due_at=min(held))


async def _is_wanted(session: AsyncSession, payee: Payee, period: str | None) -> bool:
    """Whether a payee still wants this payout: they may choose again while it is held, and a next period takes all."""
    if period is None:
        return payee.auto_payout
    wish = await session.get(PayoutPreference, (payee.kind, payee.owner_id), populate_existing=True)
    return wish is not None and wish.schedule is not PayoutSchedule.MANUAL and wish.planned_period == period


async def _held_until(session: AsyncSession, payee: Payee, currency: str, *, needs_account: bool) -> datetime | None:
    if needs_account and not await holds.account_given(session, payee, currency):
        return now() + _HELD_WAIT
    standing = await holds.on_payee(session, payee, currency)
    real = [hold for hold in standing if hold.reason is not HoldReason.CIRCUIT_OPEN]
    if not real:
        return None
    return max((hold.until for hold in real if hold.until), default=now() + _HELD_WAIT)


async def _begin_once(
    session: AsyncSession, gateway: Gateway, rules: PayoutRules, payee: Payee, gross: Money, period: str | None
) -> datetime | None:
    """Begin a payout unless the period had one; return when to try again if something is missing for it.

    The payee is locked, so that no other job begins one of the same period meanwhile.
    """
    key = (payee.id, gross.currency, period)
    if period is not None and await session.get(PayoutPlan, key, populate_existing=True) is not None:
        return None
    try:
        payout = await payouts.begin(session, SYSTEM, payee, gross, gateway, rules)
    except NetTooSmall:  # waits until there is more
        return None
    except TaxFormMissing:
        return now() + _HELD_WAIT
    except TaxTableMissing as error:  # only this currency waits for the operator
        log.exception("payments.tax_table_missing", payee_id=str(payee.id), reason=error.detail)
        return now() + _HELD_WAIT
    if period is not None:
        session.add(PayoutPlan(payee_id=payee.id, currency=gross.currency, period=period, payout_id=payout.id))
    return None
