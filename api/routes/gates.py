"""Gates: what work is held against and how often that passes good and bad workers; known answers once out of use."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter

from api.auth import Allow
from api.session import Session
from marketplace.core.actor import Actor, Role, Scope
from marketplace.quality import gate_views
from marketplace.quality.gate_views import GatesView, MissedGoldView

router = APIRouter(prefix="/v1/requests/{request_id}", tags=["Quality"])

Concerned = Annotated[Actor, Allow(Scope.REQUESTS_READ, Scope.WORK)]
Worker = Annotated[Actor, Allow(Scope.WORK, Role.WORKER)]


@router.get("/gates")
async def request_gates(request_id: UUID, actor: Concerned, session: Session) -> GatesView:
    """Show the gates of a request that I ordered or work on, and how many good and bad bundles they let through."""
    return await gate_views.gates_of(session, actor, request_id)


@router.get("/claims/{claim_id}/missed-gold")
async def missed_gold(request_id: UUID, claim_id: UUID, actor: Worker, session: Session) -> MissedGoldView:
    """Show the known answers that I missed, with what is right and why, once the request's gold is out of use."""
    return await gate_views.missed_gold(session, actor, request_id, claim_id)
