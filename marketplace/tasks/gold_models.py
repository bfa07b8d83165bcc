"""Tables that say which gold is dealt: gold that came later, and gold that rests."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Uuid
from sqlmodel import Field

from marketplace.core.tables import Timed


class GoldAddition(Timed, table=True):
    """Gold that joined a request while work went on: it stands behind all earlier gold in every worker's order.

    `origin_id` is the task it is a copy of; the workers in `met` had that task's block and never get the copy.
    """

    __tablename__ = "gold_addition"

    request_id: UUID = Field(primary_key=True)
    item_id: UUID = Field(primary_key=True)
    origin_id: UUID
    met: list[UUID] = Field(sa_type=ARRAY(Uuid))


class GoldPause(Timed, table=True):
    """A time in which a gold item is dealt to nobody: claims made from `from_at` until `until_at` (null: for good).

    A claim holds what it held when it was made, whatever happens to its gold later.
    """

    __tablename__ = "gold_pause"

    request_id: UUID = Field(primary_key=True)
    item_id: UUID = Field(primary_key=True)
    from_at: datetime = Field(primary_key=True)
    until_at: datetime | None = None
