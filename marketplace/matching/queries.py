"""Reads of matching; they decide who may see a request, and what is seen of its bids."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.errors import RequestNotFound
from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.queries import request_of
from marketplace.catalog.schemas import QualityPlan
from marketplace.catalog.states import Channel, RequestState
from marketplace.core.actor import Actor
from marketplace.core.paging import Page, PageQuery, read_page
from marketplace.matching.errors import AwardNotFound, BidNotFound
from marketplace.matching.models import Award, Bid, Contract
from marketplace.matching.policy import Demand
from marketplace.matching.schemas import (
    AwardReason,
    AwardReasonCode,
    AwardView,
    BidScore,
    BidView,
    ContractView,
    OpenedTerms,
)
from marketplace.matching.states import BidState

TAKEN_PART = (BidState.OPENED, BidState.WON, BidState.LOST)


def demand_of(request: DatasetRequest) -> Demand:
    """Return what the rules of matching need to know of a request."""
    plan = QualityPlan.model_validate(request.quality_plan)
    return Demand(
        item_count=request.item_count,
        overlap_min=plan.overlap_min,
        unit_price_ceiling=request.unit_price_ceiling,
        budget_minor=request.budget_minor,
        weights=request.scoring,
    )


async def request_for_vendor(session: AsyncSession, actor: Actor, request_id: UUID) -> DatasetRequest:
    """Return a request that is open, or that the actor's vendor has a bid on; held as it is until the transaction ends.

    The shared lock makes the closing of bids wait for bids under way, and later bids wait for the closing.

    Raises:
        RequestNotFound: there is none, or it is not published.
    """
    statement = select(DatasetRequest).where(DatasetRequest.id == request_id).with_for_update(read=True)
    request = (await session.exec(statement.execution_options(populate_existing=True))).first()
    if request is None:
        raise RequestNotFound
    if request.state is not RequestState.OPEN and await find_own_bid(session, actor, request_id) is None:
        raise RequestNotFound
    return request


async def find_own_bid(session: AsyncSession, actor: Actor, request_id: UUID) -> Bid | None:
    """Return the bid of the actor's vendor on a request, if there is one."""
    found = await session.exec(
        select(Bid).where(Bid.request_id == request_id, Bid.vendor_organisation_id == actor.organisation_id)
    )
    return found.first()


async def get_own_bid(session: AsyncSession, actor: Actor, request_id: UUID, *, lock: bool = False) -> Bid:
    """Return the bid of the actor's vendor, locked for a change if asked; raise `BidNotFound` without one."""
    statement = select(Bid).where(
        Bid.request_id == request_id, Bid.vendor_organisation_id == actor.organisation_id, Bid.state != BidState.DRAFT
    )
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    bid = (await session.exec(statement)).first()
    if bid is None:
        raise BidNotFound
    return bid


async def find_biddable(
    session: AsyncSession, query: PageQuery, at: datetime
) -> tuple[list[DatasetRequest], str | None]:
    """Return a page of the requests that take bids at this moment, newest first."""
    statement = select(DatasetRequest).where(
        DatasetRequest.state == RequestState.OPEN,
        col(DatasetRequest.channel).in_((Channel.VENDORS, Channel.BOTH)),
        DatasetRequest.bid_deadline > at,
    )
    return await read_page(session, statement, DatasetRequest.id, query)


async def requests_bid_on(session: AsyncSession, vendor_id: UUID, request_ids: Collection[UUID]) -> set[UUID]:
    """Return on which of these requests a vendor has a bid that stands."""
    found = await session.exec(
        select(Bid.request_id).where(
            col(Bid.request_id).in_(request_ids),
            Bid.vendor_organisation_id == vendor_id,
            col(Bid.state).not_in((BidState.DRAFT, BidState.WITHDRAWN)),
        )
    )
    return set(found.all())


async def bids_on(session: AsyncSession, request_id: UUID, *states: BidState) -> list[Bid]:
    """Return the bids of a request in these states, in the order of arrival."""
    found = await session.exec(
        select(Bid).where(Bid.request_id == request_id, col(Bid.state).in_(states)).order_by(col(Bid.id))
    )
    return list(found.all())


def bid_view(bid: Bid) -> BidView:
    """Return a bid as the enterprise sees it; a sealed one shows its commitment and nothing else."""
    taken_part = bid.state in TAKEN_PART
    return BidView(
        id=bid.id,
        state=bid.state,
        commitment=bid.commitment,
        vendor_organisation_id=bid.vendor_organisation_id if taken_part else None,
        opened=OpenedTerms.model_validate(bid.opened) if bid.opened else None,
        score=BidScore.model_validate(bid.score) if bid.score else None,
    )


async def get_award(session: AsyncSession, actor: Actor, request_id: UUID) -> AwardView:
    """Return a request's award, to its enterprise and to the operator."""
    await request_of(session, actor, request_id)
    award = (await session.exec(select(Award).where(Award.request_id == request_id))).first()
    if award is None:
        raise AwardNotFound
    return award_view(award, await _contracts(session, request_id))


def award_view(award: Award, contracts: list[Contract]) -> AwardView:
    """Return the award with its contracts."""
    reasons = [AwardReason.model_validate(reason) for reason in award.reasons]
    return AwardView(
        id=award.id,
        request_id=award.request_id,
        decided_by=award.decided_by,
        decided_at=award.created_at,
        formula=award.formula,
        note=award.note,
        open_crowd_share=sum(reason.share for reason in reasons if reason.code is AwardReasonCode.OPEN_CROWD),
        reasons=reasons,
        contracts=[ContractView.model_validate(contract) for contract in contracts],
    )


async def _contracts(session: AsyncSession, request_id: UUID) -> list[Contract]:
    found = await session.exec(
        select(Contract).where(Contract.request_id == request_id).order_by(col(Contract.first_position))
    )
    return list(found.all())


async def contracts_of_request(session: AsyncSession, actor: Actor, request_id: UUID) -> list[ContractView]:
    """Return the contracts of a request in the order of their items: all to its enterprise, to a vendor its own.

    Raises:
        RequestNotFound: the request is another enterprise's, or the vendor has no contract on it.
    """
    contracts = [ContractView.model_validate(contract) for contract in await _contracts(session, request_id)]
    own = [c for c in contracts if c.vendor_organisation_id and c.vendor_organisation_id == actor.organisation_id]
    if own:
        return own
    await request_of(session, actor, request_id)
    return contracts


async def contracts_of_vendor(session: AsyncSession, actor: Actor, query: PageQuery) -> Page[ContractView]:
    """Return a page of the contracts of the actor's vendor, newest first."""
    statement = select(Contract).where(Contract.vendor_organisation_id == actor.organisation_id)
    rows, cursor = await read_page(session, statement, Contract.id, query)
    return Page(items=[ContractView.model_validate(row) for row in rows], next_cursor=cursor)
