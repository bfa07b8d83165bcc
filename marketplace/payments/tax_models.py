"""Tables of tax: in which month a payout counts, which months are filed, what waits for a decision, and forms."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, UniqueConstraint
from sqlmodel import Field

from marketplace.core.tables import Identified, Timed, enum_field, minor_field
from marketplace.payments.states import PayeeKind, TaxFormState, TaxTaskState


class TaxedPayout(Timed, table=True):
    """The month (YYYY-MM, by the clock of the table's place) in which an authority counts a payout as income."""

    __tablename__ = "taxed_payout"
    __table_args__ = (Index(None, "authority", "month"),)

    payout_id: UUID = Field(primary_key=True, foreign_key="payout.id")
    authority: str = Field(max_length=32)
    month: str = Field(max_length=7)


class TaxFiling(Timed, table=True):
    """A month whose withheld tax was reported to the authority; never changed once written."""

    __tablename__ = "tax_filing"

    authority: str = Field(primary_key=True, max_length=32)
    month: str = Field(primary_key=True, max_length=7)
    filed_at: datetime
    filed_by: UUID


class TaxTask(Identified, table=True):
    """Tax of a payout that came back after its month was filed: a person decides whether it is kept or given back."""

    __tablename__ = "tax_task"
    __table_args__ = (
        UniqueConstraint("payout_id"),
        CheckConstraint("tax_minor > 0", name="tax_positive"),
        Index(None, "state", "id"),
    )

    payout_id: UUID = Field(foreign_key="payout.id")
    authority: str = Field(max_length=32)
    month: str = Field(max_length=7)
    currency: str = Field(max_length=3)
    tax_minor: int = minor_field()
    state: TaxTaskState = enum_field(TaxTaskState, "state", TaxTaskState.OPEN)
    decided_at: datetime | None = None
    decided_by: UUID | None = None
    reason: str | None = None


class TaxForm(Identified, table=True):
    """A payee's tax form in the object store, by the hash of its content; counts once the operator verified it."""

    __tablename__ = "tax_form"
    __table_args__ = (
        CheckConstraint("valid_until IS NULL OR valid_from <= valid_until", name="validity"),
        Index(None, "owner_id", "id"),
        Index(None, "state", "id"),
    )

    kind: PayeeKind = enum_field(PayeeKind, "kind")
    owner_id: UUID
    form_type: str = Field(max_length=40)
    valid_from: date
    valid_until: date | None = None
    filename: str = Field(max_length=200)
    media_type: str = Field(max_length=100)
    size_bytes: int = Field(sa_type=BigInteger)
    sha256: str = Field(max_length=64)
    object_key: str
    uploaded_by: UUID
    state: TaxFormState = enum_field(TaxFormState, "state", TaxFormState.UPLOADED)
    decided_at: datetime | None = None
    decided_by: UUID | None = None
    reason: str | None = None
