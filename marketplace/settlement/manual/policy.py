"""The table of legs of each kind of posting by hand, and what may be touched by hand at all. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from marketplace.core.money import largest_remainder
from marketplace.ledger import accounts
from marketplace.ledger.entries import Leg, credit, debit
from marketplace.ledger.states import Side
from marketplace.settlement.manual.errors import (
    AccountNotByHand,
    ClawBackTooLarge,
    EntryReferenceWrong,
    InOwnFavour,
    NotReleased,
    ReversalRefused,
)
from marketplace.settlement.manual.schemas import (
    FreePosting,
    FromBank,
    PromoBonus,
    ProviderEntry,
    Sweep,
    TaxRemitted,
    WriteOff,
)

OF_A_PERSON_OR_ORGANISATION: Final = frozenset({"receivable", "org_cash", "vendor", "worker"})
_NAMED: Final = frozenset({"psp", "suspense", "bank", "tax"})
_SINGLE: Final = frozenset({"platform_fee", "rounding", "psp_fee", "bad_debt", "promo"})
# Made by a person's act alone, so that no saga, accrual or request counts on them.
REVERSIBLE: Final = frozenset({
    "manual", "write_off", "claw_back", "sweep", "tax_remitted", "bonus",
})  # fmt: skip
# By the part of a kind before its dot: whose machine the transaction belongs to, and what to do instead.
_MACHINES: Final[Mapping[str, str]] = {
    "topup": "it belongs to a charge at the provider: refund the top-up instead",
    "refund": "it belongs to a refund's saga, which books its own failure",
    "payout": "it belongs to a payout's saga, which books its own return and restores the payee",
    "fund": "it is a request's reserve: cancel or close the request instead",
    "close": "it is a request's closing: the enterprise funds anew",
    "accrue": "it is an accrual, whose way ends in release or in being taken back: uphold a dispute instead",
    "unaccrue": "it is an accrual that was taken back: the work is accepted anew instead",
    "release": "it is an accrual's release: propose a claw_back instead",
    "reverse": "it is a reversal: propose the original posting again",
}
_OF_OTHERS: Final = "it belongs to a flow that a machine drives"


@dataclass(frozen=True, slots=True)
class Released:
    """What an accrual gave, in minor units, and to whom."""

    fee_minor: int
    vendor_minor: int
    worker_minor: int


@dataclass(frozen=True, slots=True)
class Debtor:
    """A payee who gives back: what of, what their account holds, and the name under which the rest is owed."""

    owner_id: UUID
    account: str
    part_minor: int
    balance_minor: int


def manual_legs(terms: FreePosting) -> list[Leg]:
    """Return free legs, once each account may be touched by hand and a provider's leg names its entry.

    Raises:
        AccountNotByHand: an account's kind belongs to a machine, or its path is not whole.
        EntryReferenceWrong: a provider's account without an entry, several, or an entry without such an account.
    """
    for leg in terms.legs:
        _check_by_hand(leg.account)
    at_provider = [leg for leg in terms.legs if leg.account.startswith("psp:")]
    if len(at_provider) != (terms.provider_entry is not None):
        raise EntryReferenceWrong
    side = {Side.DEBIT: debit, Side.CREDIT: credit}
    return [side[leg.side](leg.account, leg.amount_minor) for leg in terms.legs]


def _check_by_hand(path: str) -> None:
    name, _, owner = path.partition(":")
    if name in _SINGLE and not owner:
        return
    if name in _NAMED and owner:
        return
    if name in OF_A_PERSON_OR_ORGANISATION and _is_uuid(owner):
        return
    if name in _SINGLE | _NAMED | OF_A_PERSON_OR_ORGANISATION:
        raise AccountNotByHand(f"{path!r} is no whole account: {name} is one alone, or has a name or id behind it.")
    raise AccountNotByHand(f"{name!r} is moved by its own flow only, never by hand.", account=path)


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def owners_of(legs: list[Leg]) -> dict[str, UUID]:
    """Return who stands behind the legs' accounts of persons and organisations, by path."""
    parts = [(leg.path, *leg.path.split(":")) for leg in legs]
    return {path: UUID(owner[0]) for path, name, *owner in parts if name in OF_A_PERSON_OR_ORGANISATION}


def check_not_own(legs: list[Leg], own: Collection[UUID]) -> None:
    """Raise `InOwnFavour` when a leg is on the account of the person, or of a company that they act for."""
    if not set(own).isdisjoint(owners_of(legs).values()):
        raise InOwnFavour


def write_off_legs(terms: WriteOff) -> list[Leg]:
    """Bad debt against the receivable."""
    return [
        debit(accounts.BAD_DEBT, terms.amount_minor),
        credit(accounts.receivable(terms.debtor_id), terms.amount_minor),
    ]


def sweep_legs(terms: Sweep) -> list[Leg]:
    """Our bank against our balance at the provider."""
    return [
        debit(accounts.bank(terms.bank), terms.amount_minor),
        credit(accounts.psp(terms.provider), terms.amount_minor),
    ]


def tax_remitted_legs(terms: TaxRemitted) -> list[Leg]:
    """The withheld tax against where it was paid from."""
    paid_from = terms.paid_from
    source = accounts.bank(paid_from.bank) if isinstance(paid_from, FromBank) else accounts.psp(paid_from.provider)
    return [debit(accounts.tax(terms.authority), terms.amount_minor), credit(source, terms.amount_minor)]


def promo_bonus_legs(terms: PromoBonus) -> list[Leg]:
    """Our cost against what we owe the worker."""
    return [debit(accounts.PROMO, terms.amount_minor), credit(accounts.worker(terms.worker_id), terms.amount_minor)]


def claw_back_parts(released: Released, amount_minor: int | None, *, with_fee: bool) -> Released:
    """Return what each gives back: the payees in proportion to what they were given, the fee likewise, rounded down.

    Raises:
        NotReleased: the payees were given nothing.
        ClawBackTooLarge: more than they were given.
    """
    given = {"vendor": released.vendor_minor, "worker": released.worker_minor}
    total = sum(given.values())
    if total == 0:
        raise NotReleased("Its payees were given nothing.")
    taken = total if amount_minor is None else amount_minor
    if taken > total:
        raise ClawBackTooLarge(f"Its payees were given {total} minor units.", released_minor=total)
    parts = largest_remainder(taken, given)
    fee = released.fee_minor * taken // total if with_fee else 0
    return Released(fee, parts["vendor"], parts["worker"])


def claw_back_legs(organisation_id: UUID, fee_minor: int, debtors: list[Debtor]) -> list[Leg]:
    """What the payees' balances hold is taken from them, the rest they owe; all of it goes to the enterprise's cash."""
    legs = [debit(accounts.PLATFORM_FEE, fee_minor)]
    for debtor in debtors:
        held = min(debtor.balance_minor, debtor.part_minor)
        legs.append(debit(debtor.account, held))
        legs.append(debit(accounts.receivable(debtor.owner_id), debtor.part_minor - held))
    total = sum(leg.amount_minor for leg in legs)
    return [*legs, credit(accounts.org_cash(organisation_id), total)]


def mirror(legs: list[Leg]) -> list[Leg]:
    """Return the legs that undo these."""
    return [Leg(leg.path, -leg.amount_minor) for leg in legs]


def check_reversible(kind: str) -> None:
    """Raise `ReversalRefused`, naming the flow and what to do instead, unless a kind of transaction is made by hand."""
    if kind not in REVERSIBLE:
        why = _MACHINES.get(kind.split(".", maxsplit=1)[0], _OF_OTHERS)
        raise ReversalRefused(f"{kind} cannot be reversed by hand: {why}.", txn_kind=kind)


def entry_facts(entry: ProviderEntry | None) -> dict[str, str]:
    """Return the facts by which reconciliation finds the provider's entry."""
    return {} if entry is None else {"object": entry.object.value, "ref": entry.ref}
