"""From an accepted claim to what it earns, inside the dispute window."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.catalog.models import DatasetRequest
from marketplace.core.actor import SYSTEM, Actor
from marketplace.core.clock import now
from marketplace.core.money import cumulative_due
from marketplace.core.states import check_step
from marketplace.ledger import accounts
from marketplace.ledger import service as ledger
from marketplace.ledger.entries import credit, debit
from marketplace.matching.models import Contract
from marketplace.quality.queries import accepted_verdict
from marketplace.settlement import policy
from marketplace.settlement.errors import AccrualUnknown
from marketplace.settlement.models import Accrual, ContractAccrual
from marketplace.settlement.states import ACCRUAL_STEPS, AccrualState
from marketplace.tasks.models import Claim


async def accrue(session: AsyncSession, request_id: UUID, claim_id: UUID, revision: int) -> Accrual:
    """Book what an accepted revision of a claim earns; a second call returns the first one's accrual.

    The verdict is read, and held, in the same transaction, so that it cannot change while it is being paid.

    Raises:
        VerdictUnknown: no verdict accepts this revision.
        InsufficientFunds: the reserve does not hold it; the job waits as a dead letter for more funding.
    """
    await accepted_verdict(session, request_id, claim_id, revision)
    claim = await session.get_one(Claim, (request_id, claim_id))
    contract = await session.get_one(Contract, (request_id, claim.contract_id))
    request = await session.get_one(DatasetRequest, request_id)
    totals = await _lock_totals(session, request_id, contract.id)
    existing = await session.get(Accrual, (request_id, claim_id, revision))
    if existing is not None:
        return existing
    amount = cumulative_due(totals.units + claim.units, contract.unit_price, totals.accrued_minor)
    accrual = _accrual(claim, contract, revision, amount)
    accrual.release_at = now() + timedelta(seconds=request.release_window_seconds)
    totals.units += claim.units
    totals.accrued_minor += amount
    session.add(accrual)
    await session.flush()
    if amount > 0:
        await _book(session, accrual)
    return accrual


async def _lock_totals(session: AsyncSession, request_id: UUID, contract_id: UUID) -> ContractAccrual:
    await session.execute(
        insert(ContractAccrual)
        .values(request_id=request_id, contract_id=contract_id, units=0, accrued_minor=0, created_at=now())
        .on_conflict_do_nothing()
    )
    found = await session.exec(
        select(ContractAccrual)
        .where(ContractAccrual.request_id == request_id, ContractAccrual.contract_id == contract_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return found.one()


def _accrual(claim: Claim, contract: Contract, revision: int, amount_minor: int) -> Accrual:
    terms = policy.Terms(
        platform_fee_bps=contract.platform_fee_bps,
        to_vendor=contract.vendor_organisation_id is not None,
        pay_workers_directly=contract.pay_workers_directly,
        worker_share_bps=contract.worker_share_bps,
    )
    parts = policy.split(amount_minor, terms)
    return Accrual(
        request_id=claim.request_id, claim_id=claim.id, revision=revision, contract_id=contract.id,
        worker_id=claim.worker_id, vendor_organisation_id=contract.vendor_organisation_id, currency=contract.currency,
        units=claim.units, amount_minor=amount_minor, fee_minor=parts.fee_minor, vendor_minor=parts.vendor_minor,
        worker_minor=parts.worker_minor, release_at=now(),
    )  # fmt: skip


async def _book(session: AsyncSession, accrual: Accrual) -> None:
    legs = [
        debit(accounts.reserved(accrual.request_id), accrual.amount_minor),
        credit(accounts.accrued(accrual.request_id, accrual.contract_id), accrual.amount_minor),
    ]
    key = f"accrue:{accrual.claim_id}:{accrual.revision}"
    await ledger.post(session, key, "accrue", legs, accrual.currency, facts=facts_of(accrual))


def facts_of(accrual: Accrual) -> dict[str, str | int]:
    """Return what a statement says about an accrual."""
    return {
        "request_id": str(accrual.request_id),
        "contract_id": str(accrual.contract_id),
        "claim_id": str(accrual.claim_id),
        "revision": accrual.revision,
        "units": accrual.units,
        "worker_id": str(accrual.worker_id),
    }


async def unaccrue(session: AsyncSession, actor: Actor, request_id: UUID, claim_id: UUID, revision: int) -> Accrual:
    """Take back what was accrued for a revision that goes to rework inside the window; its money is reserved again.

    Raises:
        AccrualUnknown: nothing was accrued.
        TransitionRefused: it has been released, or taken back.
    """
    known = await session.get(Accrual, (request_id, claim_id, revision))
    if known is None:
        raise AccrualUnknown
    totals = await _lock_totals(session, request_id, known.contract_id)
    found = await session.exec(
        select(Accrual)
        .where(Accrual.request_id == request_id, Accrual.claim_id == claim_id, Accrual.revision == revision)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    accrual = found.one()
    check_step(ACCRUAL_STEPS, accrual.state, AccrualState.TAKEN_BACK)
    accrual.state = AccrualState.TAKEN_BACK
    totals.units -= accrual.units
    totals.accrued_minor -= accrual.amount_minor
    if accrual.amount_minor > 0:
        legs = [
            debit(accounts.accrued(request_id, accrual.contract_id), accrual.amount_minor),
            credit(accounts.reserved(request_id), accrual.amount_minor),
        ]
        key = f"unaccrue:{claim_id}:{revision}"
        await ledger.post(session, key, "unaccrue", legs, accrual.currency, facts=facts_of(accrual))
    if actor is not SYSTEM:
        record(session, actor, "accrual.taken_back", f"claim:{claim_id}", revision=revision)
    return accrual
