"""Commands and views of gold, for the enterprise alone."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from marketplace.catalog.json_values import KEPT_JSON
from marketplace.quality.gold.states import CandidateSource, CandidateState, GoldState
from marketplace.quality.schemas import Words


class GoldView(BaseModel):
    """A gold item: its truth, its state, how many workers met it, and which share of them (and of good ones) was right.

    `why` is the rule that changed its state: "good_workers_disagree" or "over_exposed".
    """

    item_id: UUID
    external_id: str
    truth: Any
    state: GoldState
    why: str | None
    workers: int
    right_share: float | None
    good_workers: int
    good_right_share: float | None
    reason: str | None
    decided_at: datetime | None


class GoldDecision(BaseModel):
    """What becomes of gold in doubt; `truth` is the right answer, for a correction."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"decision": "retired", "reason": "The text is ambiguous."}]}
    )

    decision: Literal[GoldState.KEPT, GoldState.CORRECTED, GoldState.RETIRED]
    truth: Annotated[dict[str, Any] | None, KEPT_JSON] = None
    reason: Words


class CandidateView(BaseModel):
    """A task proposed as gold: the label it would have, why, and what that rests on."""

    task_id: UUID
    external_id: str
    value: Any
    source: CandidateSource
    confidence: float
    answers: int
    state: CandidateState
    created_at: datetime


class CandidateDecision(BaseModel):
    """Candidates that become gold, or are declined, in one go: all of them or none."""

    model_config = ConfigDict(extra="forbid")

    decision: Literal[CandidateState.CONFIRMED, CandidateState.DECLINED]
    task_ids: Annotated[list[UUID], Field(min_length=1, max_length=200)]


class CandidatesDecided(BaseModel):
    """How many candidates were decided on."""

    decided: int
