"""Tables of invoices: rows that are never changed once written, and the counters that number them without gaps."""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, UniqueConstraint
from sqlmodel import Field

from marketplace.core.tables import Identified, Timed, enum_field, minor_field


class InvoiceCounter(Timed, table=True):
    """The last number given by a legal entity in a year; its row is locked while an invoice takes the next one."""

    __tablename__ = "invoice_counter"

    entity_tax_id: str = Field(primary_key=True, max_length=64)
    year: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    last_number: int = Field(default=0)


class InvoiceKind(StrEnum):
    """An invoice, or a credit note: an invoice of negative amounts that corrects an earlier one."""

    INVOICE = "invoice"
    CREDIT_NOTE = "credit_note"


class LineKind(StrEnum):
    """What a line is for; all but `work` are called as the ledger calls them."""

    WORK = "work"
    BONUS = "bonus"
    CLAW_BACK = "claw_back"
    REVERSE = "reverse"
    MINIMUM_PAY = "minimum_pay"


class Invoice(Identified, table=True):
    """What an enterprise owed for the work that was released to it in one month and currency; paid from its balance.

    Names are copied, as an invoice says what was so when it was issued. `corrects` is a credit note's invoice.
    """

    __tablename__ = "invoice"
    __table_args__ = (
        UniqueConstraint("entity_tax_id", "year", "sequence"),
        UniqueConstraint("entity_tax_id", "number"),
        Index(
            "uq_invoice_period", "entity_tax_id", "organisation_id", "currency", "period_start", "corrects",
            unique=True, postgresql_nulls_not_distinct=True,
        ),
        CheckConstraint("sequence > 0", name="sequence_counts"),
        CheckConstraint("(corrects IS NULL) = (kind = 'invoice')", name="note_corrects"),
        CheckConstraint("(total_minor > 0) = (kind = 'invoice')", name="sign_of_kind"),
        CheckConstraint("total_minor = work_minor + fee_minor", name="adds_up"),
        Index(None, "organisation_id", "id"),
    )  # fmt: skip

    kind: InvoiceKind = enum_field(InvoiceKind, "kind", InvoiceKind.INVOICE)
    corrects: UUID | None = Field(default=None, foreign_key="invoice.id")
    entity_tax_id: str = Field(max_length=64)
    year: int
    sequence: int
    number: str = Field(max_length=40)
    entity_name: str
    entity_address: str
    organisation_id: UUID
    buyer_name: str
    buyer_country: str = Field(max_length=2)
    currency: str = Field(max_length=3)
    period_start: date
    period_end: date
    time_zone: str
    work_minor: int = minor_field()
    fee_minor: int = minor_field()
    total_minor: int = minor_field()
    issued_at: datetime


class InvoiceLine(Timed, table=True):
    """The work of one contract in an invoice: accepted units, what its makers got, and the platform's fee.

    Beside work stand bonuses and corrections, a line for each transaction of the ledger.
    """

    __tablename__ = "invoice_line"
    __table_args__ = (CheckConstraint("amount_minor = work_minor + fee_minor", name="adds_up"),)

    invoice_id: UUID = Field(primary_key=True, foreign_key="invoice.id")
    position: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    kind: LineKind = enum_field(LineKind, "kind", LineKind.WORK)
    request_id: UUID
    request_title: str
    contract_id: UUID | None = None
    txn_id: UUID | None = None
    units: int = Field(sa_type=BigInteger)
    work_minor: int = minor_field()
    fee_minor: int = minor_field()
    amount_minor: int = minor_field()
