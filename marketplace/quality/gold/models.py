"""Tables of the life of gold."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field

from marketplace.core.tables import Timed, enum_field, json_field
from marketplace.quality.gold.states import CandidateSource, CandidateState, GoldState


class GoldItem(Timed, table=True):
    """Where a gold item stands, why, and who decided; items without a row are active.

    `changed_at` is when a rule took it out of use: no later judgement counts it.
    """

    __tablename__ = "gold_item"
    __table_args__ = (Index("ix_gold_item_doubt", "request_id", postgresql_where=text("state = 'in_doubt'")),)

    request_id: UUID = Field(primary_key=True)
    item_id: UUID = Field(primary_key=True)
    state: GoldState = enum_field(GoldState, "state")
    why: str
    changed_at: datetime
    figures: dict[str, Any] = json_field()
    decided_by: str | None = None
    decided_at: datetime | None = None
    reason: str | None = None


class GoldCandidate(Timed, table=True):
    """A task whose label may become gold, with what it rests on."""

    __tablename__ = "gold_candidate"
    __table_args__ = (Index("ix_gold_candidate_proposed", "request_id", postgresql_where=text("state = 'proposed'")),)

    request_id: UUID = Field(primary_key=True)
    task_id: UUID = Field(primary_key=True)
    value: Any = json_field()
    source: CandidateSource = enum_field(CandidateSource, "source")
    confidence: float
    answers: int
    state: CandidateState = enum_field(CandidateState, "state", CandidateState.PROPOSED)
    decided_by: str | None = None
