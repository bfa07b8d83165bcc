"""The webhook endpoint of every payment provider."""

from typing import Final

from fastapi import APIRouter, Request, status
from prometheus_client import Counter
from pydantic import BaseModel

from api.auth import Public
from api.session import Session, Shared
from marketplace.payments import inbox
from marketplace.payments.errors import WebhookRefused
from marketplace.payments.providers import open_gateway

router = APIRouter(prefix="/v1/webhooks", tags=["Webhooks"])

REFUSED: Final = Counter("kapok_webhooks_refused_total", "Webhooks refused: forged, stale or malformed", ["provider"])


class Received(BaseModel):
    """Whether this event was seen for the first time."""

    new: bool


@router.post("/{provider}", status_code=status.HTTP_202_ACCEPTED)
async def receive_webhook(_: Public, request: Request, session: Session, shared: Shared, provider: str) -> Received:
    """Take a provider's signed notice; what it is about is fetched from the provider itself."""
    gateway = open_gateway(shared.settings, shared.database, provider)
    try:
        event = gateway.verify_webhook(await request.body(), request.headers)
    except WebhookRefused:
        REFUSED.labels(gateway.name).inc()
        raise
    return Received(new=event is not None and await inbox.receive(session, gateway.name, event))
