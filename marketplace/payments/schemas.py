"""Commands and views of payments. Amounts are integers in minor units of the currency."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from marketplace.payments.states import ChargeState, PayeeState, PayoutState

MAX_AMOUNT_MINOR = 10**14
Amount = Annotated[int, Field(gt=0, le=MAX_AMOUNT_MINOR, description="Minor units (fen, cent, đồng)")]
Reason = Annotated[str, Field(min_length=3, max_length=1000, description="Why; it stands in the audit trail")]
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


class NextActionKind(StrEnum):
    """What the payer does: choose a method of payment and confirm it, go to a page, or scan a code."""

    CONFIRM = "confirm"
    REDIRECT = "redirect"
    QR_CODE = "qr_code"


class NextAction(BaseModel):
    """What a top-up waits for its payer to do. It serves the payer alone: it is asked of the provider, never kept.

    `client_secret` with `publishable_key` is for the provider's script in the payer's browser, which offers the
    methods of payment; `url` is a page to go to, `qr_code` what to draw as a code, `qr_code_url` a picture of it.
    """

    kind: NextActionKind
    client_secret: str | None = None
    publishable_key: str | None = None
    url: str | None = None
    qr_code: str | None = None
    qr_code_url: str | None = None


class TopUpView(BaseModel):
    """A top-up and where it stands; one alone tells the payer's next action while it is `pending`."""

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
    next_action: NextAction | None = None


class PayeeView(BaseModel):
    """A payee as the provider knows them: money can be paid out when the state is `ready`.

    `requirements_due` is what the provider has yet to be told, in its own words; null when it was not asked or did not
    answer. `is_known` says that the provider has an account for the payee.
    """

    id: UUID
    provider: str
    state: PayeeState
    is_known: bool
    requirements_due: list[str] | None
    failure_code: str | None


class OnboardingView(BaseModel):
    """Where the payee tells the provider who they are: a page that serves once, for minutes.

    Null with the state `new` while the provider has no account for the payee yet: ask again in a moment.
    """

    state: PayeeState
    url: str | None


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
