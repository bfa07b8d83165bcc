"""Commands and views of skills."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from marketplace.quality.control.rules import SkillName


class SkillPoint(BaseModel):
    """A skill as it was from a moment on."""

    at: datetime
    value: float
    low: float
    high: float


class SkillView(BaseModel):
    """A measured skill, 0–100, with its 95 % interval; `evidence` is how many known answers it is worth by now.

    `language` is "*" for all work of the subject, else the languages of the work. The history is the newest first.
    """

    subject: str
    language: str
    value: float
    low: float
    high: float
    evidence: float
    updated_at: datetime
    history: list[SkillPoint]


class OwnSkillView(BaseModel):
    """A skill that an enterprise keeps of a worker, 0–100."""

    organisation_id: UUID
    name: str
    value: float
    updated_at: datetime


class WorkerSkills(BaseModel):
    """All that is held of a worker's skill."""

    measured: list[SkillView]
    of_requesters: list[OwnSkillView]


class SetOwnSkill(BaseModel):
    """Set a skill of one's own for a worker of the request, who is named by their pseudonym there."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"value": 80}]})

    value: Annotated[float, Field(ge=0, le=100)]


class Requirement(BaseModel):
    """A bar: at a subject as Kapok measures it, or (`is_own`) in a skill of the enterprise's own."""

    model_config = ConfigDict(extra="forbid")

    skill: SkillName
    is_own: bool = False
    at_least: Annotated[float, Field(ge=0, le=100)]


class Requirements(BaseModel):
    """What a worker must reach before they begin on a request; all must hold."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"requirements": [{"skill": "translation", "at_least": 85}]}]},
    )

    requirements: Annotated[list[Requirement], Field(max_length=10)]
