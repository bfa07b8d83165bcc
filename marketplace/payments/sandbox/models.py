"""The sandbox's own tables. No other module reads or writes them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, SmallInteger, text
from sqlmodel import Field

from marketplace.core.clock import now
from marketplace.core.tables import Identified, Timed, enum_field, json_field, minor_field
from marketplace.payments.gateway import RemoteState
from marketplace.payments.sandbox.faults import Fault
from marketplace.payments.states import Leg


class SandboxObject(Identified, table=True):
    """A payee, charge, transfer, payout, reversal, refund or dispute.

    `ref` is the client's, and not unique, as in life; a dispute's is its own id. `parent_id` is the payee of a transfer
    or payout, the charge of a refund or dispute, the transfer of a reversal. At `due_at` the bank simulator moves it to
    `due_state`; a charge that is due is disputed, and its dispute will have that state.
    """

    __tablename__ = "sandbox_object"
    __table_args__ = (
        Index(None, "kind", "ref"),
        Index(None, "parent_id", "kind"),
        Index("ix_sandbox_object_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
    )

    kind: Leg = enum_field(Leg, "kind")
    ref: str
    parent_id: UUID | None = None
    display_name: str = ""
    currency: str = Field(default="", max_length=3)
    amount_minor: int = minor_field(0)
    fee_minor: int = minor_field(0)
    state: RemoteState = enum_field(RemoteState, "state")
    failure_code: str | None = None
    due_at: datetime | None = None
    due_state: str | None = None


class SandboxEntry(Identified, table=True):
    """A movement of the client's balance, positive when it grew; usable from `available_at`."""

    __tablename__ = "sandbox_entry"
    __table_args__ = (Index(None, "currency", "available_at", postgresql_include=["amount_minor"]),)

    object_id: UUID = Field(foreign_key="sandbox_object.id")
    currency: str = Field(max_length=3)
    amount_minor: int = minor_field()
    available_at: datetime = Field(default_factory=now)


class SandboxKey(Timed, table=True):
    """A used idempotency key: what was asked, and the first answer, errors included."""

    __tablename__ = "sandbox_key"

    key: str = Field(primary_key=True)
    asked: str
    answer: dict[str, Any] | None = json_field(default=None, nullable=True)


class SandboxEvent(Identified, table=True):
    """A notice to the client, sent as a webhook until it is answered by 2xx."""

    __tablename__ = "sandbox_event"
    __table_args__ = (Index(None, "occurred_at"),)

    kind: Leg = enum_field(Leg, "kind")
    ref: str
    type: str
    occurred_at: datetime = Field(default_factory=now)
    tries: int = 0
    delivered_at: datetime | None = None


class SandboxFault(Identified, table=True):
    """A fault that the operator queued for the next call of a kind (or of any); taken once, oldest first."""

    __tablename__ = "sandbox_fault"
    __table_args__ = (Index("ix_sandbox_fault_waiting", "id", postgresql_where=text("taken_at IS NULL")),)

    leg: Leg | None = enum_field(Leg, "leg", nullable=True)
    fault: Fault = enum_field(Fault, "fault")
    taken_at: datetime | None = None


class SandboxKnobs(Timed, table=True):
    """The one row of what the operator has set: how far the bank's clock is ahead of ours, and what webhooks suffer."""

    __tablename__ = "sandbox_knobs"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: int = Field(default=1, primary_key=True, sa_type=SmallInteger, sa_column_kwargs={"autoincrement": False})
    clock_ahead_seconds: int = Field(default=0, sa_type=BigInteger)
    webhook_duplicate: bool = False
    webhook_reorder: bool = False
    webhook_drop: bool = False
    webhook_delay_seconds: int = 0
