"""Tables of matching."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, LargeBinary, UniqueConstraint
from sqlmodel import Field

from marketplace.core.tables import OfRequest, enum_field, json_field, minor_field
from marketplace.matching.states import Assignment, BidState, ContractState


class Bid(OfRequest, table=True):
    """A vendor's offer. Until the deadline only `sealed` (ciphertext) and `commitment` (its hash) are there.

    `opened` holds a `schemas.OpenedTerms` from the deadline on, `score` a `schemas.BidScore`. A withdrawn bid's
    ciphertext is emptied, so that its terms can never be read again.
    """

    __tablename__ = "bid"
    __table_args__ = (
        UniqueConstraint("request_id", "vendor_organisation_id"),
        Index(None, "vendor_organisation_id", "id"),
    )

    vendor_organisation_id: UUID
    state: BidState = enum_field(BidState, "state", BidState.SEALED)
    sealed: bytes = Field(sa_type=LargeBinary)
    commitment: str
    opened: dict[str, Any] | None = json_field(default=None, nullable=True)
    score: dict[str, Any] | None = json_field(default=None, nullable=True)


class Award(OfRequest, table=True):
    """The decision on a request's bids: by whom or what, by which formula, with the reasons for each bid."""

    __tablename__ = "award"
    __table_args__ = (UniqueConstraint("request_id"),)

    decided_by: str
    formula: dict[str, Any] = json_field()
    note: str = ""
    reasons: list[dict[str, Any]] = json_field()


class Contract(OfRequest, table=True):
    """What an award makes per vendor, and one for the open crowd (`vendor_organisation_id` is null).

    It covers the items at positions `first_position` up to, not including, `end_position`. `unit_price` is per accepted
    answer, at `PRICE_SCALE`, platform fee included; of what is left after the fee, `worker_share_bps` go to the worker
    when `pay_workers_directly`, else all goes to the vendor.
    """

    __tablename__ = "contract"
    __table_args__ = (
        CheckConstraint("unit_price > 0", name="price_positive"),
        CheckConstraint("end_position > first_position", name="positions_in_order"),
        Index(None, "vendor_organisation_id", "id"),
    )

    vendor_organisation_id: UUID | None = None
    first_position: int
    end_position: int
    unit_price: int = minor_field()
    currency: str = Field(max_length=3)
    platform_fee_bps: int
    worker_share_bps: int
    pay_workers_directly: bool
    assignment: Assignment = enum_field(Assignment, "assignment", Assignment.OPEN)
    delivery_at: datetime
    state: ContractState = enum_field(ContractState, "state", ContractState.ACTIVE)
