"""Proposals of postings by hand: one shape of terms a kind. Amounts are integers in minor units of the currency."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from marketplace.ledger.states import Side
from marketplace.payments.schemas import Amount, Currency
from marketplace.payments.states import Leg as ProviderObject
from marketplace.settlement.manual.states import ManualKind, ProposalState

Reason = Annotated[
    str,
    Field(
        min_length=3, max_length=1000, description="Why; on the audit trail and on the statement of whose money moves"
    ),
]
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]
Path = Annotated[str, Field(max_length=160, pattern=r"^[a-z_]+(:[A-Za-z0-9_.-]{1,64})?$", examples=["platform_fee"])]
MAX_LEGS = 20


class _Terms(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProviderEntry(_Terms):
    """An entry of a payment provider's books, as the reconciliation names it: kind of object, and reference."""

    object: ProviderObject
    ref: Annotated[str, Field(min_length=1, max_length=255)]


class ManualLeg(_Terms):
    """One side of a free posting."""

    account: Path
    side: Side
    amount_minor: Amount


class FreePosting(_Terms):
    """Free legs between accounts that no machine drives; a leg at a provider names the provider's entry."""

    kind: Literal[ManualKind.MANUAL]
    currency: Currency
    legs: Annotated[list[ManualLeg], Field(min_length=2, max_length=MAX_LEGS)]
    provider_entry: ProviderEntry | None = None


class Reversal(_Terms):
    """The exact mirror of an earlier transaction that was made by hand."""

    kind: Literal[ManualKind.REVERSE]
    txn_id: UUID


class WriteOff(_Terms):
    """Give up what an organisation or payee owes us: bad debt against the receivable."""

    kind: Literal[ManualKind.WRITE_OFF]
    debtor_id: UUID
    amount_minor: Amount
    currency: Currency


class ClawBack(_Terms):
    """Take released pay for one accrual back from its payees, and give it to the enterprise.

    Without an amount all that the payees were given; what their balances do not hold they owe us. `with_fee` gives
    back the platform's fee too, in proportion.
    """

    kind: Literal[ManualKind.CLAW_BACK]
    request_id: UUID
    claim_id: UUID
    revision: Annotated[int, Field(ge=1)]
    amount_minor: Amount | None = None
    with_fee: bool


class Sweep(_Terms):
    """Money of ours that went from a provider to our own bank account."""

    kind: Literal[ManualKind.SWEEP]
    provider: Name
    bank: Name
    amount_minor: Amount
    currency: Currency
    provider_entry: ProviderEntry


class FromBank(_Terms):
    """Paid from our bank account."""

    source: Literal["bank"]
    bank: Name


class FromProvider(_Terms):
    """Paid from our balance at a provider."""

    source: Literal["provider"]
    provider: Name
    provider_entry: ProviderEntry


class TaxRemitted(_Terms):
    """Withheld tax that was paid to its authority."""

    kind: Literal[ManualKind.TAX_REMITTED]
    authority: Name
    amount_minor: Amount
    currency: Currency
    paid_from: Annotated[FromBank | FromProvider, Field(discriminator="source")]


class PromoBonus(_Terms):
    """A bonus to a worker at the platform's cost."""

    kind: Literal[ManualKind.PROMO_BONUS]
    worker_id: UUID
    amount_minor: Amount
    currency: Currency


Terms = Annotated[
    FreePosting | Reversal | WriteOff | ClawBack | Sweep | TaxRemitted | PromoBonus, Field(discriminator="kind")
]


class ProposePosting(_Terms):
    """A posting that another operator is to approve."""

    terms: Terms
    reason: Reason


class DecidePosting(_Terms):
    """Why a proposal is approved or rejected."""

    reason: Reason


class ManualPostingView(BaseModel):
    """A proposal, who proposed and who decided it, and the transaction that it became."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    kind: ManualKind
    terms: dict[str, Any]
    reason: str
    state: ProposalState
    proposed_by: str
    created_at: datetime
    expires_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    decision_reason: str | None
    txn_id: UUID | None
