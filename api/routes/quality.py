"""Quality: verdicts and appeals for workers and the operator; report, items and samples for the enterprise."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from api.auth import Allow
from api.session import Session, Shared
from marketplace.core.actor import Actor, OrganisationKind, Role, Scope
from marketplace.core.paging import Page, PageQuery
from marketplace.quality import appeals, browse, export_rows
from marketplace.quality.schemas import (
    AppealDecision,
    AppealIn,
    AppealView,
    DatasetCard,
    ItemFilter,
    ItemView,
    QualityReport,
    SampleView,
    VerdictView,
)
from marketplace.quality.states import AppealState

router = APIRouter(prefix="/v1", tags=["Quality"])

MAX_SAMPLE = 200
Worker = Annotated[Actor, Allow(Scope.WORK, Role.WORKER)]
Reader = Annotated[Actor, Allow(Scope.REQUESTS_READ)]
Arbitrator = Annotated[Actor, Allow(Scope.QUALITY, Role.ARBITRATOR, Role.ADMIN, kind=OrganisationKind.OPERATOR)]


@router.get("/requests/{request_id}/quality")
async def quality_report(request_id: UUID, actor: Reader, session: Session) -> QualityReport:
    """Show the quality report of my request as it stands now."""
    return await browse.report_so_far(session, actor, request_id)


@router.get("/requests/{request_id}/card")
async def dataset_card(request_id: UUID, actor: Reader, session: Session) -> DatasetCard:
    """Show the dataset card of my request: what was asked of whom, how labels came about, how good they are."""
    return await export_rows.dataset_card(session, actor, request_id)


@router.get("/requests/{request_id}/items")
async def browse_items(
    request_id: UUID,
    actor: Reader,
    session: Session,
    query: Annotated[PageQuery, Depends()],
    wanted: Annotated[ItemFilter, Depends()],
) -> Page[ItemView]:
    """Browse the items of my request with their consensus; narrow to the unsure ones, or to those disagreed on."""
    return await browse.browse_items(session, actor, request_id, query, wanted)


@router.get("/requests/{request_id}/delivery/sample")
async def delivery_sample(
    request_id: UUID,
    actor: Reader,
    session: Session,
    size: Annotated[int, Query(ge=1, le=MAX_SAMPLE)] = 50,
    seed: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
) -> SampleView:
    """Draw a random sample of labeled items, with the single answers behind each label."""
    return await browse.draw_sample(session, actor, request_id, size, seed)


@router.get("/me/verdicts")
async def my_verdicts(actor: Worker, session: Session, query: Annotated[PageQuery, Depends()]) -> Page[VerdictView]:
    """List the verdicts on my work, newest first, each with its reason and evidence."""
    return await appeals.verdicts_of_worker(session, actor.id, query)


@router.get("/requests/{request_id}/claims/{claim_id}/verdict")
async def claim_verdict(request_id: UUID, claim_id: UUID, actor: Worker, session: Session) -> VerdictView:
    """Show the newest verdict on one of my claims."""
    return await appeals.verdict_of_claim(session, actor, request_id, claim_id)


@router.post("/requests/{request_id}/verdicts/{verdict_id}/appeal", status_code=201)
async def appeal_verdict(
    request_id: UUID, verdict_id: UUID, body: AppealIn, actor: Worker, session: Session, shared: Shared
) -> AppealView:
    """Appeal a rejection of my work, within its window; a person decides."""
    return await appeals.appeal(session, actor, shared.settings, request_id, verdict_id, body)


@router.get("/appeals")
async def list_appeals(
    _actor: Arbitrator, session: Session, query: Annotated[PageQuery, Depends()], state: AppealState = AppealState.OPEN
) -> Page[AppealView]:
    """List appeals with the verdicts they are against; open ones by when an answer is due, overdue ones first."""
    return await appeals.open_appeals(session, query, state)


@router.post("/appeals/{request_id}/{appeal_id}/decide")
async def decide_appeal(
    request_id: UUID, appeal_id: UUID, body: AppealDecision, actor: Arbitrator, session: Session
) -> AppealView:
    """Decide an appeal: uphold the verdict, or overturn it, after which the work counts and is paid."""
    return await appeals.decide(session, actor, request_id, appeal_id, body)
