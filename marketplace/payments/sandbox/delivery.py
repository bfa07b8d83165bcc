"""Sending the sandbox's webhooks, until the receiver answers 2xx."""

from uuid import UUID

import httpx
import msgspec
import structlog

from marketplace.core.clock import now
from marketplace.core.db import Database
from marketplace.core.outbox import emit
from marketplace.core.settings import Settings
from marketplace.payments import policy
from marketplace.payments.sandbox import knobs, signing
from marketplace.payments.sandbox.gateway import event_of
from marketplace.payments.sandbox.models import SandboxEvent

PATH = "/v1/webhooks/sandbox"
TIMEOUT_SECONDS = 10

log = structlog.get_logger()


async def deliver(
    settings: Settings, database: Database, client: httpx.AsyncClient, event_id: UUID, *, waited: bool = False
) -> bool:
    """Send one event, or hold it back or drop it as the operator has set; return whether it is delivered.

    When it does not get through, another try is asked for. `waited` says that it was held back before.
    """
    async with database.sessions.begin() as session:
        event = await session.get_one(SandboxEvent, event_id)
        if event.delivered_at is not None:
            return True
        suffers = await knobs.webhook_knobs(session)
        if suffers.drop:
            return False
        wait = suffers.wait()
        if wait and not waited:
            emit(session, "sandbox.deliver", {"event_id": str(event_id), "waited": True}, due_at=now() + wait)
            return False
    body = msgspec.json.encode(event_of(event))
    signature = signing.sign(signing.secret_of(settings), body, now())
    headers = {signing.HEADER: signature, "Content-Type": "application/json"}
    arrived = await _post(client, settings.internal_base_url + PATH, body, headers)
    if suffers.duplicate:
        await _post(client, settings.internal_base_url + PATH, body, headers)
    async with database.sessions.begin() as session:
        event = await session.get_one(SandboxEvent, event_id)
        event.tries += 1
        if arrived:
            event.delivered_at = now()
        else:
            again = {"event_id": str(event_id), "waited": True}
            emit(session, "sandbox.deliver", again, due_at=now() + policy.wait_before(event.tries))
    return arrived


async def _post(client: httpx.AsyncClient, url: str, body: bytes, headers: dict[str, str]) -> bool:
    try:
        response = await client.post(url, content=body, headers=headers, timeout=TIMEOUT_SECONDS)
    except httpx.HTTPError as error:
        log.warning("sandbox.webhook_lost", error=repr(error))
        return False
    if not response.is_success:
        log.warning("sandbox.webhook_refused", status=response.status_code)
    return response.is_success
