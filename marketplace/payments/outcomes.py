"""What a provider's object means for our rows and the ledger.

Every function takes a locked row and the object as it is now, and only ever moves forward: applied twice, or after
something newer, it does nothing. So a call's answer, a webhook and a look-up may all bring the same news in any order.
Each step of a payout happens at most once (a new try after a failure is a new payout), hence the `:1` of the keys.
"""

from uuid import UUID

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.clock import now
from marketplace.core.states import check_step
from marketplace.ledger import accounts
from marketplace.ledger import service as ledger
from marketplace.ledger.entries import Leg as PostingLeg
from marketplace.ledger.entries import credit, debit
from marketplace.payments import policy
from marketplace.payments.errors import AmountMismatch
from marketplace.payments.gateway import RemoteObject, RemoteState
from marketplace.payments.models import Charge, Payee, Payout, Refund
from marketplace.payments.states import (
    CHARGE_STEPS,
    PAYEE_STEPS,
    PAYOUT_STEPS,
    REFUND_STEPS,
    ChargeState,
    Leg,
    PayeeState,
    PayoutState,
    RefundState,
    Subject,
)
from marketplace.payments.subjects import SUBJECT_OF_LEG, ask_to_advance, lock_subject


async def apply(session: AsyncSession, remote: RemoteObject) -> bool:
    """Lock the row that the object belongs to and apply it; return whether there is such a row."""
    row = await lock_subject(session, SUBJECT_OF_LEG[remote.kind], UUID(hex=remote.ref))
    if row is None:
        return False
    await apply_to(session, row, remote)
    if isinstance(row, Payee):
        _lapse(row, remote)
    return True


async def apply_to(session: AsyncSession, row: Charge | Payee | Payout | Refund, remote: RemoteObject) -> None:
    """Apply an object to its locked row.

    Raises:
        AmountMismatch: the provider moved another amount than ours.
    """
    if not isinstance(row, Payee) and (remote.amount_minor, remote.currency) != (row.amount_minor, row.currency):
        detail = f"{remote.kind} {remote.ref}: {remote.amount_minor} {remote.currency} at the provider, "
        raise AmountMismatch(detail + f"{row.amount_minor} {row.currency} here")
    match row:
        case Charge():
            await _charge(session, row, remote)
        case Payee():
            await _payee(session, row, remote)
        case Refund():
            await _refund(session, row, remote)
        case Payout():
            await _payout(session, row, remote)


async def refuse(session: AsyncSession, row: Charge | Payee | Payout | Refund, leg: Leg, code: str) -> None:
    """Apply a provider's final refusal of a leg to its locked row."""
    match row:
        case Charge():
            _step_charge(row, ChargeState.FAILED, code)
        case Payee():
            check_step(PAYEE_STEPS, row.state, PayeeState.REFUSED)
            row.state, row.failure_code = PayeeState.REFUSED, code
            await _wake_payouts(session, row)
        case Refund():
            await _fail_refund(session, row, code)
        case Payout() if leg is Leg.TRANSFER:
            await restore(session, row, code)
        case Payout() if leg is Leg.PAYOUT:
            _fail_payout(session, row, code)
        case Payout():
            row.failure_code = code  # a refused reversal stays `failed`, over its age, until a person has looked


async def _charge(session: AsyncSession, charge: Charge, remote: RemoteObject) -> None:
    target = policy.CHARGE_OF_REMOTE[remote.state]
    if target not in CHARGE_STEPS.get(charge.state, frozenset()):
        return
    _step_charge(charge, target, remote.failure_code)
    if target is ChargeState.SUCCEEDED:
        charge.fee_minor = remote.fee_minor
        legs = [
            debit(accounts.psp(charge.provider), charge.amount_minor - remote.fee_minor),
            debit(accounts.PSP_FEE, remote.fee_minor),
            credit(accounts.org_cash(charge.organisation_id), charge.amount_minor),
        ]
        facts = _facts(remote, "top_up_id", charge.id)
        await ledger.post(session, f"topup:{charge.id}", "topup", legs, charge.currency, facts=facts)


def _step_charge(charge: Charge, target: ChargeState, code: str | None) -> None:
    check_step(CHARGE_STEPS, charge.state, target)
    charge.state, charge.failure_code, charge.changed_at = target, code, now()


async def _payee(session: AsyncSession, payee: Payee, remote: RemoteObject) -> None:
    if remote.state is RemoteState.SUCCEEDED and payee.state in {PayeeState.NEW, PayeeState.LAPSED}:
        check_step(PAYEE_STEPS, payee.state, PayeeState.READY)
        payee.state, payee.failure_code = PayeeState.READY, None
        await _wake_payouts(session, payee)


def _lapse(payee: Payee, remote: RemoteObject) -> None:
    """Take down that the provider no longer pays out to a payee. Only what is looked up says so.

    The answer to the call that made the payee may come in after the notice that they are ready.
    """
    if remote.state is not RemoteState.SUCCEEDED and payee.state is PayeeState.READY:
        check_step(PAYEE_STEPS, payee.state, PayeeState.LAPSED)
        payee.state, payee.failure_code = PayeeState.LAPSED, remote.failure_code or "requirements_due"


async def _wake_payouts(session: AsyncSession, payee: Payee) -> None:
    waiting = await session.exec(
        select(Payout.id).where(
            Payout.payee_id == payee.id, col(Payout.state).in_((PayoutState.RESERVED, PayoutState.TRANSFERRED))
        )
    )
    for payout_id in waiting:
        ask_to_advance(session, Subject.PAYOUT, payout_id)


async def _refund(session: AsyncSession, refund: Refund, remote: RemoteObject) -> None:
    target = policy.REFUND_OF_REMOTE[remote.state]
    if target not in REFUND_STEPS.get(refund.state, frozenset()):
        return
    if target is RefundState.FAILED:
        await _fail_refund(session, refund, remote.failure_code or "refund_failed")
        return
    refund.state, refund.changed_at = target, now()
    if target is RefundState.DONE:
        legs = [
            debit(accounts.refund_pending(refund.id), refund.amount_minor),
            credit(accounts.psp(refund.provider), refund.amount_minor),
        ]
        facts = _facts(remote, "refund_id", refund.id)
        await ledger.post(session, f"refund:{refund.id}:done", "refund.done", legs, refund.currency, facts=facts)


async def _fail_refund(session: AsyncSession, refund: Refund, code: str) -> None:
    check_step(REFUND_STEPS, refund.state, RefundState.FAILED)
    refund.state, refund.failure_code, refund.changed_at = RefundState.FAILED, code, now()
    charge: Charge = await lock_subject(session, Subject.CHARGE, refund.charge_id)
    charge.refunded_minor -= refund.amount_minor
    legs = [
        debit(accounts.refund_pending(refund.id), refund.amount_minor),
        credit(accounts.org_cash(refund.organisation_id), refund.amount_minor),
    ]
    facts = {"refund_id": str(refund.id), "reason": code}
    await ledger.post(session, f"refund:{refund.id}:failed", "refund.failed", legs, refund.currency, facts=facts)


async def _payout(session: AsyncSession, payout: Payout, remote: RemoteObject) -> None:
    match remote.kind:
        case Leg.TRANSFER:
            await _transferred(session, payout, remote)
        case Leg.REVERSAL:
            await _reversed(session, payout, remote)
        case _:
            await _submitted(session, payout, remote)


async def _transferred(session: AsyncSession, payout: Payout, remote: RemoteObject) -> None:
    if payout.state is not PayoutState.RESERVED or remote.state is RemoteState.PENDING:
        return
    if remote.state is RemoteState.FAILED:
        await restore(session, payout, remote.failure_code or "transfer_failed")
        return
    legs = [
        debit(accounts.in_transit(payout.provider), payout.amount_minor),
        credit(accounts.psp(payout.provider), payout.amount_minor),
    ]
    await _post(session, payout, "transferred", legs, remote)
    _step_payout(payout, PayoutState.TRANSFERRED)
    ask_to_advance(session, Subject.PAYOUT, payout.id)


async def _submitted(session: AsyncSession, payout: Payout, remote: RemoteObject) -> None:
    if payout.state is PayoutState.TRANSFERRED:
        _step_payout(payout, PayoutState.SUBMITTED)
    if remote.state is RemoteState.SUCCEEDED and payout.state is PayoutState.SUBMITTED:
        legs = [
            debit(accounts.payout_pending(payout.id), payout.amount_minor),
            credit(accounts.in_transit(payout.provider), payout.amount_minor),
        ]
        await _post(session, payout, "paid", legs, remote)
        _step_payout(payout, PayoutState.PAID)
        payout.paid_at = payout.changed_at
    elif remote.state is RemoteState.FAILED and payout.state in {PayoutState.SUBMITTED, PayoutState.PAID}:
        if payout.state is PayoutState.PAID:
            legs = [
                debit(accounts.in_transit(payout.provider), payout.amount_minor),
                credit(accounts.payout_pending(payout.id), payout.amount_minor),
            ]
            await _post(session, payout, "returned", legs, remote)
            payout.paid_at = None
        _fail_payout(session, payout, remote.failure_code or "payout_failed")


async def _reversed(session: AsyncSession, payout: Payout, remote: RemoteObject) -> None:
    if payout.state is not PayoutState.FAILED or remote.state is not RemoteState.SUCCEEDED:
        return
    legs = [
        debit(accounts.psp(payout.provider), payout.amount_minor),
        credit(accounts.in_transit(payout.provider), payout.amount_minor),
    ]
    await _post(session, payout, "reversed", legs, remote)
    _step_payout(payout, PayoutState.REVERSED)
    await restore(session, payout, payout.failure_code or "payout_failed")


async def restore(session: AsyncSession, payout: Payout, code: str) -> None:
    """Give the payee back what was reserved for a payout that will not happen, and cancel it."""
    payee = await session.get_one(Payee, payout.payee_id)
    legs = [
        debit(accounts.payout_pending(payout.id), payout.amount_minor),
        credit(policy.payable_path(payee.kind, payee.owner_id), payout.gross_minor),
    ]
    if payout.tax_authority is not None:
        legs.append(debit(accounts.tax(payout.tax_authority), payout.tax_minor))
    facts = {"payout_id": str(payout.id), "reason": code}
    await ledger.post(
        session, policy.payout_key(payout.id, "restore"), "payout.restore", legs, payout.currency, facts=facts
    )
    _step_payout(payout, PayoutState.CANCELLED)
    payout.failure_code = code


def _fail_payout(session: AsyncSession, payout: Payout, code: str) -> None:
    _step_payout(payout, PayoutState.FAILED)
    payout.failure_code = code
    ask_to_advance(session, Subject.PAYOUT, payout.id)


def _step_payout(payout: Payout, target: PayoutState) -> None:
    check_step(PAYOUT_STEPS, payout.state, target)
    payout.state, payout.changed_at = target, now()


def _facts(remote: RemoteObject, name: str, row_id: UUID) -> dict[str, str]:
    return {name: str(row_id), "object": remote.kind.value, "ref": remote.ref, "remote_id": remote.id}


async def _post(session: AsyncSession, payout: Payout, step: str, legs: list[PostingLeg], remote: RemoteObject) -> None:
    facts = _facts(remote, "payout_id", payout.id)
    key = policy.payout_key(payout.id, f"{step}:1")
    await ledger.post(session, key, f"payout.{step}", legs, payout.currency, facts=facts)
