"""From the end of the dispute window to what we owe vendors and workers."""

from typing import Final
from uuid import UUID

from sqlalchemy import update
from sqlmodel import col, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.models import DatasetRequest, Delivery
from marketplace.catalog.states import RequestState
from marketplace.core.clock import now
from marketplace.core.outbox import emit
from marketplace.core.states import check_step
from marketplace.ledger import accounts
from marketplace.ledger import service as ledger
from marketplace.ledger.entries import Entry, credit, debit
from marketplace.payments.kyc import is_identified
from marketplace.settlement.accrual import facts_of
from marketplace.settlement.models import Accrual
from marketplace.settlement.states import ACCRUAL_STEPS, AccrualState

BATCH: Final = 200


async def release_due(session: AsyncSession, request_id: UUID | None = None, *, identified_only: bool = False) -> int:
    """Release what is due, of all requests or of one; asks for another run when a batch was full. Returns how many.

    A suspended request releases nothing until it is resumed, nor does one whose delivery is disputed and not accepted.
    With `identified_only` nothing is released to payees whom the provider does not know.
    """
    due = await _take_due(session, request_id, identified_only)
    if entries := [_entry(accrual) for accrual in due if accrual.amount_minor > 0]:
        await ledger.post_many(session, entries)
    if len(due) == BATCH:
        emit(session, "settlement.release_due", {})
    return len(due)


async def _take_due(session: AsyncSession, request_id: UUID | None, identified_only: bool) -> list[Accrual]:
    """Mark what is due as released, and return it, in one statement."""
    suspended = select(DatasetRequest.id).where(
        DatasetRequest.id == Accrual.request_id, DatasetRequest.state == RequestState.SUSPENDED
    )
    disputed = select(Delivery.id).where(
        Delivery.request_id == Accrual.request_id,
        col(Delivery.disputed_at).is_not(None),
        col(Delivery.accepted_at).is_(None),
    )
    due = (
        select(Accrual.request_id, Accrual.claim_id, Accrual.revision)
        .where(
            Accrual.state == AccrualState.ACCRUED,
            col(Accrual.release_at) <= now(),
            ~suspended.exists(),
            ~disputed.exists(),
        )
        .order_by(col(Accrual.release_at))
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    )
    if request_id is not None:
        due = due.where(Accrual.request_id == request_id)
    if identified_only:
        due = due.where(
            or_(col(Accrual.worker_minor) == 0, is_identified(col(Accrual.worker_id))),
            or_(col(Accrual.vendor_minor) == 0, is_identified(col(Accrual.vendor_organisation_id))),
        )
    taken = due.cte("due")
    check_step(ACCRUAL_STEPS, AccrualState.ACCRUED, AccrualState.RELEASED)
    released = await session.execute(
        update(Accrual)
        .where(
            col(Accrual.request_id) == taken.c.request_id,
            col(Accrual.claim_id) == taken.c.claim_id,
            col(Accrual.revision) == taken.c.revision,
        )
        .values(state=AccrualState.RELEASED, released_at=now())
        .returning(Accrual)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    return list(released.scalars())


def _entry(accrual: Accrual) -> Entry:
    legs = [
        debit(accounts.accrued(accrual.request_id, accrual.contract_id), accrual.amount_minor),
        credit(accounts.PLATFORM_FEE, accrual.fee_minor),
        credit(accounts.worker(accrual.worker_id), accrual.worker_minor),
    ]
    if accrual.vendor_organisation_id is not None:
        legs.append(credit(accounts.vendor(accrual.vendor_organisation_id), accrual.vendor_minor))
    key = f"release:{accrual.claim_id}:{accrual.revision}"
    return Entry(key, "release", legs, accrual.currency, facts=facts_of(accrual))
