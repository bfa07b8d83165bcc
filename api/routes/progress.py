"""How a request goes: at once, or live by server-sent events."""

import asyncio
from collections.abc import AsyncIterator
from time import perf_counter
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api.auth import Allow
from api.session import Session, Shared
from marketplace.core.actor import Actor, Scope
from marketplace.statistics.progress import fingerprint, is_final, progress
from marketplace.statistics.schemas import ProgressView

router = APIRouter(prefix="/v1", tags=["Progress"])
Reader = Annotated[Actor, Allow(Scope.REQUESTS_READ)]
LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", max_length=64)]

POLL_SECONDS: Final = 1.0
# a viewer costs the database at most a tenth of one connection's time, however slow the read is
REST_PER_READ: Final = 9.0
RECONNECT_MILLISECONDS: Final = 2000


@router.get("/requests/{request_id}/progress")
async def get_progress(actor: Reader, session: Session, request_id: UUID) -> ProgressView:
    """Return how far your request is: tasks, seats, money, people at work, rate and forecast."""
    return await progress(session, actor, request_id)


async def _read(actor: Reader, shared: Shared, request_id: UUID) -> ProgressView:
    """Read the progress in a session of its own; no connection is held between two reads of a stream."""
    async with shared.database.sessions() as session:
        return await progress(session, actor, request_id)


@router.get("/requests/{request_id}/progress/live", response_class=EventSourceResponse)
async def watch_progress(
    actor: Reader,
    shared: Shared,
    request_id: UUID,
    first: Annotated[ProgressView, Depends(_read)],
    last_event_id: LastEventId = None,
) -> AsyncIterator[ServerSentEvent]:
    """Stream the progress of your request: an event `progress` for each change, `end` when it is closed.

    A client that reconnects with `Last-Event-ID` gets nothing twice. The stream breaks off when an access token made
    at its start would expire, so that who may watch is asked again.
    """
    view, sent, cost = first, last_event_id, 0.0
    ends_at = perf_counter() + shared.settings.access_token_seconds
    while perf_counter() < ends_at:
        if (event_id := fingerprint(view)) != sent:
            yield ServerSentEvent(data=view, event="progress", id=event_id, retry=RECONNECT_MILLISECONDS)
            sent = event_id
        if is_final(view):
            yield ServerSentEvent(data={"state": view.state}, event="end", id=event_id)
            return
        await asyncio.sleep(max(POLL_SECONDS, cost * REST_PER_READ))
        started = perf_counter()
        view = await _read(actor, shared, request_id)
        cost = perf_counter() - started
