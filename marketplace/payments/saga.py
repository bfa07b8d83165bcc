"""One remote call at a time: plan and commit the call row (one job), call (the next), record the outcome.

Killed anywhere, a step runs again: a plan finds its call row, a call is repeated under the same key while the key
lives, and what cannot be known is looked up by our reference before anything new is tried (money.md §5).
"""

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from sqlmodel import func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.clock import now
from marketplace.core.money import Money
from marketplace.core.outbox import emit
from marketplace.core.states import check_step
from marketplace.payments import breaker, holds, outcomes, policy
from marketplace.payments.errors import Misconfigured, Rejected, Throttled, Unknown
from marketplace.payments.gateway import Gateway, RemoteObject
from marketplace.payments.models import Charge, Payee, Payout, ProviderCall, Refund
from marketplace.payments.policy import AfterAbsence
from marketplace.payments.states import CALL_STEPS, OPEN_CALLS, CallState, Leg, PayeeState, Subject
from marketplace.payments.subjects import (
    ask_to_advance,
    has_open_call,
    is_known,
    lock_call,
    lock_subject,
    read_subject,
)

_FIRST_LOOK_UP: Final = timedelta(seconds=1)
_HELD_WAIT: Final = timedelta(minutes=15)  # what is held is woken when the hold ends; this is for a lost wake-up

log = structlog.get_logger()


def next_leg(row: Charge | Payee | Payout | Refund) -> Leg | None:
    """Return the remote call that a row in this state needs next; None when it only waits, or is at its end."""
    match row:
        case Charge():
            return policy.LEG_OF_CHARGE.get(row.state)
        case Payee():
            return policy.LEG_OF_PAYEE.get(row.state)
        case Payout():
            return policy.LEG_OF_PAYOUT.get(row.state)
        case Refund():
            return policy.LEG_OF_REFUND.get(row.state)


async def advance(session: AsyncSession, subject: Subject, subject_id: UUID) -> None:
    """Plan the next call of a row, unless one is under way; the call leaves in a later job, after the commit."""
    row = await lock_subject(session, subject, subject_id)
    leg = next_leg(row)
    if leg is None or await has_open_call(session, subject_id):
        return
    if leg is Leg.TRANSFER and not await _payee_ready(session, row):
        return
    if leg is Leg.PAYEE and await is_known(session, subject_id):  # they have yet to tell the provider who they are
        emit(session, "payments.check_payee", {"payee_id": str(subject_id)})
        return
    again_at = await _not_before(session, row, leg)
    if again_at is not None:
        ask_to_advance(session, subject, subject_id, due_at=again_at)
        return
    made = await session.exec(
        select(func.count()).where(ProviderCall.subject_id == subject_id, ProviderCall.leg == leg)
    )
    attempt = made.one() + 1
    ref = subject_id.hex
    call = ProviderCall(
        provider=row.provider, subject=subject, subject_id=subject_id, leg=leg, attempt=attempt,
        key=f"{ref}{leg.value}{attempt}", ref=ref, request=_request(row, leg),
    )  # fmt: skip
    session.add(call)
    emit(session, "payments.send", {"call_id": str(call.id)})


async def _not_before(session: AsyncSession, row: Charge | Payee | Payout | Refund, leg: Leg) -> datetime | None:
    """Return when to ask again for a call that is held; None when it may be planned."""
    hold = await holds.on_call(session, row, leg)
    if hold is not None:
        return hold.until or now() + _HELD_WAIT
    return await breaker.rests_until(session, row.provider)


async def _payee_ready(session: AsyncSession, payout: Payout) -> bool:
    payee = await session.get_one(Payee, payout.payee_id)
    if payee.state is PayeeState.NEW:
        ask_to_advance(session, Subject.PAYEE, payee.id)
    elif payee.state is PayeeState.REFUSED:
        await outcomes.restore(session, payout, payee.failure_code or "payee_refused")
    return payee.state is PayeeState.READY


def _request(row: Charge | Payee | Payout | Refund, leg: Leg) -> dict[str, Any]:
    if isinstance(row, Payee):
        return {"display_name": row.display_name}
    request: dict[str, Any] = {"amount_minor": row.amount_minor, "currency": row.currency}
    match row:
        case Refund():
            request["charge_ref"] = row.charge_id.hex
        case Payout() if leg is Leg.REVERSAL:
            request["transfer_ref"] = row.id.hex
        case Payout():
            request["payee_ref"] = row.payee_id.hex
        case Charge():
            pass
    return request


async def send(session: AsyncSession, gateway: Gateway, call_id: UUID) -> None:
    """Make a planned call and record what came of it. No transaction is open while the provider answers."""
    if await _is_held(session, gateway, call_id):
        return
    asked = await _read_alone(session, call_id)
    if asked.state is not CallState.SENDING:
        return
    if _is_too_old(gateway, asked):  # nothing was asked, so this says nothing about the provider
        call = await session.get_one(ProviderCall, call_id)
        await _lost(session, call, Unknown("the key is too old to be repeated"))
        return
    outcome = await _outcome(gateway, asked)
    call = await session.get_one(ProviderCall, call_id)
    match outcome:
        case Throttled():
            emit(session, "payments.send", {"call_id": str(call_id)}, due_at=now() + outcome.after)
        case Rejected():
            await _rejected(session, call, outcome)
            await breaker.note_answer(session, asked.provider)
        case Unknown():
            await _lost(session, call, outcome)
            await breaker.note_failure(session, asked.provider, call_id, outcome.detail)
        case _:
            await adopt(session, call, outcome)
            await breaker.note_answer(session, asked.provider)


async def _is_held(session: AsyncSession, gateway: Gateway, call_id: UUID) -> bool:
    """Whether a planned call must wait; it is then sent later, or adopted if it left before it was held.

    Its job may have died after the provider got it, so what it did is looked up, hold or not.
    """
    call = await session.get_one(ProviderCall, call_id)
    if call.state is not CallState.SENDING:
        return True
    row = await read_subject(session, call.subject, call.subject_id)
    hold = await holds.on_call(session, row, call.leg)
    if hold is not None:
        asked = await _read_alone(session, call_id)
        remote = await gateway.find(asked.leg, asked.ref)
        call = await session.get_one(ProviderCall, call_id)
        if remote is not None:
            await adopt(session, call, remote)
            return True
    if hold is None and _is_too_old(gateway, call):  # it does not go to the provider, and can be no probe
        return False
    again_at = (hold.until or now() + _HELD_WAIT) if hold else await breaker.admit(session, call.provider, call_id)
    if again_at is not None:
        emit(session, "payments.send", {"call_id": str(call_id)}, due_at=again_at)
    return again_at is not None


async def _read_alone(session: AsyncSession, call_id: UUID) -> ProviderCall:
    """Return a call as it stands, apart from the session, and end the transaction in which it was read."""
    call = await session.get_one(ProviderCall, call_id)
    session.expunge(call)
    await session.rollback()
    return call


def _is_too_old(gateway: Gateway, call: ProviderCall) -> bool:
    return now() - call.created_at > gateway.capabilities().key_lifetime - policy.KEY_MARGIN


async def _outcome(gateway: Gateway, call: ProviderCall) -> RemoteObject | Throttled | Rejected | Unknown:
    try:
        return await _perform(gateway, call)
    except (Throttled, Rejected, Unknown) as error:
        return error


async def resolve(session: AsyncSession, gateway: Gateway, call_id: UUID) -> None:
    """Look up a call of unknown outcome; adopt what is found, or decide how to go on."""
    asked = await _read_alone(session, call_id)
    if asked.state is not CallState.UNKNOWN:
        return
    remote = await gateway.find(asked.leg, asked.ref)
    call = await session.get_one(ProviderCall, call_id)
    if remote is not None:
        await adopt(session, call, remote)
        return
    locked = await _lock_open(session, call)
    if locked is None or call.state is not CallState.UNKNOWN:  # another worker looked it up at the same time
        return
    age = now() - call.created_at
    match policy.after_absence(age, answered=call.answered, limits=gateway.capabilities()):
        case AfterAbsence.REPLAY:
            _step(call, CallState.SENDING)
            emit(session, "payments.send", {"call_id": str(call.id)}, due_at=now() + policy.wait_before(call.tries))
        case AfterAbsence.NEW_ATTEMPT:
            _step(call, CallState.ABSENT)
            await _again(session, locked, call, "no trace of the call")
        case AfterAbsence.WAIT:
            due = now() + policy.wait_before(call.tries)
            emit(session, "payments.resolve", {"call_id": str(call.id)}, due_at=due)


def reopen(call: ProviderCall) -> None:
    """Let a call of unknown outcome be sent again, under the key it has."""
    if call.state is CallState.UNKNOWN:
        _step(call, CallState.SENDING)


async def _perform(gateway: Gateway, call: ProviderCall) -> RemoteObject:
    asked = call.request
    if call.leg is Leg.PAYEE:
        return await gateway.create_payee(call.key, call.ref, display_name=asked["display_name"])
    amount = Money(asked["amount_minor"], asked["currency"])
    match call.leg:
        case Leg.CHARGE:
            return await gateway.create_charge(call.key, call.ref, amount)
        case Leg.TRANSFER:
            return await gateway.transfer(call.key, call.ref, amount, payee_ref=asked["payee_ref"])
        case Leg.PAYOUT:
            return await gateway.payout(call.key, call.ref, amount, payee_ref=asked["payee_ref"])
        case Leg.REVERSAL:
            return await gateway.reverse_transfer(call.key, call.ref, amount, transfer_ref=asked["transfer_ref"])
        case Leg.REFUND:
            return await gateway.refund(call.key, call.ref, amount, charge_ref=asked["charge_ref"])
        case Leg.DISPUTE:
            raise Misconfigured("a chargeback is the payer's call, not ours")


async def _lock_open(session: AsyncSession, call: ProviderCall) -> Any:
    """Lock the row and then its call; return the row, or None when another job has closed the call meanwhile."""
    row = await lock_subject(session, call.subject, call.subject_id)
    await lock_call(session, call.id)
    return row if call.state in OPEN_CALLS else None


async def adopt(session: AsyncSession, call: ProviderCall, remote: RemoteObject) -> None:
    """Take an object at the provider for the outcome of an open call; a call that is closed stays as it is."""
    row = await _lock_open(session, call)
    if row is None:
        return
    _step(call, CallState.DONE)
    call.remote_id = remote.id
    await outcomes.apply_to(session, row, remote)
    # A webhook may have brought the news first, and its request to go on met this call still open: ask again.
    if next_leg(row) not in (None, call.leg):
        ask_to_advance(session, call.subject, call.subject_id)


async def _rejected(session: AsyncSession, call: ProviderCall, error: Rejected) -> None:
    row = await _lock_open(session, call)
    if row is None:
        return
    _step(call, CallState.REJECTED)
    call.error = error.reason_code
    if next_leg(row) is not call.leg:
        return
    if error.reason_code in policy.PASSING_REFUSALS and call.attempt < policy.MAX_ATTEMPTS:
        await _again(session, row, call, error.reason_code)
        return
    log.warning("payments.refused", subject=call.subject, subject_id=str(row.id), leg=call.leg, code=error.reason_code)
    await outcomes.refuse(session, row, call.leg, error.reason_code)


async def _again(session: AsyncSession, row: Any, call: ProviderCall, reason: str) -> None:
    """Ask for a new attempt under a new key, later each time; give up after the last."""
    if call.attempt < policy.MAX_ATTEMPTS:
        due = now() + policy.wait_before(call.attempt)
        ask_to_advance(session, call.subject, call.subject_id, due_at=due)
    elif next_leg(row) is call.leg:
        log.error("payments.given_up", subject=call.subject, subject_id=str(row.id), leg=call.leg, reason=reason)
        await outcomes.refuse(session, row, call.leg, "given_up")


async def _lost(session: AsyncSession, call: ProviderCall, error: Unknown) -> None:
    row = await _lock_open(session, call)
    if row is None or call.state is CallState.UNKNOWN:
        return
    _step(call, CallState.UNKNOWN)
    call.tries += 1
    call.answered = error.answered
    call.error = error.detail
    emit(session, "payments.resolve", {"call_id": str(call.id)}, due_at=now() + _FIRST_LOOK_UP)


def _step(call: ProviderCall, target: CallState) -> None:
    check_step(CALL_STEPS, call.state, target)
    call.state = target
    if target not in OPEN_CALLS:
        call.finished_at = now()
