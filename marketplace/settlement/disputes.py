"""A disputed delivery that is right about some of its work: that work is rejected, and its pay is reserved again.

The rest of the delivery stays as it is, until the enterprise accepts or the arbitrator dismisses the dispute. A request
in acceptance has no way back to production, so that the work is not done again.
"""

from datetime import timedelta
from uuid import UUID

from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.catalog.deliveries import delivery_of
from marketplace.catalog.errors import DeliveryDecided
from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.queries import request_of
from marketplace.catalog.states import REQUEST_STEPS, RequestState
from marketplace.core.actor import Actor
from marketplace.core.clock import now
from marketplace.core.outbox import emit
from marketplace.core.settings import Settings
from marketplace.core.states import check_step
from marketplace.ledger import accounts
from marketplace.ledger import service as ledger
from marketplace.ledger.entries import credit, debit
from marketplace.quality.disputes import reject_disputed
from marketplace.quality.errors import VerdictUnknown
from marketplace.quality.models import Verdict
from marketplace.quality.states import Outcome
from marketplace.settlement.accrual import facts_of, unaccrue
from marketplace.settlement.errors import AccrualReleased, AccrualUnknown
from marketplace.settlement.models import Accrual, ContractAccrual
from marketplace.settlement.schemas import UpheldDisputeView, UpholdDispute
from marketplace.settlement.states import ACCRUAL_STEPS, AccrualState


async def uphold(
    session: AsyncSession, actor: Actor, settings: Settings, request_id: UUID, command: UpholdDispute
) -> UpheldDisputeView:
    """Reject the named work of a disputed delivery, all of it or none, and reserve again what it had earned.

    The arbitrator's act (the route checks the role). The delivery gets a new report.

    Raises:
        TransitionRefused: the request is not in acceptance.
        DeliveryDecided: nobody disputes the delivery.
        ClaimUnknown, VerdictUnknown, NotDisputable: the work is not there, or not accepted by the gates.
        AccrualUnknown: what it earned is not booked yet.
        AccrualReleased: that is released, and only a claw-back takes it back.
    """
    request = await request_of(session, actor, request_id, lock=True)
    check_step(REQUEST_STEPS, request.state, RequestState.DELIVERED)
    if (await delivery_of(session, request_id, lock=True)).disputed_at is None:
        raise DeliveryDecided("The delivery is not disputed; its enterprise decides.")
    claim_ids = sorted(set(command.claim_ids))
    returned = 0
    for claim_id in claim_ids:  # in the order of ids, as everything that locks several claims
        verdict = await reject_disputed(session, actor, settings, request_id, claim_id, command.reason)
        returned += await _take_back(session, actor, verdict)
    for kind in ("quality.deliver", "quality.conduct"):
        emit(session, kind, {"request_id": str(request_id)})
    record(
        session, actor, "delivery.dispute_upheld", f"request:{request_id}", organisation_id=request.organisation_id,
        claims=[str(claim_id) for claim_id in claim_ids], returned_minor=returned, reason=command.reason,
    )  # fmt: skip
    return UpheldDisputeView(
        request_id=request_id, claim_ids=claim_ids, returned_minor=returned, currency=request.currency
    )


async def _take_back(session: AsyncSession, actor: Actor, verdict: Verdict) -> int:
    key = (verdict.request_id, verdict.claim_id, verdict.revision)
    accrual = await session.get(Accrual, key)
    if accrual is None:
        raise AccrualUnknown("What it earned is not booked yet; try again soon.")
    if accrual.state is AccrualState.RELEASED:
        raise AccrualReleased(claim_id=str(verdict.claim_id))
    return (await unaccrue(session, actor, *key)).amount_minor


async def accrue_again(session: AsyncSession, request_id: UUID, claim_id: UUID, revision: int) -> Accrual:
    """Book again, with the same amount and split, what an upheld dispute took back, when the worker's appeal is won.

    A second call does nothing: a dispute and an appeal meet a verdict once, so that it is booked again once.

    Raises:
        VerdictUnknown: no verdict accepts this revision.
        InsufficientFunds: the reserve does not hold it; the job waits as a dead letter for more funding.
    """
    of_claim = (Verdict.request_id == request_id, Verdict.claim_id == claim_id, Verdict.revision == revision)
    verdict = (await session.exec(select(Verdict).where(*of_claim).with_for_update(read=True))).one_or_none()
    if verdict is None or verdict.outcome is not Outcome.ACCEPTED:
        raise VerdictUnknown
    totals = await session.get_one(
        ContractAccrual, (request_id, verdict.contract_id), with_for_update=True, populate_existing=True
    )
    accrual = await session.get_one(
        Accrual, (request_id, claim_id, revision), with_for_update=True, populate_existing=True
    )
    if accrual.state is not AccrualState.TAKEN_BACK:
        return accrual
    request = await session.get_one(DatasetRequest, request_id)
    check_step(ACCRUAL_STEPS, accrual.state, AccrualState.ACCRUED)
    accrual.state = AccrualState.ACCRUED
    accrual.release_at = now() + timedelta(seconds=request.release_window_seconds)
    totals.units += accrual.units
    totals.accrued_minor += accrual.amount_minor
    await session.flush()
    if accrual.amount_minor > 0:
        legs = [
            debit(accounts.reserved(request_id), accrual.amount_minor),
            credit(accounts.accrued(request_id, accrual.contract_id), accrual.amount_minor),
        ]
        key = f"accrue:{claim_id}:{revision}:again"
        await ledger.post(session, key, "accrue", legs, accrual.currency, facts=facts_of(accrual))
    return accrual
