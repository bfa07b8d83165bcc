"""Models as workers: an enterprise's own models label its tasks beside people, with their own measured quality."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, status

from api.auth import Allow
from api.session import Session, Shared
from marketplace.core.actor import Actor, OrganisationKind, Scope
from marketplace.quality.annotators import service
from marketplace.quality.annotators.schemas import AnnotatorView, ConnectAnnotator

router = APIRouter(prefix="/v1/requests/{request_id}/models", tags=["Quality"])

Author = Annotated[Actor, Allow(Scope.REQUESTS_WRITE, kind=OrganisationKind.ENTERPRISE)]
Reader = Annotated[Actor, Allow(Scope.REQUESTS_READ)]


@router.post("", status_code=status.HTTP_201_CREATED)
async def connect_model(
    actor: Author, session: Session, shared: Shared, request_id: UUID, body: ConnectAnnotator
) -> AnnotatorView:
    """Connect a model that speaks Label Studio's ML-backend protocol; it labels all items of my request.

    It counts as one more annotator by its measured quality, is never paid, and never decides a task without people.
    """
    return await service.connect(session, actor, shared.settings, request_id, body)


@router.get("")
async def list_models(actor: Reader, session: Session, request_id: UUID) -> list[AnnotatorView]:
    """List the models of my request (five at most) with their progress and measured quality."""
    return await service.shown(session, actor, request_id)


@router.post("/{annotator_id}/stop")
async def stop_model(actor: Author, session: Session, request_id: UUID, annotator_id: UUID) -> AnnotatorView:
    """Stop a model: it labels no more, and what it said counts no more from the next fit on."""
    return await service.stop(session, actor, request_id, annotator_id)


@router.post("/{annotator_id}/retry")
async def retry_model(actor: Author, session: Session, request_id: UUID, annotator_id: UUID) -> AnnotatorView:
    """Try a model again that could not be reached or answered wrongly."""
    return await service.retry(session, actor, request_id, annotator_id)
