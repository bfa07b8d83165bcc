"""Gold, for the enterprise alone: how often it was met, how rightly answered, doubts, and candidates for more."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends

from api.auth import Allow
from api.session import Session, Shared
from marketplace.core.actor import Actor, OrganisationKind, Role, Scope
from marketplace.core.paging import Page, PageQuery
from marketplace.quality.gold import queries, service
from marketplace.quality.gold.schemas import (
    CandidateDecision,
    CandidatesDecided,
    CandidateView,
    GoldDecision,
    GoldView,
)
from marketplace.quality.gold.states import CandidateState, GoldState

router = APIRouter(prefix="/v1", tags=["Quality"])
Keeper = Annotated[
    Actor, Allow(Scope.QUALITY, Role.OWNER, Role.MANAGER, Role.REVIEWER, kind=OrganisationKind.ENTERPRISE)
]


@router.get("/requests/{request_id}/gold")
async def list_gold(
    request_id: UUID,
    actor: Keeper,
    session: Session,
    query: Annotated[PageQuery, Depends()],
    state: GoldState | None = None,
) -> Page[GoldView]:
    """List the gold of my request: its state, how many workers met it, and the share right of all and of good ones."""
    return await queries.gold_page(session, actor, request_id, query, state)


@router.post("/requests/{request_id}/gold/{item_id}/decide")
async def decide_gold(
    request_id: UUID, item_id: UUID, body: GoldDecision, actor: Keeper, session: Session, shared: Shared
) -> GoldView:
    """Keep, correct or retire gold that good workers answer otherwise; whom it marked wrong may appeal anew."""
    return await service.decide_doubt(session, actor, shared.settings, request_id, item_id, body)


@router.get("/requests/{request_id}/gold-candidates")
async def list_candidates(
    request_id: UUID,
    actor: Keeper,
    session: Session,
    query: Annotated[PageQuery, Depends()],
    state: CandidateState = CandidateState.PROPOSED,
) -> Page[CandidateView]:
    """List tasks of my request whose label could become gold, and why."""
    return await queries.candidate_page(session, actor, request_id, query, state)


@router.post("/requests/{request_id}/gold-candidates/decide")
async def decide_candidates(
    request_id: UUID, body: CandidateDecision, actor: Keeper, session: Session
) -> CandidatesDecided:
    """Make candidates gold, or decline them, up to 200 at once."""
    return CandidatesDecided(decided=await service.decide_candidates(session, actor, request_id, body))
