"""Views of the read models."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel

from marketplace.catalog.states import RequestState


class SeatCounts(BaseModel):
    """How many seats of the request's bundles stand in each state."""

    ready: int
    claimed: int
    submitted: int
    accepted: int
    rework: int
    rejected: int
    closed: int


class Spend(BaseModel):
    """Money of the request, in minor units of `currency`: promised, still reserved, accepted inside the window."""

    currency: str
    budget_minor: int
    reserved_minor: int
    accrued_minor: int


class ProgressView(BaseModel):
    """How far a request is. `forecast_finish` is null while nobody works; rates look at the last hour."""

    request_id: UUID
    state: RequestState
    items: int
    tasks: int
    tasks_done: int
    answers: int
    answers_wanted: int
    seats: SeatCounts
    spend: Spend
    workers_active: int
    answers_per_hour: float
    forecast_finish: datetime | None
