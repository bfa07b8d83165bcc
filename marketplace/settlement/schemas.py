"""Commands and views of settlement. Amounts are integers in minor units of the currency."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from marketplace.payments.schemas import Amount


class Fund(BaseModel):
    """Reserve prepaid money for a request."""

    amount_minor: Amount


class RequestMoneyView(BaseModel):
    """Where a request's money is; `spent` is what is accrued, released and paid on top of it to reach a minimum.

    funded = reserved + spent + refunded.
    """

    request_id: UUID
    currency: str
    funded_minor: int
    reserved_minor: int
    accrued_minor: int
    released_minor: int
    minimum_pay_minor: int
    spent_minor: int
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
