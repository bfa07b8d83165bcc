"""The manual rail's own tables. Only its gateway and commands read or write them."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlmodel import Field

from marketplace.core.clock import now
from marketplace.core.tables import Identified, enum_field, json_field, minor_field
from marketplace.payments.bank_file.states import BatchState, LineState
from marketplace.payments.states import Leg


class BankFileObject(Identified, table=True):
    """What the rail was told: payees, transfers, reversals, and the operator's own movements (as `charge`).

    `amount_minor` is what it did to our balance on the rail, `value_on` the bank's day of a movement. Never changed.
    """

    __tablename__ = "bank_file_object"
    __table_args__ = (
        UniqueConstraint("kind", "ref"),
        UniqueConstraint("key"),
        Index(None, "currency", postgresql_include=["amount_minor"]),
    )

    kind: Leg = enum_field(Leg, "kind")
    ref: str
    key: str
    payee_ref: str = ""
    currency: str = Field(default="", max_length=3)
    amount_minor: int = minor_field(0)
    value_on: date | None = None


class BankFileBatch(Identified, table=True):
    """A file for the bank. `sha256` and `signature` are of its exact bytes, set when the second person releases it."""

    __tablename__ = "bank_file_batch"

    currency: str = Field(max_length=3)
    state: BatchState = enum_field(BatchState, "state", BatchState.DRAFT)
    line_count: int = 0
    sum_minor: int = minor_field(0)
    made_by: str
    released_by: str | None = None
    released_at: datetime | None = None
    exported_at: datetime | None = None
    settled_at: datetime | None = None
    sha256: str | None = None
    signature: str | None = None


class BankFileLine(Identified, table=True):
    """One payment: the payout leg's object. `ref` is the payout; the bank details are those of the day it was asked."""

    __tablename__ = "bank_file_line"
    __table_args__ = (
        CheckConstraint("amount_minor > 0", name="amount_positive"),
        UniqueConstraint("ref"),
        Index(None, "batch_id", "id"),
        Index(None, "changed_at"),
        Index("ix_bank_file_line_queue", "currency", "id", postgresql_where=text("state = 'queued'")),
    )

    ref: str
    payee_ref: str
    currency: str = Field(max_length=3)
    amount_minor: int = minor_field()
    holder_name: str
    bank_code: str
    account_sealed: bytes
    account_tail: str
    state: LineState = enum_field(LineState, "state", LineState.QUEUED)
    batch_id: UUID | None = Field(default=None, foreign_key="bank_file_batch.id")
    bank_reference: str | None = None
    reason: str | None = None
    paid_on: date | None = None
    returned_on: date | None = None
    changed_at: datetime = Field(default_factory=now)


class BankFileImport(Identified, table=True):
    """A result file of the bank, once by its hash; `report` names each row and what became of it. Never changed.

    `stated_minor` is the bank's closing balance of the day `stated_on`, when the file tells it.
    """

    __tablename__ = "bank_file_import"
    __table_args__ = (UniqueConstraint("sha256"), Index(None, "currency", "stated_on"))

    sha256: str
    imported_by: str
    currency: str = Field(max_length=3)
    applied: int
    repeated: int
    refused: int
    report: list[dict[str, Any]] = json_field()
    stated_minor: int | None = minor_field(default=None, nullable=True)
    stated_on: date | None = None
