"""Tables of control over payouts: pauses, circuits, preferences, planned periods, and where the money goes."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, LargeBinary, text
from sqlmodel import Field

from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.core.tables import Identified, Timed, enum_field, json_field
from marketplace.payments.control_states import CircuitState, PauseScope, PayoutSchedule
from marketplace.payments.states import PayeeKind


class PaymentPause(Identified, table=True):
    """A stop of remote calls; `target` is a provider's name, or the id of an organisation, vendor or worker."""

    __tablename__ = "payment_pause"
    __table_args__ = (
        Index("uq_payment_pause_standing", "scope", "target", unique=True, postgresql_where=text("lifted_at IS NULL")),
    )

    scope: PauseScope = enum_field(PauseScope, "scope")
    target: str
    reason: str
    by: str
    lifted_at: datetime | None = None
    lifted_by: str | None = None


class ProviderCircuit(Timed, table=True):
    """The circuit breaker of a provider; no row is a closed one. `probe_id` is the call that may try, until then."""

    __tablename__ = "provider_circuit"

    provider: str = Field(primary_key=True)
    state: CircuitState = enum_field(CircuitState, "state", CircuitState.CLOSED)
    failures: int = 0
    openings: int = 0
    opened_at: datetime | None = None
    retry_at: datetime | None = None
    probe_id: UUID | None = None
    last_error: str | None = None


class PayoutPreference(Timed, table=True):
    """When a payee wants to be paid out, and from which amount on; `planned_period` is the last one looked at."""

    __tablename__ = "payout_preference"

    kind: PayeeKind = enum_field(PayeeKind, "kind", primary_key=True)
    owner_id: UUID = Field(primary_key=True)
    schedule: PayoutSchedule = enum_field(PayoutSchedule, "schedule", PayoutSchedule.MANUAL, index=True)
    minimums_minor: dict[str, int] = json_field(default_factory=dict)
    planned_period: str = ""


class PayoutPlan(Timed, table=True):
    """What was paid out for a payee's period ("2026-W48", "2026-11", "hold:2026-11-24"): once in each currency."""

    __tablename__ = "payout_plan"

    payee_id: UUID = Field(primary_key=True, foreign_key="payee.id")
    currency: str = Field(primary_key=True, max_length=3)
    period: str = Field(primary_key=True)
    payout_id: UUID | None = Field(default=None, foreign_key="payout.id")


class PayoutMethod(Timed, table=True):
    """Where a payee's money goes at a provider, in a currency. The account's number is sealed; only its end is shown.

    From `changed_at` to `usable_from`, the cooling time, nothing is paid out to the payee in this currency.
    """

    __tablename__ = "payout_method"
    __table_args__ = (CheckConstraint("length(account_last4) <= 4", name="last4_short"),)

    kind: PayeeKind = enum_field(PayeeKind, "kind", primary_key=True)
    owner_id: UUID = Field(primary_key=True)
    provider: str = Field(primary_key=True)
    currency: str = Field(primary_key=True, max_length=3)
    id: UUID = Field(default_factory=new_id, unique=True)
    holder_name: str
    bank_name: str = ""
    bank_code: str
    account_sealed: bytes = Field(sa_type=LargeBinary)
    account_last4: str = Field(max_length=4)
    changed_at: datetime = Field(default_factory=now)
    usable_from: datetime
