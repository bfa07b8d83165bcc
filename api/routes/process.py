"""Due process: held verdicts, the brake on mass rejection, and what is public of a requester."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends

from api.auth import Allow
from api.session import Session, Shared
from marketplace.catalog.schemas import Reason
from marketplace.core.actor import Actor, OrganisationKind, Role, Scope
from marketplace.core.paging import Page, PageQuery
from marketplace.quality.process import brake, review, statistics
from marketplace.quality.process.schemas import BrakeView, DueProcessView, HeldDecision, HeldView, UnderReviewView
from marketplace.quality.process.states import HeldState

router = APIRouter(prefix="/v1", tags=["Quality"])
Worker = Annotated[Actor, Allow(Scope.WORK, Role.WORKER)]
Reader = Annotated[Actor, Allow(Scope.REQUESTS_READ)]
Anybody = Annotated[Actor, Allow(Scope.PROFILE, Scope.REQUESTS_READ)]
Person = Annotated[
    Actor,
    Allow(
        Scope.QUALITY, Role.ARBITRATOR, Role.QUALITY_ASSESSOR, Role.ADMIN, kind=OrganisationKind.OPERATOR,
    ),
]  # fmt: skip


@router.get("/requesters/{organisation_id}/due-process")
async def due_process(organisation_id: UUID, _actor: Anybody, session: Session) -> DueProcessView:
    """Show how a requester deals with work: shares rejected, sent back and overturned, and hours to an answer."""
    return await statistics.due_process_of(session, organisation_id)


@router.get("/me/reviews")
async def my_reviews(actor: Worker, session: Session, query: Annotated[PageQuery, Depends()]) -> Page[UnderReviewView]:
    """List my submissions that are being reviewed by a person, newest first."""
    return await review.under_review(session, actor.id, query)


@router.get("/requests/{request_id}/brake")
async def show_brake(request_id: UUID, actor: Reader, session: Session) -> BrakeView:
    """Show whether rejections of my request are held for a person, and why."""
    return await brake.brake_of(session, actor, request_id)


@router.post("/requests/{request_id}/brake/open")
async def open_brake(request_id: UUID, body: Reason, actor: Person, session: Session) -> BrakeView:
    """Let the gates of a request reject again, with a reason; what is held stays held until a person decides."""
    return await brake.open_brake(session, actor, request_id, body.reason)


@router.get("/held-verdicts")
async def list_held(
    _actor: Person, session: Session, query: Annotated[PageQuery, Depends()], state: HeldState = HeldState.WAITING
) -> Page[HeldView]:
    """List the rejections that the brake holds for a person, with their evidence."""
    return await review.held_verdicts(session, query, state)


@router.post("/held-verdicts/{request_id}/{held_id}/decide")
async def decide_held(
    request_id: UUID, held_id: UUID, body: HeldDecision, actor: Person, session: Session, shared: Shared
) -> HeldView:
    """Decide on a held verdict: confirm the rejection, or accept the work, after which it counts and is paid."""
    return await review.decide_held(session, actor, shared.settings, request_id, held_id, body)
