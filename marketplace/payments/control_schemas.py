"""Commands and views of control over payouts. Amounts are integers in minor units of the currency."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from marketplace.payments.control_states import CircuitState, HoldReason, PauseScope, PayoutSchedule
from marketplace.payments.schemas import Amount, Currency
from marketplace.payments.states import PayeeState

Name = Annotated[str, Field(min_length=1, max_length=140, description="As the bank knows it")]
BankCode = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9]{2,34}$", description="BIC, CNAPS code, routing number or sort code")
]
AccountNumber = Annotated[str, Field(pattern=r"^[A-Za-z0-9]{4,34}$", description="IBAN or account number, no spaces")]
MAX_CURRENCIES = 20


class SetPayoutMethod(BaseModel):
    """Where money in one currency goes; replaces what was there, and begins the cooling time."""

    model_config = ConfigDict(extra="forbid")

    currency: Currency
    holder_name: Name
    bank_name: Annotated[str, Field(max_length=140)] = ""
    bank_code: BankCode
    account_number: AccountNumber


class PayoutMethodView(BaseModel):
    """Where money in one currency goes; of the account's number only the end is shown.

    Until `cooling_until` (None when it is over) nothing is paid out, to this account or to the one before.
    """

    provider: str
    currency: str
    holder_name: str
    bank_name: str
    bank_code: str
    account_last4: str
    changed_at: datetime
    cooling_until: datetime | None


class PayoutPreferences(BaseModel):
    """When cleared money is paid out, and from which amount on in each currency (no entry: the provider's minimum)."""

    model_config = ConfigDict(extra="forbid")

    schedule: PayoutSchedule = PayoutSchedule.MANUAL
    minimums_minor: Annotated[dict[Currency, Amount], Field(max_length=MAX_CURRENCIES)] = Field(default_factory=dict)


class HoldView(BaseModel):
    """Why money does not move now: in words of a program and of a person, since when, and until when if that is known.

    The `detail` of a pause is the operator's reason.
    """

    model_config = ConfigDict(from_attributes=True)

    reason: HoldReason
    detail: str
    since: datetime | None
    until: datetime | None


class MoneyStatus(BaseModel):
    """Whether money moves, and if not, why. `payee_state` is None for enterprises, and before the provider was asked.

    A payee who is `lapsed` has to settle something with the provider; payouts go on by themselves after that.
    """

    provider: str
    payee_state: PayeeState | None
    moving: bool
    holds: list[HoldView]


class Pause(BaseModel):
    """Stop remote calls of a provider (by name), an organisation, or a payee (vendor or worker, by id)."""

    model_config = ConfigDict(extra="forbid")

    scope: PauseScope
    target: Annotated[str, Field(min_length=1, max_length=64)]
    reason: Annotated[str, Field(min_length=3, max_length=1000, description="Why; those who are stopped read it")]


class PauseView(BaseModel):
    """A pause, and whether it still stands."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    scope: PauseScope
    target: str
    reason: str
    by: str
    created_at: datetime
    lifted_at: datetime | None
    lifted_by: str | None


class ProviderHealth(BaseModel):
    """How a provider does: its circuit, calls whose outcome is open, and the pause that stands, if any."""

    provider: str
    circuit: CircuitState
    failures: int
    opened_at: datetime | None
    retry_at: datetime | None
    last_error: str | None
    calls_sending: int
    calls_unknown: int
    oldest_open_call_at: datetime | None
    waiting_payouts: int
    pause: PauseView | None
