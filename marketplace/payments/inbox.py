"""Webhooks: kept first, applied by a job; the object is fetched as it is now, so order and repetition do not matter."""

from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.core.outbox import emit
from marketplace.payments import outcomes, policy
from marketplace.payments.gateway import Gateway, RemoteEvent, RemoteObject
from marketplace.payments.models import EventCursor, WebhookEvent
from marketplace.payments.states import WebhookState

_OVERLAP: Final = timedelta(hours=1)


async def receive(session: AsyncSession, provider: str, event: RemoteEvent) -> bool:
    """Put a verified event into the inbox; return whether it is new."""
    row_id = new_id()
    added = await session.execute(
        insert(WebhookEvent)
        .values(
            id=row_id, created_at=now(), provider=provider, event_id=event.id, object_kind=event.kind,
            object_ref=event.ref, occurred_at=event.occurred_at, state=WebhookState.PENDING, tries=0,
        )
        .on_conflict_do_nothing(index_elements=["provider", "event_id"])
        .returning(col(WebhookEvent.id))
    )  # fmt: skip
    if added.first() is None:
        return False
    emit(session, "payments.webhook", {"id": str(row_id)})
    return True


async def apply(session: AsyncSession, gateway: Gateway, row_id: UUID) -> None:
    """Fetch the object of an event and apply it; an event that fits nothing of ours stays and is tried again."""
    event = await session.get_one(WebhookEvent, row_id)
    if event.state is WebhookState.APPLIED:
        return
    kind, ref = event.object_kind, event.object_ref
    await session.rollback()  # no transaction is open while the provider answers
    remote = await gateway.find(kind, ref)
    event = await session.get_one(WebhookEvent, row_id)
    if remote is not None and await _fits(session, remote):
        event.state, event.applied_at = WebhookState.APPLIED, now()
        return
    event.tries += 1
    emit(session, "payments.webhook", {"id": str(row_id)}, due_at=now() + policy.wait_before(event.tries))


async def _fits(session: AsyncSession, remote: RemoteObject) -> bool:
    """Apply an object; return False when it fits nothing of ours yet."""
    if remote.dispute is None:
        return _is_ours(remote.ref) and await outcomes.apply(session, remote)
    if not _is_ours(remote.dispute.charge_ref):
        return True  # somebody else's charge on the same account; reconciliation shows its money
    return await outcomes.apply(session, remote)


def _is_ours(ref: str) -> bool:
    """Whether a reference can be one of our ids."""
    return len(ref) == 32 and all(digit in "0123456789abcdef" for digit in ref)


async def fill_gaps(session: AsyncSession, gateway: Gateway) -> int:
    """Fetch the provider's events since the last time this was done, with an overlap; return how many were missed.

    The time is kept, and not taken from the newest event known: a webhook that was lost while nobody asked would else
    hide behind a later one that came through.
    """
    asked_at = now()
    cursor = await session.get(EventCursor, gateway.name)
    since = cursor.listed_until - _OVERLAP if cursor else asked_at - gateway.capabilities().event_history
    await session.rollback()  # no transaction is open while the provider answers
    events = await gateway.list_events(since)
    found = await session.exec(
        select(WebhookEvent.event_id).where(
            WebhookEvent.provider == gateway.name, col(WebhookEvent.event_id).in_({event.id for event in events})
        )
    )
    known = set(found)
    missed = [await receive(session, gateway.name, event) for event in events if event.id not in known]
    await session.execute(
        insert(EventCursor)
        .values(provider=gateway.name, listed_until=asked_at, created_at=asked_at)
        .on_conflict_do_update(
            index_elements=["provider"],
            set_={"listed_until": func.greatest(EventCursor.listed_until, asked_at)},
        )
    )
    return sum(missed)
