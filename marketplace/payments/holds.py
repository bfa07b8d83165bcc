"""Why a remote call waits: a pause, a circuit that is open, a bank account that cools, a payee who is not active.

Whoever plans or sends a call asks here, and so does the view of the one whose money waits.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.clock import now
from marketplace.payments import breaker
from marketplace.payments.control_errors import MethodCooling, PayeeNotActive, PayoutMethodMissing, PayoutsPaused
from marketplace.payments.control_models import PaymentPause, PayoutMethod
from marketplace.payments.control_states import HoldReason, PauseScope
from marketplace.payments.models import Charge, Payee, Payout, Refund
from marketplace.payments.states import Leg, PayeeKind, PayeeState

Target = tuple[PauseScope, str]


@dataclass(frozen=True, slots=True)
class Hold:
    """One reason to wait; `until` is None when nobody knows."""

    reason: HoldReason
    detail: str
    since: datetime | None = None
    until: datetime | None = None


async def on_call(session: AsyncSession, row: Charge | Payee | Payout | Refund, leg: Leg) -> Hold | None:
    """Return why the next call of a row is not to be made now, the circuit apart; None when it may be."""
    if isinstance(row, Charge | Refund):
        return await _pause(session, targets_of_organisation(row.provider, row.organisation_id))
    payee = row if isinstance(row, Payee) else await session.get_one(Payee, row.payee_id)
    paused = await _pause(session, targets_of_payee(row.provider, payee.kind, payee.owner_id))
    if paused is not None or isinstance(row, Payee) or leg is Leg.REVERSAL:  # what comes back may always come
        return paused
    if payee.state is PayeeState.LAPSED:
        return _lapsed(payee)
    return await _cooling(session, payee, row.currency)


async def on_payee(session: AsyncSession, payee: Payee, currency: str | None = None) -> list[Hold]:
    """Return every reason why a payee (in a currency, or in any) is not paid out now."""
    holds = await on_target(session, payee.provider, targets_of_payee(payee.provider, payee.kind, payee.owner_id))
    if payee.state is PayeeState.LAPSED:
        holds.append(_lapsed(payee))
    if payee.state is PayeeState.REFUSED:
        holds.append(Hold(HoldReason.PAYEE_REFUSED, payee.failure_code or "the payment provider refused the payee"))
    cooling = await _cooling(session, payee, currency)
    return holds if cooling is None else [*holds, cooling]


async def on_target(session: AsyncSession, provider: str, targets: list[Target]) -> list[Hold]:
    """Return the pauses of these targets, and the circuit when it is open."""
    holds = [_paused(pause) for pause in await _pauses(session, targets)]
    until = await breaker.rests_until(session, provider)
    if until is not None:
        detail = "the payment provider does not answer; payments wait until it does"
        holds.append(Hold(HoldReason.CIRCUIT_OPEN, detail, until=until))
    return holds


async def check_may_begin(session: AsyncSession, payee: Payee, currency: str) -> None:
    """Let a new payout begin, unless somebody must first do something about it; a circuit that is open only delays it.

    Raises:
        PayoutsPaused, PayeeNotActive, MethodCooling: with the reason, and until when if that is known.
    """
    for hold in await on_payee(session, payee, currency):
        until = None if hold.until is None else hold.until.isoformat()
        match hold.reason:
            case HoldReason.PAUSED:
                raise PayoutsPaused(hold.detail)
            case HoldReason.PAYEE_LAPSED:
                raise PayeeNotActive(hold.detail)
            case HoldReason.METHOD_COOLING:
                raise MethodCooling(hold.detail, until=until)
            case _:
                pass


async def check_account_given(session: AsyncSession, payee: Payee, currency: str) -> None:
    """Raise `PayoutMethodMissing` when the payee has not said where a currency goes."""
    if not await account_given(session, payee, currency):
        raise PayoutMethodMissing


async def account_given(session: AsyncSession, payee: Payee, currency: str) -> bool:
    """Whether the payee has said where a currency goes."""
    return await session.get(PayoutMethod, (payee.kind, payee.owner_id, payee.provider, currency)) is not None


async def any_account_given(session: AsyncSession, provider: str, kind: PayeeKind, owner_id: UUID) -> bool:
    """Whether an owner has said where money of any currency goes at a provider."""
    found = await session.exec(
        select(PayoutMethod.id).where(
            PayoutMethod.provider == provider, PayoutMethod.kind == kind, PayoutMethod.owner_id == owner_id
        )
    )
    return found.first() is not None


def targets_of_payee(provider: str, kind: PayeeKind, owner_id: UUID) -> list[Target]:
    """Return what a pause of may stop a payee's payouts."""
    targets = [(PauseScope.PROVIDER, provider), (PauseScope.PAYEE, str(owner_id))]
    return [*targets, (PauseScope.ORGANISATION, str(owner_id))] if kind is PayeeKind.VENDOR else targets


def targets_of_organisation(provider: str, organisation_id: UUID) -> list[Target]:
    """Return what a pause of may stop an enterprise's top-ups and refunds."""
    return [(PauseScope.PROVIDER, provider), (PauseScope.ORGANISATION, str(organisation_id))]


async def _pauses(session: AsyncSession, targets: list[Target]) -> list[PaymentPause]:
    found = await session.exec(
        select(PaymentPause)
        .where(
            col(PaymentPause.lifted_at).is_(None),
            col(PaymentPause.target).in_([target for _, target in targets]),
        )
        .order_by(col(PaymentPause.id))
        .execution_options(populate_existing=True)
    )
    return [pause for pause in found if (pause.scope, pause.target) in targets]


async def _pause(session: AsyncSession, targets: list[Target]) -> Hold | None:
    pauses = await _pauses(session, targets)
    return _paused(pauses[0]) if pauses else None


def _paused(pause: PaymentPause) -> Hold:
    return Hold(HoldReason.PAUSED, pause.reason, since=pause.created_at)


def _lapsed(payee: Payee) -> Hold:
    return Hold(HoldReason.PAYEE_LAPSED, payee.failure_code or "the payment provider asks the payee for something")


async def _cooling(session: AsyncSession, payee: Payee, currency: str | None) -> Hold | None:
    chosen = select(PayoutMethod).where(
        PayoutMethod.kind == payee.kind, PayoutMethod.owner_id == payee.owner_id,
        PayoutMethod.provider == payee.provider, col(PayoutMethod.usable_from) > now(),
    )  # fmt: skip
    if currency is not None:
        chosen = chosen.where(PayoutMethod.currency == currency)
    newest = chosen.order_by(col(PayoutMethod.usable_from).desc()).limit(1)
    method = (await session.exec(newest.execution_options(populate_existing=True))).first()
    if method is None:
        return None
    detail = f"the bank account for {method.currency} (…{method.account_last4}) was changed"
    return Hold(HoldReason.METHOD_COOLING, detail, since=method.changed_at, until=method.usable_from)
