"""Tables of skills that eligibility reads: measured ones, requesters' own ones, and what a request demands."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index
from sqlmodel import Field

from marketplace.core.clock import now
from marketplace.core.tables import Identified, Timed

ANY_LANGUAGE = "*"


class WorkerSkill(Timed, table=True):
    """What a worker was measured to be worth at a subject, 0–100 with a 95 % interval.

    `language` is the request's languages joined by "+", or `ANY_LANGUAGE` for all work of the subject. `evidence` is
    how many gold answers it is worth by now, decayed.
    """

    __tablename__ = "worker_skill"
    __table_args__ = (CheckConstraint("0 <= value AND value <= 100", name="value_of_a_hundred"),)

    worker_id: UUID = Field(primary_key=True)
    subject: str = Field(primary_key=True)
    language: str = Field(primary_key=True)
    value: float
    low: float
    high: float
    evidence: float
    updated_at: datetime = Field(default_factory=now)


class OwnSkill(Timed, table=True):
    """A skill of an enterprise's own, for workers who worked for it: set by a rule or by hand, 0–100."""

    __tablename__ = "own_skill"
    __table_args__ = (CheckConstraint("0 <= value AND value <= 100", name="value_of_a_hundred"),)

    organisation_id: UUID = Field(primary_key=True)
    worker_id: UUID = Field(primary_key=True, index=True)
    name: str = Field(primary_key=True)
    value: float
    set_by: str
    updated_at: datetime = Field(default_factory=now)


class SkillRequirement(Identified, table=True):
    """A bar that a worker must reach to begin on a request: at a subject, or in one of the enterprise's own skills."""

    __tablename__ = "skill_requirement"
    __table_args__ = (Index(None, "request_id"),)

    request_id: UUID
    skill: str
    is_own: bool
    at_least: float
