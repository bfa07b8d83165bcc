"""What the operator sets at the sandbox, kept in its tables, because API and workers are different processes."""

import random
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, DateTime, literal, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, delete, func, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.core.actor import Actor
from marketplace.core.clock import now
from marketplace.core.outbox import Outbox, emit
from marketplace.payments.sandbox.faults import Fault
from marketplace.payments.sandbox.models import SandboxFault, SandboxKnobs
from marketplace.payments.states import Leg

MAX_FAULTS: Final = 100
MAX_AHEAD_SECONDS: Final = 10 * 365 * 24 * 3600
MAX_DELAY_SECONDS: Final = 24 * 3600
_REORDER_SECONDS: Final = 5.0
_ROW: Final = 1
# A late request would be kept in the memory of the process that made the call; across processes it is a lost one.
Queueable = Literal["lost_request", "lost_response", "error_before", "error_after", "throttled"]


class WebhookKnobs(BaseModel):
    """What the sandbox's webhooks suffer from now on; a delay is in seconds of the bank's clock."""

    model_config = ConfigDict(extra="forbid")

    duplicate: bool = False
    reorder: bool = False
    drop: bool = False
    delay_seconds: Annotated[int, Field(ge=0, le=MAX_DELAY_SECONDS)] = 0

    def wait(self) -> timedelta:
        """Draw how long a webhook is held back."""
        extra = random.uniform(0, _REORDER_SECONDS) if self.reorder else 0.0  # noqa: S311  # no secret
        return timedelta(seconds=self.delay_seconds + extra)


class QueueFaults(BaseModel):
    """Faults for the next calls that change something, in order; for those of one kind when `leg` is given."""

    model_config = ConfigDict(extra="forbid")

    faults: Annotated[list[Queueable], Field(min_length=1, max_length=MAX_FAULTS)]
    leg: Leg | None = None


class MoveClock(BaseModel):
    """By how much the bank's clock is moved ahead; it never goes back."""

    model_config = ConfigDict(extra="forbid")

    by_seconds: Annotated[int, Field(gt=0, le=MAX_AHEAD_SECONDS)]


class ForcePayout(BaseModel):
    """Let a payout that is pending at the bank be paid or fail, or one that was paid be returned."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal[Leg.PAYOUT]
    id: UUID
    outcome: Literal["paid", "failed", "returned"]


class ForceTopUp(BaseModel):
    """Let a top-up that is pending at the bank succeed or fail, or the payer's bank take back one that succeeded."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal[Leg.CHARGE]
    id: UUID
    outcome: Literal["succeeded", "failed", "disputed"]


class ForceDispute(BaseModel):
    """Let the bank decide a dispute, by the reference that the chargeback has at the provider."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal[Leg.DISPUTE]
    id: UUID
    outcome: Literal["won", "lost"]


class ForcePayee(BaseModel):
    """Let what the provider knows of a payee lapse, so that nothing is paid out to them, or be good again."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal[Leg.PAYEE]
    id: UUID
    outcome: Literal["lapsed", "active"]


Forced = Annotated[ForcePayout | ForceTopUp | ForceDispute | ForcePayee, Field(discriminator="kind")]


class WaitingFault(BaseModel):
    """A fault that no call has met yet."""

    model_config = ConfigDict(from_attributes=True)

    fault: Fault
    leg: Leg | None


class SandboxView(BaseModel):
    """What is set at the sandbox: its clock, what webhooks suffer, and the faults to come, oldest first."""

    clock_ahead_seconds: int
    bank_time: datetime
    webhooks: WebhookKnobs
    waiting_faults: list[WaitingFault]


def bank_time() -> ColumnElement[datetime]:
    """Return the bank's time as an SQL expression: ours, and as far ahead as the operator has moved it."""
    ahead = select(SandboxKnobs.clock_ahead_seconds).where(SandboxKnobs.id == _ROW).scalar_subquery()
    moved: ColumnElement[datetime] = literal(now(), DateTime(timezone=True)) + func.make_interval(
        0, 0, 0, 0, 0, 0, func.coalesce(ahead, 0)
    )
    return moved


async def bank_now(session: AsyncSession) -> datetime:
    """Return the bank's time."""
    return now() + timedelta(seconds=(await _knobs(session)).clock_ahead_seconds)


async def webhook_knobs(session: AsyncSession) -> WebhookKnobs:
    """Return what webhooks suffer now."""
    return _webhooks(await _knobs(session))


async def view(session: AsyncSession) -> SandboxView:
    """Return everything that is set."""
    row = await _knobs(session)
    waiting = await session.exec(
        select(SandboxFault)
        .where(col(SandboxFault.taken_at).is_(None))
        .order_by(col(SandboxFault.id))
        .limit(MAX_FAULTS)
    )
    return SandboxView(
        clock_ahead_seconds=row.clock_ahead_seconds,
        bank_time=now() + timedelta(seconds=row.clock_ahead_seconds),
        webhooks=_webhooks(row),
        waiting_faults=[WaitingFault.model_validate(one) for one in waiting],
    )


async def set_webhooks(session: AsyncSession, actor: Actor, wanted: WebhookKnobs) -> None:
    """Say what webhooks suffer from now on."""
    await _lock(session)
    await _write(
        session,
        webhook_duplicate=wanted.duplicate, webhook_reorder=wanted.reorder, webhook_drop=wanted.drop,
        webhook_delay_seconds=wanted.delay_seconds,
    )  # fmt: skip
    record(session, actor, "sandbox.webhooks", "sandbox", **wanted.model_dump())


async def queue_faults(session: AsyncSession, actor: Actor, wanted: QueueFaults) -> None:
    """Queue faults for calls to come."""
    session.add_all(SandboxFault(leg=wanted.leg, fault=Fault(name)) for name in wanted.faults)
    record(session, actor, "sandbox.faults", "sandbox", faults=wanted.faults, leg=wanted.leg)
    await session.flush()


async def clear_faults(session: AsyncSession, actor: Actor) -> None:
    """Forget the faults that no call has met yet."""
    await session.exec(delete(SandboxFault).where(col(SandboxFault.taken_at).is_(None)))
    record(session, actor, "sandbox.no_faults", "sandbox")


async def take_fault(session: AsyncSession, leg: Leg) -> Fault | None:
    """Take the oldest fault that waits for a call of this kind, so that no other call meets it."""
    oldest = (
        select(SandboxFault.id)
        .where(col(SandboxFault.taken_at).is_(None), col(SandboxFault.leg).is_(None) | (col(SandboxFault.leg) == leg))
        .order_by(col(SandboxFault.id))
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    taken = await session.execute(
        update(SandboxFault)
        .where(col(SandboxFault.id) == oldest.scalar_subquery())
        .values(taken_at=now())
        .returning(col(SandboxFault.fault))
    )
    return taken.scalar_one_or_none()


async def move_clock(session: AsyncSession, actor: Actor, by_seconds: int) -> None:
    """Move the bank's clock ahead, and with it what it has put off: answers of the bank, and webhooks."""
    await _lock(session)
    row = await _knobs(session)
    await _write(session, clock_ahead_seconds=row.clock_ahead_seconds + by_seconds)
    await session.exec(
        update(Outbox)
        .where(col(Outbox.kind).in_(("sandbox.advance", "sandbox.deliver")))
        .values(due_at=Outbox.due_at - timedelta(seconds=by_seconds))
    )
    emit(session, "sandbox.advance", {})
    record(session, actor, "sandbox.clock", "sandbox", by_seconds=by_seconds)


def _webhooks(row: SandboxKnobs) -> WebhookKnobs:
    return WebhookKnobs(
        duplicate=row.webhook_duplicate, reorder=row.webhook_reorder, drop=row.webhook_drop,
        delay_seconds=row.webhook_delay_seconds,
    )  # fmt: skip


async def _knobs(session: AsyncSession) -> SandboxKnobs:
    return await session.get(SandboxKnobs, _ROW) or SandboxKnobs()


async def _lock(session: AsyncSession) -> None:
    """Make operators who turn knobs at the same time follow each other."""
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtext('sandbox:knobs'))"))


async def _write(session: AsyncSession, **values: Any) -> None:
    new = SandboxKnobs().model_dump() | values
    await session.execute(insert(SandboxKnobs).values(**new).on_conflict_do_update(index_elements=["id"], set_=values))
    session.expire_all()
