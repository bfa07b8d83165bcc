"""The operator's knobs of the sandbox provider: outcomes, faults, webhooks, its clock. Absent where money is real."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, status
from pydantic import BaseModel, ConfigDict

from api.auth import Allow
from api.session import Session, Shared
from marketplace.audit.service import record
from marketplace.core.actor import Actor, OrganisationKind, Role, Scope
from marketplace.payments.errors import ProviderUnknown
from marketplace.payments.gateway import RemoteState
from marketplace.payments.providers import open_gateway
from marketplace.payments.sandbox import knobs
from marketplace.payments.sandbox.bank import Bank
from marketplace.payments.sandbox.gateway import NAME
from marketplace.payments.sandbox.knobs import Forced, MoveClock, QueueFaults, SandboxView, WebhookKnobs
from marketplace.payments.sandbox.settings import get_sandbox_settings
from marketplace.payments.states import Leg

router = APIRouter(prefix="/v1/operator/sandbox", tags=["Money"])

Reader = Annotated[Actor, Allow(Scope.MONEY_READ, Role.OPERATOR_FINANCE, Role.ADMIN, kind=OrganisationKind.OPERATOR)]
Operator = Annotated[Actor, Allow(Scope.OPERATE, Role.OPERATOR_FINANCE, Role.ADMIN, kind=OrganisationKind.OPERATOR)]


class SandboxObjectView(BaseModel):
    """An object at the sandbox as it is now; `due_at` is when its bank will say more, by the bank's clock."""

    model_config = ConfigDict(from_attributes=True)

    kind: Leg
    ref: str
    state: RemoteState
    failure_code: str | None
    due_at: datetime | None


async def _here(shared: Shared) -> None:
    """Let nobody find these calls where the sandbox is not the provider, or may not be used."""
    if shared.settings.payment_provider != NAME:
        raise ProviderUnknown
    open_gateway(shared.settings, shared.database, NAME)


Here = Depends(_here)


@router.get("", dependencies=[Here])
async def get_sandbox(_: Reader, session: Session) -> SandboxView:
    """Return what is set at the sandbox."""
    return await knobs.view(session)


@router.put("/webhooks", dependencies=[Here])
async def set_sandbox_webhooks(actor: Operator, session: Session, body: WebhookKnobs) -> SandboxView:
    """Duplicate, reorder, delay or drop the sandbox's webhooks from now on; the gap fill finds what is dropped."""
    await knobs.set_webhooks(session, actor, body)
    return await knobs.view(session)


@router.post("/faults", status_code=status.HTTP_201_CREATED, dependencies=[Here])
async def queue_sandbox_faults(actor: Operator, session: Session, body: QueueFaults) -> SandboxView:
    """Let the next calls lose their request or answer, meet an error before or after the effect, or be throttled."""
    await knobs.queue_faults(session, actor, body)
    return await knobs.view(session)


@router.delete("/faults", dependencies=[Here])
async def clear_sandbox_faults(actor: Operator, session: Session) -> SandboxView:
    """Forget the faults that no call has met yet."""
    await knobs.clear_faults(session, actor)
    return await knobs.view(session)


@router.post("/clock", dependencies=[Here])
async def move_sandbox_clock(actor: Operator, session: Session, body: MoveClock) -> SandboxView:
    """Move the bank's clock ahead: money becomes available, payouts arrive or return, held webhooks leave."""
    await knobs.move_clock(session, actor, body.by_seconds)
    return await knobs.view(session)


@router.post("/outcomes", dependencies=[Here])
async def force_sandbox_outcome(actor: Operator, session: Session, body: Forced) -> SandboxObjectView:
    """Let a payout be paid, fail or return, a top-up succeed, fail or be disputed, a dispute end, a payee lapse."""
    thing = await Bank(session, get_sandbox_settings()).force(body.kind, body.id.hex, body.outcome)
    record(session, actor, "sandbox.outcome", f"{body.kind.value}:{body.id}", outcome=body.outcome)
    return SandboxObjectView.model_validate(thing)
