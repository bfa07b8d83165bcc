"""Adaptive overlap: what it is expected to cost and save before the start, and what it has used and saved."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query

from api.auth import Allow
from api.session import Session
from marketplace.core.actor import Actor, OrganisationKind, Role, Scope
from marketplace.quality.doubt import DoubtView, whom_to_ask
from marketplace.quality.overlap_figures import OverlapFigures, OverlapPreview, OverlapQuestion, figures_of, preview

router = APIRouter(prefix="/v1", tags=["Quality"])
Reader = Annotated[Actor, Allow(Scope.REQUESTS_READ)]
VendorLead = Annotated[Actor, Allow(Scope.BIDS, Role.OWNER, Role.MANAGER, kind=OrganisationKind.VENDOR)]
MOST_DOUBTS: Final = 200


@router.get("/requests/{request_id}/overlap-preview")
async def overlap_preview(
    request_id: UUID, actor: Reader, session: Session, question: Annotated[OverlapQuestion, Query()]
) -> OverlapPreview:
    """Foresee answers per task, accuracy, cost and savings of my request, by simulation; nothing is changed.

    Without parameters it is the request's own plan; give others to compare plans, prices and workers.
    """
    return await preview(session, actor, request_id, question)


@router.get("/requests/{request_id}/overlap")
async def overlap_so_far(request_id: UUID, actor: Reader, session: Session) -> OverlapFigures:
    """Count the labels that my request has used and saved so far."""
    return await figures_of(session, actor, request_id)


@router.get("/requests/{request_id}/contracts/{contract_id}/doubts")
async def doubts(
    request_id: UUID,
    contract_id: UUID,
    actor: VendorLead,
    session: Session,
    limit: Annotated[int, Query(ge=1, le=MOST_DOUBTS)] = 50,
) -> list[DoubtView]:
    """Name the tasks of my contract that are most in doubt and have no seat, and whom of my workers to ask next."""
    return await whom_to_ask(session, actor, request_id, contract_id, limit)
