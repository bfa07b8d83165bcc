"""Tables of payments. `provider` and our own ids are what a provider knows a row by."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlmodel import Field

from marketplace.core.clock import now
from marketplace.core.tables import Identified, Timed, enum_field, json_field, minor_field
from marketplace.payments.states import (
    CallState,
    ChargebackState,
    ChargeState,
    Leg,
    PayeeKind,
    PayeeState,
    PayoutState,
    RefundState,
    Subject,
    WebhookState,
)


class Payee(Identified, table=True):
    """A vendor or worker as the provider knows it; with `auto_payout` what is cleared is paid out by itself."""

    __tablename__ = "payee"
    __table_args__ = (
        UniqueConstraint("kind", "owner_id", "provider"),
        Index("ix_payee_auto", "id", postgresql_where=text("auto_payout")),
    )

    kind: PayeeKind = enum_field(PayeeKind, "kind")
    owner_id: UUID
    provider: str
    display_name: str
    auto_payout: bool = False
    state: PayeeState = enum_field(PayeeState, "state", PayeeState.NEW)
    failure_code: str | None = None


class Charge(Identified, table=True):
    """A top-up of an enterprise's prepaid balance; `refunded_minor` counts refunds that are asked for or done."""

    __tablename__ = "charge"
    __table_args__ = (
        CheckConstraint("amount_minor > 0", name="amount_positive"),
        CheckConstraint("refunded_minor BETWEEN 0 AND amount_minor", name="refunded_within"),
        Index(None, "organisation_id", "id"),
    )

    organisation_id: UUID
    provider: str
    currency: str = Field(max_length=3)
    amount_minor: int = minor_field()
    fee_minor: int = minor_field(0)
    refunded_minor: int = minor_field(0)
    state: ChargeState = enum_field(ChargeState, "state", ChargeState.CREATED)
    failure_code: str | None = None
    changed_at: datetime = Field(default_factory=now)


class Payout(Identified, table=True):
    """Money on its way from what we owe a payee to the payee's bank; `tax_minor` was withheld beside it."""

    __tablename__ = "payout"
    __table_args__ = (
        CheckConstraint("amount_minor > 0", name="amount_positive"),
        CheckConstraint("tax_minor >= 0", name="tax_not_negative"),
        Index(None, "payee_id", "id"),
        Index("ix_payout_moving", "changed_at", postgresql_where=text("state NOT IN ('paid', 'cancelled')")),
    )

    payee_id: UUID = Field(foreign_key="payee.id")
    provider: str
    currency: str = Field(max_length=3)
    amount_minor: int = minor_field()
    state: PayoutState = enum_field(PayoutState, "state", PayoutState.RESERVED)
    failure_code: str | None = None
    changed_at: datetime = Field(default_factory=now)
    paid_at: datetime | None = None
    tax_minor: int = minor_field(0)
    tax_mode: str | None = None
    tax_table: str | None = None
    tax_authority: str | None = None

    @property
    def gross_minor(self) -> int:
        """What the payee was owed for it: what goes to the bank and what was withheld."""
        return self.amount_minor + self.tax_minor


class Refund(Identified, table=True):
    """Unspent money on its way back to the charge it came from; `cause` says why, once ("close:{request}")."""

    __tablename__ = "refund"
    __table_args__ = (
        CheckConstraint("amount_minor > 0", name="amount_positive"),
        UniqueConstraint("charge_id", "cause"),
        Index(None, "organisation_id", "id"),
    )

    charge_id: UUID = Field(foreign_key="charge.id")
    organisation_id: UUID
    provider: str
    cause: str = Field(index=True)
    currency: str = Field(max_length=3)
    amount_minor: int = minor_field()
    state: RefundState = enum_field(RefundState, "state", RefundState.ASKED)
    failure_code: str | None = None
    changed_at: datetime = Field(default_factory=now)


class Chargeback(Identified, table=True):
    """A charge that its payer's bank takes back; `remote_ref` is the provider's id of it.

    `frozen` says how much of the organisation's money was frozen for it on which account, in minor units.
    """

    __tablename__ = "chargeback"
    __table_args__ = (
        UniqueConstraint("provider", "remote_ref"),
        CheckConstraint("amount_minor > 0", name="amount_positive"),
        Index(None, "organisation_id", "id"),
        Index(None, "charge_id"),
        Index("ix_chargeback_open", "evidence_due_at", postgresql_where=text("state = 'open'")),
    )

    charge_id: UUID = Field(foreign_key="charge.id")
    organisation_id: UUID
    provider: str
    remote_ref: str
    currency: str = Field(max_length=3)
    amount_minor: int = minor_field()
    fee_minor: int = minor_field(0)
    reason: str
    state: ChargebackState = enum_field(ChargebackState, "state", ChargebackState.OPEN)
    evidence_due_at: datetime | None = None
    frozen: dict[str, int] = json_field(default_factory=dict)
    changed_at: datetime = Field(default_factory=now)

    @property
    def frozen_minor(self) -> int:
        """How much of the amount could be frozen."""
        return sum(self.frozen.values())

    @property
    def uncovered_minor(self) -> int:
        """How much of the amount could not be frozen; the organisation owes it if the chargeback is lost."""
        return self.amount_minor - self.frozen_minor


class ProviderCall(Identified, table=True):
    """One call to a provider, committed as `sending` before it leaves: without this row a crash pays twice.

    `answered` is set when the provider did answer, with an error that says nothing about the effect (5xx).
    """

    __tablename__ = "provider_call"
    __table_args__ = (
        UniqueConstraint("subject_id", "leg", "attempt"),
        UniqueConstraint("provider", "key"),
        Index(
            "uq_provider_call_open",
            "subject_id",
            unique=True,
            postgresql_where=text("state IN ('sending', 'unknown')"),
        ),
        Index("ix_provider_call_open_age", "created_at", postgresql_where=text("state IN ('sending', 'unknown')")),
    )

    provider: str
    subject: Subject = enum_field(Subject, "subject")
    subject_id: UUID
    leg: Leg = enum_field(Leg, "leg")
    attempt: int
    key: str
    ref: str
    request: dict[str, Any] = json_field()
    state: CallState = enum_field(CallState, "state", CallState.SENDING)
    tries: int = 0
    answered: bool = False
    remote_id: str | None = None
    error: str | None = None
    finished_at: datetime | None = None


class WebhookEvent(Identified, table=True):
    """The inbox: a provider's notice, kept until it has been applied."""

    __tablename__ = "webhook_event"
    __table_args__ = (
        UniqueConstraint("provider", "event_id"),
        Index("ix_webhook_event_pending", "created_at", postgresql_where=text("state = 'pending'")),
    )

    provider: str
    event_id: str
    object_kind: Leg = enum_field(Leg, "object_kind")
    object_ref: str
    occurred_at: datetime
    state: WebhookState = enum_field(WebhookState, "state", WebhookState.PENDING)
    tries: int = 0
    applied_at: datetime | None = None


class EventCursor(Timed, table=True):
    """Until when all events of a provider are in the inbox, because they were listed."""

    __tablename__ = "event_cursor"

    provider: str = Field(primary_key=True)
    listed_until: datetime


class ReconciliationRun(Identified, table=True):
    """One comparison of our books with a provider's; `checks` are its results with every break named, as found."""

    __tablename__ = "reconciliation_run"

    provider: str
    holds: bool
    breaks: int
    checks: list[dict[str, Any]] = json_field()
