"""Tables of reviews by sample."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, UniqueConstraint
from sqlmodel import Field

from marketplace.core.tables import OfRequest, Timed, enum_field, json_field
from marketplace.quality.sampling.states import LabelFault, LotState, Part


class ReviewLot(OfRequest, table=True):
    """Labels of a request (of one contract, or all) that a sample decides on.

    `plan` holds a `plans.LotPlan`, fixed with its hash when the lot is opened; `population_sha256` is over the sorted
    ids of all items of the lot, so that the draw can be repeated. `items` and `wrong` count what has been found.
    """

    __tablename__ = "review_lot"
    __table_args__ = (CheckConstraint("0 <= wrong AND wrong <= items", name="wrong_of_items"),)

    contract_id: UUID | None = None
    plan: dict[str, Any] = json_field()
    plan_hash: str
    population_sha256: str
    state: LotState = enum_field(LotState, "state", LotState.OPEN)
    items: int = 0
    wrong: int = 0
    opened_by: str
    closed_at: datetime | None = None


class ReviewItem(Timed, table=True):
    """A drawn item in the order of the draw, with its label as it was then; `is_wrong` once people have agreed."""

    __tablename__ = "review_item"
    __table_args__ = (UniqueConstraint("request_id", "lot_id", "item_id"),)

    request_id: UUID = Field(primary_key=True)
    lot_id: UUID = Field(primary_key=True)
    position: int = Field(primary_key=True)
    item_id: UUID
    label: Any = json_field()
    is_double: bool
    is_wrong: bool | None = None


class ItemReview(Timed, table=True):
    """One person's finding on a drawn item, or their wish to give one (`given_at` is null until they have)."""

    __tablename__ = "item_review"
    __table_args__ = (CheckConstraint("(is_wrong IS NULL) = (given_at IS NULL)", name="given_with_finding"),)

    request_id: UUID = Field(primary_key=True)
    lot_id: UUID = Field(primary_key=True)
    position: int = Field(primary_key=True)
    reviewer_id: UUID = Field(primary_key=True)
    part: Part = enum_field(Part, "part")
    taken_at: datetime
    is_wrong: bool | None = None
    fault: LabelFault | None = enum_field(LabelFault, "fault", nullable=True)
    note: str = ""
    given_at: datetime | None = None
