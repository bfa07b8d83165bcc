"""Sealed bids, their opening, the award and its contracts."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from api.auth import Allow
from api.idempotency import OnceOnly
from api.session import Session, Shared
from marketplace.core.actor import Actor, OrganisationKind, Role, Scope
from marketplace.core.paging import Page, PageQuery
from marketplace.matching import awards, bids, queries
from marketplace.matching.schemas import (
    AwardCommand,
    AwardView,
    BiddableRequestView,
    BidsView,
    BidTerms,
    ContractView,
    ExtendCommand,
    OwnBidView,
)

router = APIRouter(prefix="/v1", tags=["Bids and award"])
Bidder = Annotated[Actor, Allow(Scope.BIDS, Role.OWNER, Role.MANAGER, kind=OrganisationKind.VENDOR)]
Reader = Annotated[Actor, Allow(Scope.REQUESTS_READ)]
Buyer = Annotated[Actor, Allow(Scope.REQUESTS_WRITE, Role.OWNER, Role.MANAGER, kind=OrganisationKind.ENTERPRISE)]
Paging = Annotated[PageQuery, Query()]


@router.get("/open-requests")
async def list_biddable_requests(actor: Bidder, session: Session, paging: Paging) -> Page[BiddableRequestView]:
    """List the requests that take bids now, newest first, each with whether you may bid and if not, why."""
    return await bids.open_requests(session, actor, paging)


@router.put("/requests/{request_id}/bids/mine")
async def submit_bid(actor: Bidder, session: Session, shared: Shared, request_id: UUID, body: BidTerms) -> OwnBidView:
    """Submit your sealed bid, or replace it, until the bid deadline; keep the commitment to check it afterwards."""
    return await bids.submit_bid(session, actor, request_id, body, settings=shared.settings)


@router.get("/requests/{request_id}/bids/mine")
async def get_own_bid(actor: Bidder, session: Session, shared: Shared, request_id: UUID) -> OwnBidView:
    """Return your own bid with its terms; until the opening nobody else can read them."""
    return await bids.own_bid(session, actor, request_id, settings=shared.settings)


@router.delete("/requests/{request_id}/bids/mine")
async def withdraw_bid(actor: Bidder, session: Session, request_id: UUID) -> OwnBidView:
    """Withdraw your bid for good, until the bid deadline; to change it, submit it again instead."""
    return await bids.withdraw_bid(session, actor, request_id)


@router.get("/requests/{request_id}/bids")
async def list_bids(actor: Reader, session: Session, request_id: UUID) -> BidsView:
    """Return the bids on your request: sealed until the deadline, then opened, scored and with a proposal."""
    return await bids.see_bids(session, actor, request_id)


@router.post("/requests/{request_id}/bids/extend")
async def extend_bidding(actor: Buyer, session: Session, request_id: UUID, body: ExtendCommand) -> BidsView:
    """Set a later bid deadline for a request that got no bid at all."""
    return await bids.extend_bidding(session, actor, request_id, body)


@router.post("/requests/{request_id}/award")
async def award_request(
    actor: Buyer, session: Session, shared: Shared, once: OnceOnly, request_id: UUID, body: AwardCommand
) -> AwardView:
    """Award your request to one or several bids (and the open crowd) by shares; makes their contracts."""
    return await once.run(
        AwardView,
        lambda: awards.award(session, actor, request_id, body.shares, settings=shared.settings, note=body.note),
    )


@router.get("/requests/{request_id}/award")
async def get_award(actor: Reader, session: Session, request_id: UUID) -> AwardView:
    """Return the award of your request, with the reasons for each bid."""
    return await queries.get_award(session, actor, request_id)


@router.get("/requests/{request_id}/contracts")
async def list_request_contracts(actor: Reader, session: Session, request_id: UUID) -> list[ContractView]:
    """Return the contracts of your request; a vendor gets its own."""
    return await queries.contracts_of_request(session, actor, request_id)


@router.get("/contracts")
async def list_own_contracts(actor: Bidder, session: Session, paging: Paging) -> Page[ContractView]:
    """List the contracts of your vendor organisation, newest first."""
    return await queries.contracts_of_vendor(session, actor, paging)
