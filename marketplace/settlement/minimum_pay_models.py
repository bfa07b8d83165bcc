"""Table of minimum pay."""

from uuid import UUID

from sqlalchemy import CheckConstraint, UniqueConstraint
from sqlmodel import Field

from marketplace.core.tables import Identified, enum_field, minor_field
from marketplace.settlement.states import MinimumPayAction, PaidFrom


class MinimumPay(Identified, table=True):
    """A worker who earned less on a closed request than the minimum of the time it took; never changed once written.

    `region`, `source` and `action` are those of the operator's table on that day; `topped_up_minor` is what was paid on
    top, from where `paid_from` says (None: nothing was paid).
    """

    __tablename__ = "minimum_pay"
    __table_args__ = (
        CheckConstraint("topped_up_minor BETWEEN 0 AND minimum_minor - earned_minor", name="no_more_than_missing"),
        UniqueConstraint("request_id", "worker_id"),
    )

    request_id: UUID
    worker_id: UUID
    region: str = Field(max_length=6)
    source: str
    action: MinimumPayAction = enum_field(MinimumPayAction, "action")
    currency: str = Field(max_length=3)
    seconds: float
    earned_minor: int = minor_field()
    minimum_minor: int = minor_field()
    topped_up_minor: int = minor_field(0)
    paid_from: PaidFrom | None = enum_field(PaidFrom, "paid_from", nullable=True)
