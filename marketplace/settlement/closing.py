"""Settling and closing a request: release what is due, give back what is left.

What an appeal may still win stays reserved after the closing, until no verdict on the request can be contested:
a worker who is found right is paid, though the enterprise has its delivery (domain.md, rule 3).
"""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlmodel import func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.queries import locked
from marketplace.catalog.service import move
from marketplace.catalog.states import RefundTo, RequestState
from marketplace.core.actor import SYSTEM
from marketplace.core.clock import now
from marketplace.core.money import PRICE_SCALE
from marketplace.core.outbox import emit
from marketplace.ledger import accounts
from marketplace.ledger import queries as ledger_queries
from marketplace.ledger import service as ledger
from marketplace.ledger.entries import credit, debit
from marketplace.matching.models import Contract
from marketplace.payments.errors import SourceSpent
from marketplace.payments.refunds import refund_to_source
from marketplace.quality.queries import contestable_units
from marketplace.settlement import minimum_pay
from marketplace.settlement.models import Accrual
from marketplace.settlement.pay_rules import MinimumTable
from marketplace.settlement.release import release_due
from marketplace.settlement.states import AccrualState

_LOOK_AGAIN: Final = timedelta(seconds=1)
_LOOK_FOR_PAYEE: Final = timedelta(minutes=10)
_LOOK_FOR_REST: Final = timedelta(hours=6)

_UNSETTLED_WORK = text(
    """
    SELECT EXISTS (
        SELECT 1 FROM claim c WHERE c.request_id = :request AND c.state = 'accepted' AND NOT EXISTS (
            SELECT 1 FROM accrual a
            WHERE a.request_id = c.request_id AND a.claim_id = c.id AND a.revision = c.revision
              AND a.state <> 'taken_back')
    ) OR EXISTS (SELECT 1 FROM claim c WHERE c.request_id = :request AND c.state = 'submitted')
    """
)


async def settle_request(
    session: AsyncSession,
    request_id: UUID,
    minimum_pay_table: MinimumTable | None = None,
    *,
    identified_only: bool = False,
) -> bool:
    """Settle and close a delivered request when nothing of it is open; else ask to be called later.

    Open are: accepted work whose accrual is still to come, undecided work, and accruals inside their window.
    Who earned less than the operator's minimum is topped up before the rest is given back.
    Returns whether the request is closed.
    """
    request = await locked(session, request_id)
    if request.state is RequestState.CLOSED:
        return True
    if request.state is not RequestState.DELIVERED:
        return False
    await release_due(session, request_id, identified_only=identified_only)
    again = await _open_until(session, request_id)
    if again is not None:
        emit(session, "settlement.close", {"request_id": str(request_id)}, due_at=again)
        return False
    request = await move(session, request, RequestState.SETTLED)
    kept = await contestable_minor(session, request)
    reserved = await ledger_queries.balance(session, accounts.reserved(request_id), request.currency)
    await minimum_pay.make_good(session, minimum_pay_table, request, reserved - kept)
    await _give_back(session, request, f"close:{request_id}", kept)
    if kept > 0:
        emit(session, "settlement.give_back_rest", {"request_id": str(request_id)}, due_at=now() + _LOOK_FOR_REST)
    await move(session, request, RequestState.CLOSED)
    record(session, SYSTEM, "request.closed", f"request:{request_id}", organisation_id=request.organisation_id)
    return True


async def _open_until(session: AsyncSession, request_id: UUID) -> datetime | None:
    """Return when to look again; None when nothing is open any more."""
    if (await session.execute(_UNSETTLED_WORK, {"request": request_id})).scalar_one():
        return now() + _LOOK_AGAIN
    last = (
        await session.exec(
            select(func.max(Accrual.release_at)).where(
                Accrual.request_id == request_id, Accrual.state == AccrualState.ACCRUED
            )
        )
    ).one()
    # what stays past its window waits for its payee to be identified, which takes days
    return last and max(last, now() + (_LOOK_AGAIN if last > now() - _LOOK_FOR_PAYEE else _LOOK_FOR_PAYEE))


async def refund_cancelled(session: AsyncSession, request_id: UUID) -> None:
    """Give back what was reserved for a request that was cancelled."""
    request = await locked(session, request_id)
    if request.state is RequestState.CANCELLED:
        await _give_back(session, request, f"close:{request_id}", 0)


async def give_back_rest(session: AsyncSession, request_id: UUID) -> bool:
    """Give back what was kept for appeals when nothing can be contested any more; else ask to be called later."""
    request = await locked(session, request_id)
    if await contestable_minor(session, request) > 0 or await _open_until(session, request_id) is not None:
        emit(session, "settlement.give_back_rest", {"request_id": str(request_id)}, due_at=now() + _LOOK_FOR_REST)
        return False
    await _give_back(session, request, f"close:{request_id}:rest", 0)
    return True


async def contestable_minor(session: AsyncSession, request: DatasetRequest) -> int:
    """Return the most that appeals may still win, in minor units: contestable units at the highest contract price.

    Each claim is rounded up by itself, as what one brings was rounded when it was accrued, and stays so.
    """
    units = await contestable_units(session, request.id)
    if not units:
        return 0
    found = await session.exec(select(func.max(Contract.unit_price)).where(Contract.request_id == request.id))
    price = int(found.one())
    return sum(-(-of_claim * price // PRICE_SCALE) for of_claim in units)


async def _give_back(session: AsyncSession, request: DatasetRequest, cause: str, kept: int) -> None:
    """Move a reserve, but for what is kept, to the prepaid balance, and on to its source if the request says so."""
    reserved = await ledger_queries.balance(session, accounts.reserved(request.id), request.currency)
    rest = reserved - kept
    if rest <= 0:
        return
    legs = [debit(accounts.reserved(request.id), rest), credit(accounts.org_cash(request.organisation_id), rest)]
    await ledger.post(session, cause, "close", legs, request.currency, facts={"request_id": str(request.id)})
    if request.refund_to is not RefundTo.SOURCE:
        return
    try:
        await refund_to_source(session, SYSTEM, request.organisation_id, rest, request.currency, cause=cause)
    except SourceSpent as error:
        # What no charge can take back stays on the prepaid balance, where the enterprise can see and use it.
        record(
            session, SYSTEM, "refund.kept", f"request:{request.id}",
            organisation_id=request.organisation_id, amount_minor=rest, reason=error.detail,
        )  # fmt: skip
