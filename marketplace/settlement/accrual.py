"""From an accepted claim to what it earns, inside the dispute window."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.catalog.models import DatasetRequest
from marketplace.core.actor import SYSTEM, Actor
from marketplace.core.clock import now
from marketplace.core.money import cumulative_due
from marketplace.core.states import check_step
from marketplace.ledger import accounts
from marketplace.ledger import service as ledger
from marketplace.ledger.entries import Entry, credit, debit
from marketplace.ledger.errors import InsufficientFunds
from marketplace.matching.models import Contract
from marketplace.quality.errors import VerdictUnknown
from marketplace.quality.queries import AcceptedWork, Revision, lock_accepted
from marketplace.settlement import policy
from marketplace.settlement.errors import AccrualUnknown
from marketplace.settlement.models import Accrual, ContractAccrual
from marketplace.settlement.states import ACCRUAL_STEPS, AccrualState

ContractKey = tuple[UUID, UUID]  # (request, contract)

_EXISTING = text(
    """
    SELECT accrual.* FROM accrual
    JOIN unnest(CAST(:requests AS uuid[]), CAST(:claims AS uuid[]), CAST(:revisions AS int[]))
         AS wanted (request_id, claim_id, revision) USING (request_id, claim_id, revision)
    """
)


@dataclass(frozen=True, slots=True)
class _Deal:
    """A contract whose totals are locked, with its request's dispute window."""

    contract: Contract
    window: timedelta
    totals: ContractAccrual


async def accrue(session: AsyncSession, request_id: UUID, claim_id: UUID, revision: int) -> Accrual:
    """Book what an accepted revision of a claim earns; a second call returns the first one's accrual.

    Raises:
        VerdictUnknown: no verdict accepts this revision.
        InsufficientFunds: the reserve does not hold it; the job waits as a dead letter for more funding.
    """
    wanted = Revision(request_id, claim_id, revision)
    outcome = (await accrue_many(session, [wanted]))[wanted]
    if isinstance(outcome, Accrual):
        return outcome
    raise outcome


async def accrue_many(
    session: AsyncSession, revisions: Sequence[Revision]
) -> dict[Revision, Accrual | VerdictUnknown | InsufficientFunds]:
    """Book what accepted revisions earn, in the given order, each once and as `accrue` does; one's refusal is its own.

    The verdicts are read, and held, in the same transaction, so that they cannot change while they are being paid.
    """
    accepted = await lock_accepted(session, revisions)
    deals = await _lock_deals(session, {(key.request_id, work.contract_id) for key, work in accepted.items()})
    known = await _existing(session, list(accepted)) if accepted else {}
    outcomes: dict[Revision, Accrual | VerdictUnknown | InsufficientFunds] = {}
    fresh = {key: accepted[key] for key in revisions if key in accepted and key not in known}
    left = await _reserves(session, fresh, deals) if fresh else {}
    for key, work in fresh.items():
        deal = deals[key.request_id, work.contract_id]
        outcomes[key] = _take(key, work, deal, left)
    made = [outcome for outcome in outcomes.values() if isinstance(outcome, Accrual)]
    session.add_all(made)
    await session.flush()
    if entries := [_entry(accrual) for accrual in made if accrual.amount_minor > 0]:
        await ledger.post_many(session, entries)
    return {key: outcomes.get(key) or known.get(key) or VerdictUnknown() for key in revisions}


async def _lock_deals(session: AsyncSession, keys: set[ContractKey]) -> dict[ContractKey, _Deal]:
    if not keys:
        return {}
    totals = await _lock_totals(session, sorted(keys))
    found = await session.exec(
        select(Contract, DatasetRequest.release_window_seconds)
        .join(DatasetRequest, col(DatasetRequest.id) == col(Contract.request_id))
        .where(tuple_(col(Contract.request_id), col(Contract.id)).in_(keys))
    )
    return {
        (contract.request_id, contract.id): _Deal(
            contract, timedelta(seconds=window), totals[contract.request_id, contract.id]
        )
        for contract, window in found
    }


async def _lock_totals(session: AsyncSession, keys: list[ContractKey]) -> dict[ContractKey, ContractAccrual]:
    fields = ("request_id", "contract_id", "units", "accrued_minor", "created_at")
    rows = [dict(zip(fields, (*key, 0, 0, now()), strict=True)) for key in keys]
    await session.execute(insert(ContractAccrual).values(rows).on_conflict_do_nothing())
    found = await session.exec(
        select(ContractAccrual)
        .where(tuple_(col(ContractAccrual.request_id), col(ContractAccrual.contract_id)).in_(keys))
        .order_by(col(ContractAccrual.request_id), col(ContractAccrual.contract_id))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return {(totals.request_id, totals.contract_id): totals for totals in found}


async def _existing(session: AsyncSession, revisions: Sequence[Revision]) -> dict[Revision, Accrual]:
    requests, claims, numbers = zip(*revisions, strict=True)
    found = await session.execute(
        select(Accrual).from_statement(_EXISTING), {"requests": requests, "claims": claims, "revisions": numbers}
    )
    return {Revision(row.request_id, row.claim_id, row.revision): row for row in found.scalars()}


async def _reserves(
    session: AsyncSession, fresh: dict[Revision, AcceptedWork], deals: dict[ContractKey, _Deal]
) -> dict[UUID, int]:
    """Return what is left of each request's reserve; all accounts that accruals move are held from here on."""
    held = await ledger.hold(
        session,
        {
            (path, deals[key.request_id, work.contract_id].contract.currency)
            for key, work in fresh.items()
            for path in (accounts.reserved(key.request_id), accounts.accrued(key.request_id, work.contract_id))
        },
    )
    by_path = {path: account.balance_minor or 0 for (path, _), account in held.items()}
    return {key.request_id: by_path[accounts.reserved(key.request_id)] for key in fresh}


def _take(key: Revision, work: AcceptedWork, deal: _Deal, left: dict[UUID, int]) -> Accrual | InsufficientFunds:
    """Return the accrual of accepted work, taken from what is left of the reserve and added to the totals."""
    totals, contract = deal.totals, deal.contract
    amount = cumulative_due(totals.units + work.units, contract.unit_price, totals.accrued_minor)
    if amount > left[key.request_id]:
        path, lacking = accounts.reserved(key.request_id), amount - left[key.request_id]
        detail = f"{path} lacks {lacking} minor units of {contract.currency}"
        return InsufficientFunds(detail, account=path, lacking_minor=lacking, currency=contract.currency)
    left[key.request_id] -= amount
    totals.units += work.units
    totals.accrued_minor += amount
    return _accrual(key, work, deal, amount)


def _accrual(key: Revision, work: AcceptedWork, deal: _Deal, amount_minor: int) -> Accrual:
    contract = deal.contract
    terms = policy.Terms(
        platform_fee_bps=contract.platform_fee_bps,
        to_vendor=contract.vendor_organisation_id is not None,
        pay_workers_directly=contract.pay_workers_directly,
        worker_share_bps=contract.worker_share_bps,
    )
    parts = policy.split(amount_minor, terms)
    return Accrual(
        request_id=key.request_id, claim_id=key.claim_id, revision=key.number, contract_id=contract.id,
        worker_id=work.worker_id, vendor_organisation_id=contract.vendor_organisation_id, currency=contract.currency,
        units=work.units, amount_minor=amount_minor, fee_minor=parts.fee_minor, vendor_minor=parts.vendor_minor,
        worker_minor=parts.worker_minor, release_at=now() + deal.window,
    )  # fmt: skip


def _entry(accrual: Accrual) -> Entry:
    legs = [
        debit(accounts.reserved(accrual.request_id), accrual.amount_minor),
        credit(accounts.accrued(accrual.request_id, accrual.contract_id), accrual.amount_minor),
    ]
    key = f"accrue:{accrual.claim_id}:{accrual.revision}"
    return Entry(key, "accrue", legs, accrual.currency, facts=facts_of(accrual))


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
    contract_key = (request_id, known.contract_id)
    totals = (await _lock_totals(session, [contract_key]))[contract_key]
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
