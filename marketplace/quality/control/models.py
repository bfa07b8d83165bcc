"""Tables of control: versions of rules, and the actions that were taken by them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field

from marketplace.core.tables import Identified, json_field


class ControlRuleSet(Identified, table=True):
    """One version of the rules of a request, or of the platform (`scope_id` zero), in force from `created_at` on.

    Never changed: a newer one follows it.
    """

    __tablename__ = "control_rule_set"
    __table_args__ = (Index(None, "scope_id", "id"),)

    scope_id: UUID
    version: str
    definition: dict[str, Any] = json_field()
    made_by: str


class ControlAction(Identified, table=True):
    """What a rule did to a worker on a request: by which version, at which event, on which figures, until when.

    `measure_id` names what holds by it; `lifted_by` is the person who ended it, and why.
    """

    __tablename__ = "control_action"
    __table_args__ = (
        UniqueConstraint("request_id", "rule_set_id", "rule", "worker_id", "event_id"),
        Index(None, "request_id", "id"),
        Index(None, "worker_id", "id"),
    )

    request_id: UUID
    worker_id: UUID
    rule_set_id: UUID
    version: str
    rule: str
    event_id: UUID
    at: datetime
    kind: str
    action: dict[str, Any] = json_field()
    collector: str
    figures: dict[str, Any] = json_field()
    until: datetime | None = None
    measure_id: UUID | None = Field(default=None)
    lifted_at: datetime | None = None
    lifted_by: str | None = None
    lift_reason: str | None = None
    objection: str | None = None
