"""Tables of skills: the evidence of each request, and the history of values."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index
from sqlmodel import Field

from marketplace.core.tables import Identified, Timed


class SkillEvidence(Timed, table=True):
    """What a request says of a worker's skill, in units of gold answers; written anew as the work goes on."""

    __tablename__ = "skill_evidence"

    worker_id: UUID = Field(primary_key=True)
    request_id: UUID = Field(primary_key=True, index=True)
    subject: str
    language: str
    right: float
    wrong: float
    at: datetime


class SkillHistory(Identified, table=True):
    """A skill as it was from `created_at` on; written when it moved by a point or more."""

    __tablename__ = "skill_history"
    __table_args__ = (Index(None, "worker_id", "subject", "language", "id"),)

    worker_id: UUID
    subject: str
    language: str
    value: float
    low: float
    high: float
    evidence: float
