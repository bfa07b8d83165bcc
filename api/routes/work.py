"""Work: the feed, claims, drafts and submissions of a worker; reservations of a vendor lead."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Response

from api.auth import Allow
from api.idempotency import OnceOnly
from api.session import HotConnection, Session, Shared
from marketplace.core.actor import Actor, OrganisationKind, Role, Scope
from marketplace.core.paging import Page, PageQuery
from marketplace.tasks import claims, feed, queries, reservations, submissions, work_sheet
from marketplace.tasks.schemas import (
    ClaimCreate,
    ClaimView,
    Confirmation,
    ContractWorkView,
    DraftIn,
    DraftView,
    Feed,
    LeaseView,
    ReservationCreate,
    ReservationView,
    SubmissionIn,
    SubmissionView,
    WorkerClaimView,
)

router = APIRouter(prefix="/v1", tags=["Work"])

Worker = Annotated[Actor, Allow(Scope.WORK, Role.WORKER)]
VendorLead = Annotated[Actor, Allow(Scope.BIDS, Role.OWNER, Role.MANAGER, kind=OrganisationKind.VENDOR)]
CONTRACT = "/requests/{request_id}/contracts/{contract_id}"
CLAIM = "/requests/{request_id}/claims/{claim_id}"


def _json(view: Any) -> Response:
    """Answer without a second validation: the hot path makes its own JSON."""
    return Response(msgspec.json.encode(view), media_type="application/json")


@router.get("/me/feed")
async def my_feed(actor: Worker, session: Session) -> Feed:
    """Show the work I may take, with pay per bundle and per hour, and what I lack for the rest."""
    return await feed.read_feed(session, actor.id)


@router.get("/me/claims")
async def my_claims(actor: Worker, session: Session, query: Annotated[PageQuery, Depends()]) -> Page[WorkerClaimView]:
    """List my claims, newest first."""
    found, cursor = await queries.claims_of_worker(session, actor.id, query)
    return Page(items=[work_sheet.claim_row(claim) for claim in found], next_cursor=cursor)


@router.put(CONTRACT + "/confirmation", status_code=204)
async def confirm_guideline(
    request_id: UUID, contract_id: UUID, body: Confirmation, actor: Worker, session: Session
) -> None:
    """Confirm that I have read this version of the guideline; needed once before the first claim."""
    await feed.confirm_guideline(session, actor.id, request_id, contract_id, version=body.guideline_version)


@router.post(CONTRACT + "/claims", status_code=201, response_model=ClaimView)
async def claim_bundle(  # FastAPI's way to ask for what it needs
    request_id: UUID, contract_id: UUID, body: ClaimCreate, actor: Worker, connection: HotConnection, shared: Shared
) -> Response:
    """Claim the next bundle: one seat, mine alone until the lease ends. The same `key` gets the same claim."""
    sheet = await work_sheet.claim_and_show(
        connection, shared.settings, shared.store, request_id, contract_id, worker_id=actor.id, key=body.key
    )
    answer = _json(sheet)
    answer.status_code = 201
    return answer


@router.get(CLAIM, response_model=ClaimView)
async def show_claim(
    request_id: UUID, claim_id: UUID, actor: Worker, connection: HotConnection, shared: Shared
) -> Response:
    """Show a claim that I hold, with its tasks (after a reload, or on another device)."""
    held = await claims.held_claim(connection, request_id, claim_id, actor.id)
    return _json(await work_sheet.show(connection, shared.settings, shared.store, request_id, held, actor.id))


@router.post(CLAIM + "/heartbeat")
async def renew_lease(
    request_id: UUID, claim_id: UUID, actor: Worker, connection: HotConnection, shared: Shared
) -> LeaseView:
    """Renew the lease while I work."""
    seconds = shared.settings.claim_lease_seconds
    ends_at = await claims.renew(connection, request_id, claim_id, actor.id, lease_seconds=seconds)
    return LeaseView(lease_expires_at=ends_at)


@router.post(CLAIM + "/return", status_code=204)
async def return_claim(request_id: UUID, claim_id: UUID, actor: Worker, connection: HotConnection) -> None:
    """Give the seat back, for somebody else. Nothing is held against me."""
    await claims.return_claim(connection, request_id, claim_id, actor.id)


def _given(body: SubmissionIn | DraftIn) -> list[submissions.GivenAnswer]:
    return [submissions.GivenAnswer(answer.task_id, answer.value, answer.seconds) for answer in body.answers]


@router.put(CLAIM + "/draft")
async def save_draft(
    request_id: UUID, claim_id: UUID, body: DraftIn, actor: Worker, connection: HotConnection
) -> DraftView:
    """Save some answers before the submission; they survive whatever happens to my phone."""
    return DraftView(saved=await submissions.save_draft(connection, request_id, claim_id, actor.id, _given(body)))


@router.get(CLAIM + "/draft")
async def show_draft(request_id: UUID, claim_id: UUID, actor: Worker, connection: HotConnection) -> dict[str, Any]:
    """Show the answers saved so far, by task id."""
    return await submissions.read_draft(connection, request_id, claim_id, actor.id)


@router.put(CLAIM + "/submission", response_model=SubmissionView)
async def submit_bundle(
    request_id: UUID, claim_id: UUID, body: SubmissionIn, actor: Worker, connection: HotConnection
) -> Response:
    """Submit the whole bundle. Sending the same submission id again gets the same answer, whatever happened before."""
    submission = submissions.Submission(request_id, claim_id, actor.id, body.submission_id, _given(body))
    return _json(await submissions.submit(connection, submission))


@router.post(CONTRACT + "/reservations", status_code=201)
async def reserve_seats(  # FastAPI's way to ask for what it needs
    request_id: UUID, contract_id: UUID, body: ReservationCreate, actor: VendorLead, session: Session, once: OnceOnly
) -> ReservationView:
    """Reserve bundles of chosen items for one of my workers: seats that nobody else can take."""
    return await once.run(ReservationView, lambda: reservations.reserve(session, actor, request_id, contract_id, body))


@router.get(CONTRACT + "/work")
async def contract_work(request_id: UUID, contract_id: UUID, actor: VendorLead, session: Session) -> ContractWorkView:
    """Show what of my contract is not decided yet."""
    return await reservations.contract_work(session, actor, request_id, contract_id)


@router.post(CONTRACT + "/finish")
async def finish_contract(
    request_id: UUID, contract_id: UUID, actor: VendorLead, session: Session, once: OnceOnly
) -> ContractWorkView:
    """Declare my contract done: open seats close, what is submitted is still judged and paid."""
    return await once.run(
        ContractWorkView, lambda: reservations.finish_by_vendor(session, actor, request_id, contract_id)
    )
