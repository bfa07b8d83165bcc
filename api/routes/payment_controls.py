"""The operator's control over payments: pause switches, and how the providers do."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, status

from api.routes.money import Paging
from api.routes.operator_ledger import Finance, Reader, WithReason
from api.session import Session, Shared
from marketplace.core.paging import Page
from marketplace.payments import health, pauses
from marketplace.payments.control_schemas import Pause, PauseView, ProviderHealth
from marketplace.payments.queries import providers_in_use

router = APIRouter(prefix="/v1/operator", tags=["Money"])


@router.post("/payment-pauses", status_code=status.HTTP_201_CREATED)
async def pause_payments(actor: Finance, session: Session, shared: Shared, body: Pause) -> PauseView:
    """Stop the remote calls of a provider, an organisation or a payee; what is under way is still followed up."""
    known = await providers_in_use(session, shared.settings.providers_in_use)
    return PauseView.model_validate(await pauses.pause(session, actor, set(known), body))


@router.get("/payment-pauses")
async def list_payment_pauses(
    _actor: Reader, session: Session, query: Paging, standing: Annotated[bool, Query()] = True
) -> Page[PauseView]:
    """List the pauses that stand, or with `standing=false` all that ever were, newest first."""
    rows, cursor = await pauses.list_pauses(session, query, standing=standing)
    return Page(items=[PauseView.model_validate(row) for row in rows], next_cursor=cursor)


@router.post("/payment-pauses/{pause_id}/lift")
async def lift_payment_pause(actor: Finance, session: Session, pause_id: UUID, body: WithReason) -> PauseView:
    """End a pause; what waited goes on."""
    return PauseView.model_validate(await pauses.lift(session, actor, pause_id, body.reason))


@router.get("/providers")
async def list_providers(_actor: Reader, session: Session, shared: Shared) -> list[ProviderHealth]:
    """Return how each payment provider does: its circuit, calls of open outcome, payouts that wait, and its pause."""
    return await health.of_providers(session, shared.settings.providers_in_use)
