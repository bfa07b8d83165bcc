"""Commands and views of settlement. Amounts are integers in minor units of the currency."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from marketplace.payments.schemas import Amount
from marketplace.settlement.states import BonusSource


class Fund(BaseModel):
    """Reserve prepaid money for a request."""

    amount_minor: Amount


class GiveBonus(BaseModel):
    """A bonus for a worker with accepted work, who is named as in the request's samples and exports."""

    model_config = ConfigDict(extra="forbid")

    worker: Annotated[str, Field(pattern=r"^w[0-9a-f]{10}$", examples=["w0a1b2c3d4e"])]
    amount_minor: Amount
    paid_from: BonusSource
    reason: Annotated[str, Field(min_length=2, max_length=500, description="The worker reads it")]


class BonusView(BaseModel):
    """A bonus that was given."""

    id: UUID
    request_id: UUID
    worker: str
    amount_minor: int
    currency: str
    paid_from: BonusSource
    reason: str


class UpholdDispute(BaseModel):
    """The work that a disputed delivery is found wrong in, and why; its workers and the enterprise read that."""

    model_config = ConfigDict(extra="forbid")

    claim_ids: Annotated[list[UUID], Field(min_length=1, max_length=100)]
    reason: Annotated[str, Field(min_length=3, max_length=1000)]


class UpheldDisputeView(BaseModel):
    """What became of an upheld dispute: the work that is rejected now, and what is reserved again."""

    request_id: UUID
    claim_ids: list[UUID]
    returned_minor: int
    currency: str


class RequestMoneyView(BaseModel):
    """Where a request's money is; `spent` is what is accrued, released, given as bonuses and paid to reach a minimum.

    `charged_back_minor` went from the reserve when a top-up was disputed at the provider; once that is won it is on the
    prepaid balance. funded = reserved + spent + charged_back + refunded.
    """

    request_id: UUID
    currency: str
    funded_minor: int
    reserved_minor: int
    accrued_minor: int
    released_minor: int
    bonuses_minor: int
    minimum_pay_minor: int
    spent_minor: int
    charged_back_minor: int
    refunded_minor: int


class BalanceView(BaseModel):
    """Money in one currency: free to use or to pay out, held by running requests, and accrued in a dispute window."""

    currency: str
    available_minor: int
    reserved_minor: int
    accrued_minor: int


class EarningsView(BaseModel):
    """A payee's money in one currency: inside the dispute window, cleared for payout, on its way, and paid."""

    currency: str
    pending_minor: int
    cleared_minor: int
    on_the_way_minor: int
    paid_minor: int


class StatementLineView(BaseModel):
    """One movement on a balance; positive when it grew. `facts` name what it was for."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    kind: str
    amount_minor: int
    currency: str
    effective_at: datetime
    facts: dict[str, Any]


class TimelineLeg(BaseModel):
    """One leg of a transaction: debit positive, credit negative, in minor units."""

    account: str
    amount_minor: int
    currency: str


class TimelineVerdict(BaseModel):
    """The verdict that a transaction pays for, with the gates' evidence."""

    id: UUID
    outcome: str
    reason_code: str
    gate_set_version: str
    evidence: dict[str, Any]


class TimelineEntry(BaseModel):
    """One transaction of the ledger in a timeline; `facts` name the claim, contract, payout and so on."""

    id: UUID
    key: str
    kind: str
    effective_at: datetime
    facts: dict[str, Any]
    legs: list[TimelineLeg]
    verdict: TimelineVerdict | None
