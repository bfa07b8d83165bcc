"""Tables of due process."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field

from marketplace.core.tables import OfRequest, Timed, enum_field, json_field
from marketplace.quality.process.states import HeldState


class Brake(Timed, table=True):
    """A request's brake on rejections: closed since `closed_at` for `why`, unless `opened_at` is later.

    `figures` are the counts that closed it, `times` how often it was closed. What is counted begins at `opened_at`.
    """

    __tablename__ = "brake"

    request_id: UUID = Field(primary_key=True)
    closed_at: datetime
    why: str
    figures: dict[str, Any] = json_field()
    times: int = 1
    opened_at: datetime | None = None
    opened_by: str | None = None
    reason: str | None = None


class HeldVerdict(OfRequest, table=True):
    """A rejection that the gates asked for while the brake was closed: it waits for a person.

    `verdict` is the verdict as it would have been given; the claim stays submitted until `state` is decided.
    """

    __tablename__ = "held_verdict"
    __table_args__ = (
        UniqueConstraint("request_id", "claim_id", "revision"),
        Index("ix_held_verdict_waiting", "id", postgresql_where=text("state = 'waiting'")),
        Index(None, "worker_id", "id"),
    )

    claim_id: UUID
    revision: int
    worker_id: UUID
    verdict: dict[str, Any] = json_field()
    state: HeldState = enum_field(HeldState, "state", HeldState.WAITING)
    decided_by: str | None = None
    decided_at: datetime | None = None
    reason: str | None = None
