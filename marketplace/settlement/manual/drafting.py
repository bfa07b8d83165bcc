"""From the terms of a proposal, and the books as they are, to the entry that would be posted."""

from typing import Any, Final
from uuid import UUID

from pydantic import TypeAdapter
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.states import RequestState
from marketplace.core.actor import OrganisationKind
from marketplace.core.money import Money
from marketplace.identity.queries import organisations_by_id, people_by_id
from marketplace.ledger import accounts, journal
from marketplace.ledger import queries as ledger
from marketplace.ledger.entries import Entry, Leg
from marketplace.ledger.errors import InsufficientFunds
from marketplace.ledger.service import lock_balances
from marketplace.settlement.errors import AccrualUnknown
from marketplace.settlement.manual import policy
from marketplace.settlement.manual.errors import (
    AlreadyReversed,
    NotReleased,
    PartyUnknown,
    ReceivableTooSmall,
    ReversalRefused,
    TxnUnknown,
)
from marketplace.settlement.manual.models import ManualPosting
from marketplace.settlement.manual.schemas import (
    ClawBack,
    FreePosting,
    FromProvider,
    PromoBonus,
    Reversal,
    Sweep,
    TaxRemitted,
    Terms,
    WriteOff,
)
from marketplace.settlement.models import Accrual
from marketplace.settlement.states import AccrualState

BONUS: Final = "bonus"
_FACTS_OF_A_REVERSAL: Final = ("object", "ref", "request_id")
_TERMS: Final = TypeAdapter[Any](Terms)
_KIND_OF_OWNER: Final = {
    "org_cash": {OrganisationKind.ENTERPRISE},
    "vendor": {OrganisationKind.VENDOR},
    "worker": set[OrganisationKind](),
    "receivable": {OrganisationKind.ENTERPRISE, OrganisationKind.VENDOR},
}
_PEOPLE: Final = frozenset({"worker", "receivable"})
_ENDED: Final = frozenset({RequestState.SETTLED, RequestState.CLOSED, RequestState.CANCELLED})


def posting_key(proposal_id: UUID) -> str:
    """Return the ledger's key of a proposal: it is posted once, however often it is approved."""
    return f"manual:{proposal_id}"


async def entry_of(session: AsyncSession, proposal: ManualPosting) -> Entry:
    """Return the entry a proposal stands for, by the books as they are now; locks what it depends on.

    Raises:
        AccountNotByHand, EntryReferenceWrong, PartyUnknown, AccrualUnknown, TxnUnknown: the terms name wrong things.
        ReversalRefused, AlreadyReversed, ReceivableTooSmall, NotReleased, ClawBackTooLarge: the books do not allow it.
        InsufficientFunds: a provider's account does not hold what is to be swept.
    """
    match _TERMS.validate_python(proposal.terms):
        case FreePosting() as terms:
            legs, facts = policy.manual_legs(terms), policy.entry_facts(terms.provider_entry)
            entry = _entry(proposal, "manual", legs, terms.currency, facts)
        case Reversal() as terms:
            entry = await _reversal(session, proposal, terms)
        case WriteOff() as terms:
            await _check_owed(session, terms)
            entry = _entry(proposal, "write_off", policy.write_off_legs(terms), terms.currency)
        case ClawBack() as terms:
            entry = await _claw_back(session, proposal, terms)
        case Sweep() as terms:
            await _check_held(session, terms)
            facts = policy.entry_facts(terms.provider_entry)
            entry = _entry(proposal, "sweep", policy.sweep_legs(terms), terms.currency, facts)
        case TaxRemitted() as terms:
            source = terms.paid_from
            facts = policy.entry_facts(source.provider_entry if isinstance(source, FromProvider) else None)
            entry = _entry(proposal, "tax_remitted", policy.tax_remitted_legs(terms), terms.currency, facts)
        case PromoBonus() as terms:
            entry = _entry(proposal, BONUS, policy.promo_bonus_legs(terms), terms.currency)
    entry.net()  # raises what the ledger would refuse, also for a proposal
    await _check_owners(session, entry.legs)
    return entry


def _entry(
    proposal: ManualPosting,
    kind: str,
    legs: list[Leg],
    currency: str,
    facts: dict[str, Any] | None = None,
    reverses: UUID | None = None,
) -> Entry:
    told = {"proposal_id": str(proposal.id), "reason": proposal.reason} | (facts or {})
    return Entry(posting_key(proposal.id), kind, legs, currency, facts=told, reverses=reverses)


async def _reversal(session: AsyncSession, proposal: ManualPosting, terms: Reversal) -> Entry:
    txn = await journal.posted_txn(session, terms.txn_id)
    if txn is None:
        raise TxnUnknown
    policy.check_reversible(txn.kind)
    if await journal.is_reversed(session, txn.id):
        raise AlreadyReversed
    await _check_reserve_alive(session, txn)
    # A provider's entry that was booked is unbooked by the same name; so the two come to nothing in reconciliation.
    facts: dict[str, Any] = {name: txn.facts[name] for name in _FACTS_OF_A_REVERSAL if name in txn.facts}
    return _entry(proposal, "reverse", policy.mirror(txn.legs), txn.currency, facts, reverses=txn.id)


async def _check_reserve_alive(session: AsyncSession, txn: journal.PostedTxn) -> None:
    """A reserve that has been given back takes nothing more: nobody would ever give that back."""
    if not any(leg.path.startswith("reserved:") for leg in txn.legs):
        return
    request = await session.get_one(
        DatasetRequest, UUID(txn.facts["request_id"]), with_for_update=True, populate_existing=True
    )
    if request.state in _ENDED:
        why = "its request has ended; propose a manual posting from the worker to the enterprise's cash"
        raise ReversalRefused(f"{txn.kind} cannot be reversed: {why}.", txn_kind=txn.kind)


async def _check_owed(session: AsyncSession, terms: WriteOff) -> None:
    owed = await ledger.balance(session, accounts.receivable(terms.debtor_id), terms.currency)
    if owed < terms.amount_minor:
        raise ReceivableTooSmall(f"{Money(max(owed, 0), terms.currency)} are owed.", owed_minor=owed)


async def _check_held(session: AsyncSession, terms: Sweep) -> None:
    path = accounts.psp(terms.provider)
    held = await ledger.balance(session, path, terms.currency)
    if held < terms.amount_minor:
        raise InsufficientFunds(f"{path} holds {Money(held, terms.currency)}.", account=path)


async def _claw_back(session: AsyncSession, proposal: ManualPosting, terms: ClawBack) -> Entry:
    ids = (terms.request_id, terms.claim_id, terms.revision)
    accrual = await session.get(Accrual, ids, with_for_update=True, populate_existing=True)
    if accrual is None:
        raise AccrualUnknown
    if accrual.state is not AccrualState.RELEASED:
        raise NotReleased(f"It is {accrual.state}.", state=str(accrual.state))
    request = await session.get_one(DatasetRequest, accrual.request_id)
    released = policy.Released(accrual.fee_minor, accrual.vendor_minor, accrual.worker_minor)
    parts = policy.claw_back_parts(released, terms.amount_minor, with_fee=terms.with_fee)
    owners = [(accrual.worker_id, accounts.worker(accrual.worker_id), parts.worker_minor)]
    if accrual.vendor_organisation_id is not None:
        vendor_id = accrual.vendor_organisation_id
        owners.append((vendor_id, accounts.vendor(vendor_id), parts.vendor_minor))
    touched = [*(path for _, path, _ in owners), accounts.org_cash(request.organisation_id)]
    held = await lock_balances(session, touched, accrual.currency)
    debtors = [policy.Debtor(owner, path, part, held.get(path, 0)) for owner, path, part in owners]
    legs = policy.claw_back_legs(request.organisation_id, parts.fee_minor, debtors)
    facts = {
        "request_id": str(accrual.request_id), "claim_id": str(accrual.claim_id), "revision": accrual.revision,
    }  # fmt: skip
    return _entry(proposal, "claw_back", legs, accrual.currency, facts)


async def _check_owners(session: AsyncSession, legs: list[Leg]) -> None:
    """Raise `PartyUnknown` when an account's owner is not there, or is of another kind."""
    owners = policy.owners_of(legs)
    organisations = await organisations_by_id(session, owners.values())
    people = await people_by_id(session, owners.values())
    for path, owner in owners.items():
        name = path.split(":", maxsplit=1)[0]
        organisation = organisations.get(owner)
        is_organisation = organisation is not None and organisation.kind in _KIND_OF_OWNER[name]
        if not is_organisation and not (name in _PEOPLE and owner in people):
            raise PartyUnknown(f"{path}: there is nobody behind it.", account=path)
