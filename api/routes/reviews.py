"""Reviews by sample: lots of labels that a sampling plan accepts or rejects, item by item."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends

from api.auth import Allow
from api.session import Session
from marketplace.catalog.queries import request_of
from marketplace.core.actor import Actor, Role, Scope
from marketplace.core.paging import Page, PageQuery
from marketplace.quality.sampling import lots, queries, reviewing
from marketplace.quality.sampling.schemas import (
    ItemToReview,
    LotDetail,
    LotDraft,
    LotView,
    ReviewedAccuracy,
    ReviewIn,
)

router = APIRouter(prefix="/v1/requests/{request_id}", tags=["Quality"])

_LEADS = (Role.OWNER, Role.MANAGER, Role.QUALITY_ASSESSOR, Role.ARBITRATOR, Role.ADMIN)
Lead = Annotated[Actor, Allow(Scope.QUALITY, *_LEADS)]
Reviewer = Annotated[Actor, Allow(Scope.QUALITY, Role.REVIEWER, *_LEADS)]
Reader = Annotated[Actor, Allow(Scope.REQUESTS_READ)]


@router.post("/review-lots", status_code=201)
async def open_review_lot(request_id: UUID, body: LotDraft, actor: Lead, session: Session) -> LotView:
    """Open a lot over the labels of my request: the plan is fixed with its hash, and the sample drawn, before reviews.

    A rejected lot touches nobody's pay; it may be named when the delivery is disputed.
    """
    return await lots.open_lot(session, actor, request_id, body)


@router.get("/review-lots")
async def list_review_lots(
    request_id: UUID, actor: Reader, session: Session, query: Annotated[PageQuery, Depends()]
) -> Page[LotView]:
    """List the lots of my request, newest first."""
    return await lots.lots_of(session, actor, request_id, query)


@router.get("/review-lots/{lot_id}")
async def show_review_lot(request_id: UUID, lot_id: UUID, actor: Reader, session: Session) -> LotDetail:
    """Show a lot with its decision curve, the plan's exact risks, and how often its reviewers were overruled."""
    return await lots.show_lot(session, actor, request_id, lot_id)


@router.post("/review-lots/{lot_id}/next")
async def next_review_item(request_id: UUID, lot_id: UUID, actor: Reviewer, session: Session) -> ItemToReview:
    """Take the next item of a lot to review; nobody chooses, and nobody reviews work of their own or their vendor's."""
    return await reviewing.next_item(session, actor, request_id, lot_id)


@router.post("/review-lots/{lot_id}/reviews")
async def give_review(request_id: UUID, lot_id: UUID, body: ReviewIn, actor: Reviewer, session: Session) -> LotView:
    """Give my finding on the item I took; the answer says whether the plan goes on, accepts or rejects."""
    return await reviewing.give(session, actor, request_id, lot_id, body)


@router.get("/reviewed-accuracy")
async def reviewed_accuracy(request_id: UUID, actor: Reader, session: Session) -> ReviewedAccuracy:
    """Show how many labels of my request are right by its reviewed samples, with an interval."""
    request = await request_of(session, actor, request_id)
    return await queries.reviewed_accuracy(session, request.id)
