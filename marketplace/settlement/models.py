"""Tables of settlement."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import Field

from marketplace.core.tables import Timed, enum_field, minor_field
from marketplace.settlement.states import AccrualState


class ContractAccrual(Timed, table=True):
    """The running totals of a contract: rounding is done on them, so that its whole error is half a minor unit."""

    __tablename__ = "contract_accrual"
    __table_args__ = (CheckConstraint("units >= 0 AND accrued_minor >= 0", name="not_negative"),)

    request_id: UUID = Field(primary_key=True)
    contract_id: UUID = Field(primary_key=True)
    units: int = minor_field(0)
    accrued_minor: int = minor_field(0)


class Accrual(Timed, table=True):
    """What one accepted revision of a claim earns, and how it is split; fixed when it is accrued."""

    __tablename__ = "accrual"
    __table_args__ = (
        CheckConstraint("amount_minor = fee_minor + vendor_minor + worker_minor", name="split_adds_up"),
        CheckConstraint("least(fee_minor, vendor_minor, worker_minor) >= 0", name="parts_not_negative"),
        Index(
            "uq_accrual_paid_once", "request_id", "claim_id",
            unique=True, postgresql_where=text("state <> 'taken_back'"),
        ),
        Index("ix_accrual_due", "release_at", postgresql_where=text("state = 'accrued'")),
        Index("ix_accrual_request_id_state", "request_id", "state"),
        Index("ix_accrual_worker", "worker_id", postgresql_where=text("state = 'accrued'")),
        Index("ix_accrual_vendor", "vendor_organisation_id", postgresql_where=text("state = 'accrued'")),
        Index("ix_accrual_worker_all", "worker_id", "claim_id"),
        Index("ix_accrual_vendor_all", "vendor_organisation_id", "claim_id"),
        Index("ix_accrual_released", "released_at"),
    )  # fmt: skip

    request_id: UUID = Field(primary_key=True)
    claim_id: UUID = Field(primary_key=True)
    revision: int = Field(primary_key=True)
    contract_id: UUID
    worker_id: UUID
    vendor_organisation_id: UUID | None = None
    currency: str = Field(max_length=3)
    units: int
    amount_minor: int = minor_field()
    fee_minor: int = minor_field()
    vendor_minor: int = minor_field()
    worker_minor: int = minor_field()
    state: AccrualState = enum_field(AccrualState, "state", AccrualState.ACCRUED)
    release_at: datetime
    released_at: datetime | None = None
