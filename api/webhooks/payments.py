"""The webhook endpoint of every payment provider."""

from fastapi import APIRouter, Request, status
from pydantic import BaseModel

from api.auth import Public
from api.session import Session, Shared
from marketplace.payments import inbox
from marketplace.payments.providers import open_gateway

router = APIRouter(prefix="/v1/webhooks", tags=["Webhooks"])


class Received(BaseModel):
    """Whether this event was seen for the first time."""

    new: bool


@router.post("/{provider}", status_code=status.HTTP_202_ACCEPTED)
async def receive_webhook(_: Public, request: Request, session: Session, shared: Shared, provider: str) -> Received:
    """Take a provider's signed notice; what it is about is fetched from the provider itself."""
    gateway = open_gateway(shared.settings, shared.database, provider)
    event = gateway.verify_webhook(await request.body(), request.headers)
    return Received(new=await inbox.receive(session, gateway.name, event))
