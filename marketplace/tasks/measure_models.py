"""The table of measures: what holds for a worker on a request, or on all requests of an enterprise, for a time."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index
from sqlmodel import Field

from marketplace.core.tables import Identified, enum_field
from marketplace.tasks.states import MeasureKind


class WorkMeasure(Identified, table=True):
    """A pause, or more gold in each bundle, until `until`; `scope_id` is a request's id or an organisation's.

    A claim reads it, so that it holds from the moment it is committed; `reason` is told to the worker.
    """

    __tablename__ = "work_measure"
    __table_args__ = (Index(None, "worker_id", "until"),)

    worker_id: UUID
    scope_id: UUID
    kind: MeasureKind = enum_field(MeasureKind, "kind")
    extra_gold: int = Field(default=0)
    reason: str
    until: datetime
    lifted_at: datetime | None = None
