"""Commands and views of the manual rail. Amounts are integers in minor units of the currency."""

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from marketplace.payments.bank_file.states import BatchState, LineState, MovementKind
from marketplace.payments.schemas import Amount, Currency, Reason


class MakeBankFile(BaseModel):
    """Put all payouts of a currency that wait into a file."""

    model_config = ConfigDict(extra="forbid")

    currency: Currency


class MoveRailMoney(BaseModel):
    """Book what the operator or the bank did with the operator's own money on the rail, on the bank's day."""

    model_config = ConfigDict(extra="forbid")

    kind: MovementKind
    bank: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="Your own account at the other end")]
    amount_minor: Amount
    currency: Currency
    value_on: date
    reason: Reason


class MovementView(BaseModel):
    """A movement as booked; `amount_minor` is negative when the rail's balance fell."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    amount_minor: int
    currency: str
    value_on: date
    created_at: datetime


class QueueView(BaseModel):
    """What waits for a file, in one currency."""

    currency: str
    count: int
    sum_minor: int


class BankFileView(BaseModel):
    """A bank file and where it stands."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    currency: str
    state: BatchState
    line_count: int
    sum_minor: int
    made_by: str
    released_by: str | None
    released_at: datetime | None
    exported_at: datetime | None
    settled_at: datetime | None
    sha256: str | None
    created_at: datetime


class BankFileLineView(BaseModel):
    """One payment of a file, and what the bank said of it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    ref: str
    batch_id: UUID | None
    state: LineState
    amount_minor: int
    currency: str
    holder_name: str
    bank_code: str
    account_tail: str
    bank_reference: str | None
    reason: str | None
    paid_on: date | None
    returned_on: date | None
    changed_at: datetime


class BankResultView(BaseModel):
    """What became of a result file: rows applied, rows known before, rows refused; the report names each row."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    sha256: str
    currency: str
    applied: int
    repeated: int
    refused: int
    report: list[dict[str, Any]]
    stated_minor: int | None
    stated_on: date | None
    created_at: datetime


class RailBalanceView(BaseModel):
    """Our money on the rail in one currency.

    `free_minor` is what a further file may take. `stated_minor` is the bank's newest closing balance and
    `difference_minor` by how much it is more than our books of that day say; null until a result file told one.
    """

    currency: str
    booked_minor: int
    free_minor: int
    stated_minor: int | None
    stated_on: date | None
    difference_minor: int | None
