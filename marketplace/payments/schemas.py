"""Commands and views of payments. Amounts are integers in minor units of the currency."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from marketplace.payments.states import ChargeState, PayoutState

MAX_AMOUNT_MINOR = 10**14
Amount = Annotated[int, Field(gt=0, le=MAX_AMOUNT_MINOR, description="Minor units (fen, cent, đồng)")]
Currency = Annotated[str, Field(min_length=3, max_length=3, pattern=r"^[A-Z]{3}$", examples=["CNY"])]


class TopUp(BaseModel):
    """Put money on the organisation's prepaid balance."""

    amount_minor: Amount
    currency: Currency


class AskPayout(BaseModel):
    """Have cleared money paid out; without an amount, all that the provider can pay out."""

    amount_minor: Amount | None = None
    currency: Currency


class PayoutSettings(BaseModel):
    """Whether cleared money is paid out by itself."""

    auto_payout: bool


class TopUpView(BaseModel):
    """A top-up and where it stands."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    organisation_id: UUID
    state: ChargeState
    amount_minor: int
    fee_minor: int
    refunded_minor: int
    currency: str
    failure_code: str | None
    created_at: datetime
    changed_at: datetime


class PayoutView(BaseModel):
    """A payout and where it stands: `gross_minor` was owed, `tax_minor` withheld, `amount_minor` goes to the bank.

    `tax_mode` and `tax_table` say by which rule and which table of rates.
    """

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    state: PayoutState
    gross_minor: int
    tax_minor: int
    amount_minor: int
    tax_mode: str | None
    tax_table: str | None
    currency: str
    failure_code: str | None
    created_at: datetime
    changed_at: datetime
    paid_at: datetime | None
