"""From the end of the dispute window to what we owe vendors and workers."""

from typing import Final
from uuid import UUID

from sqlmodel import col, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.models import DatasetRequest, Delivery
from marketplace.catalog.states import RequestState
from marketplace.core.clock import now
from marketplace.core.outbox import emit
from marketplace.core.settings import get_settings
from marketplace.core.states import check_step
from marketplace.ledger import accounts
from marketplace.ledger import service as ledger
from marketplace.ledger.entries import Entry, credit, debit
from marketplace.payments.kyc import is_identified
from marketplace.settlement.accrual import facts_of
from marketplace.settlement.models import Accrual
from marketplace.settlement.states import ACCRUAL_STEPS, AccrualState

BATCH: Final = 200


async def release_due(session: AsyncSession, request_id: UUID | None = None) -> int:
    """Release what is due, of all requests or of one; asks for another run when a batch was full. Returns how many.

    A suspended request releases nothing until it is resumed, nor does one whose delivery is disputed and not accepted.
    With `KYC_REQUIRED_BEFORE=release` nothing is released to payees whom the provider does not know.
    """
    due = await _take_due(session, request_id)
    entries = [_entry(accrual) for accrual in due if accrual.amount_minor > 0]
    for accrual in due:
        check_step(ACCRUAL_STEPS, accrual.state, AccrualState.RELEASED)
        accrual.state, accrual.released_at = AccrualState.RELEASED, now()
    await session.flush()
    if entries:
        await ledger.post_many(session, entries)
    if len(due) == BATCH:
        emit(session, "settlement.release_due", {})
    return len(due)


async def _take_due(session: AsyncSession, request_id: UUID | None) -> list[Accrual]:
    suspended = select(DatasetRequest.id).where(
        DatasetRequest.id == Accrual.request_id, DatasetRequest.state == RequestState.SUSPENDED
    )
    disputed = select(Delivery.id).where(
        Delivery.request_id == Accrual.request_id,
        col(Delivery.disputed_at).is_not(None),
        col(Delivery.accepted_at).is_(None),
    )
    due = (
        select(Accrual)
        .where(
            Accrual.state == AccrualState.ACCRUED,
            col(Accrual.release_at) <= now(),
            ~suspended.exists(),
            ~disputed.exists(),
        )
        .order_by(col(Accrual.release_at))
        .limit(BATCH)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    if request_id is not None:
        due = due.where(Accrual.request_id == request_id)
    if get_settings().kyc_required_before == "release":
        due = due.where(
            or_(col(Accrual.worker_minor) == 0, is_identified(col(Accrual.worker_id))),
            or_(col(Accrual.vendor_minor) == 0, is_identified(col(Accrual.vendor_organisation_id))),
        )
    return list((await session.exec(due)).all())


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
