"""Commands and views of control rules."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from marketplace.quality.control.rules import ControlRules, Reason


class ControlRulesView(BaseModel):
    """The rules in force with their version (the hash of the definition) and since when; none were put: null."""

    version: str | None
    since: datetime | None
    definition: ControlRules


class WouldHappen(BaseModel):
    """What a rule would have done on the request's history."""

    worker: str
    rule: str
    action: dict[str, Any]
    at: datetime
    until: datetime | None
    figures: dict[str, float]


class DryRun(BaseModel):
    """All that the rules would have done, counted by action, and the first of it in order of time."""

    version: str
    events: int
    workers: int
    total: int
    by_action: dict[str, int]
    actions: list[WouldHappen]


class ControlActionView(BaseModel):
    """An action that was taken: which rule of which version, on what figures, until when, and whether it was lifted."""

    id: UUID
    request_id: UUID
    worker: str
    rule: str
    version: str
    collector: str
    figures: dict[str, float]
    action: dict[str, Any]
    at: datetime
    until: datetime | None
    objection: str | None
    lifted_at: datetime | None
    lift_reason: str | None


class WithReason(BaseModel):
    """Why, in words that the other side reads."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[Reason, Field(description="Why")]
