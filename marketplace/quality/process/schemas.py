"""Commands and views of due process."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from marketplace.quality.process.states import HeldState
from marketplace.quality.schemas import Words
from marketplace.quality.states import ReasonCode


class HeldDecision(BaseModel):
    """A person's decision on a held verdict, with a reason that the worker reads."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"decision": "accepted", "reason": "The gold was wrong."}]}
    )

    decision: Annotated[
        Literal[HeldState.CONFIRMED, HeldState.ACCEPTED],
        Field(description="`confirmed`: the work is rejected as the gates asked; `accepted`: it counts and is paid"),
    ]
    reason: Words


class HeldView(BaseModel):
    """A held verdict as the person sees who decides on it; the evidence never names a gold task."""

    id: UUID
    request_id: UUID
    claim_id: UUID
    revision: int
    worker_id: UUID
    state: HeldState
    reason_code: ReasonCode
    evidence: dict[str, Any]
    decided_by: str | None
    decided_at: datetime | None
    reason: str | None
    created_at: datetime


class UnderReviewView(BaseModel):
    """Work of mine that a person is reviewing: the verdict on it follows."""

    id: UUID
    request_id: UUID
    claim_id: UUID
    revision: int
    created_at: datetime


class BrakeView(BaseModel):
    """Whether a request's rejections are held for a person, why, since when, and how many wait.

    `figures` are the counts that closed it last; `times` is how often it was closed.
    """

    request_id: UUID
    is_closed: bool
    why: str | None
    figures: dict[str, int]
    times: int
    waiting: int
    closed_at: datetime | None
    opened_at: datetime | None
    reason: str | None


class DueProcessFigures(BaseModel):
    """How a requester deals with work in a period; shares are null where nothing was decided.

    `decided` counts final decisions on bundles, `rejected` those rejected at first, also when an appeal overturned it.
    `reworked_share` is of all verdicts given, `overturned_share` of the appeals decided. `held` are rejections that
    the brake kept for a person, `median_answer_hours` from an appeal to its answer.
    """

    decided: int
    rejected: int
    rejected_share: float | None
    reworked: int
    reworked_share: float | None
    appeals: int
    appeals_decided: int
    overturned: int
    overturned_share: float | None
    median_answer_hours: float | None
    held: int


class DueProcessView(BaseModel):
    """A requester's public record, over the last 90 days and over all time."""

    organisation_id: UUID
    name: str
    last_90_days: DueProcessFigures
    all_time: DueProcessFigures
