"""Work leaves through the database: an outbox row is written in the transaction of the change it follows from.

The relay (workers/relay.py) hands unsent rows to the queue after the commit; a job's `processed` row makes a second
delivery harmless; what fails for good becomes a dead letter that the operator can replay or drop.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from opentelemetry import propagate
from sqlalchemy import Index, text
from sqlmodel import Field
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.core.tables import Identified, Timed, json_field


class Outbox(Identified, table=True):
    """A job to be run: `kind` names its handler ("quality.judge"), the part before the dot its queue."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index("ix_outbox_unsent", "due_at", postgresql_where=text("sent_at IS NULL")),
        Index("ix_outbox_sent", "sent_at", postgresql_where=text("sent_at IS NOT NULL")),
        Index(None, "kind", "id"),
    )

    kind: str
    payload: dict[str, Any] = json_field()
    context: dict[str, str] = json_field(default_factory=dict)
    due_at: datetime = Field(default_factory=now)
    sent_at: datetime | None = None


class Processed(Timed, table=True):
    """A job that has had its effect; written in the transaction of that effect."""

    __tablename__ = "processed"
    __table_args__ = (Index(None, "created_at"),)

    job_id: UUID = Field(primary_key=True)


class DeadLetter(Timed, table=True):
    """A job that failed for good: what it was, why, and what became of it."""

    __tablename__ = "dead_letter"

    job_id: UUID = Field(primary_key=True)
    kind: str = Field(index=True)
    payload: dict[str, Any] = json_field()
    error: str
    tries: int
    resolved_at: datetime | None = None
    resolution: str | None = None


def correlation() -> dict[str, str]:
    """Return what ties a job to the call that caused it: the request's id, and the trace's parent if there is one."""
    bound = structlog.contextvars.get_contextvars()
    context = {"request_id": str(bound["request_id"])} if "request_id" in bound else {}
    propagate.inject(context)
    return context


def emit(session: AsyncSession, kind: str, payload: dict[str, Any], *, due_at: datetime | None = None) -> UUID:
    """Ask for a job to run after this transaction commits (at `due_at` or later); return the job's id."""
    row = Outbox(id=new_id(), kind=kind, payload=payload, context=correlation(), due_at=due_at or now())
    session.add(row)
    return row.id
