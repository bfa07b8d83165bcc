"""Adaptive overlap: what it is expected to cost and save before the start, and what it has used and saved."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from api.auth import Allow
from api.session import Session
from marketplace.core.actor import Actor, Scope
from marketplace.quality.overlap_figures import OverlapFigures, OverlapPreview, OverlapQuestion, figures_of, preview

router = APIRouter(prefix="/v1", tags=["Quality"])
Reader = Annotated[Actor, Allow(Scope.REQUESTS_READ)]


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
