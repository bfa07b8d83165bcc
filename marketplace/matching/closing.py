"""Closing the bids of a request at its deadline: open, score, propose, and award where the formula alone decides."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Final
from uuid import UUID

import structlog
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit import service as audit
from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.states import AwardMode, Channel, RequestState
from marketplace.core.actor import SYSTEM
from marketplace.core.clock import now
from marketplace.core.outbox import emit
from marketplace.core.settings import Settings
from marketplace.core.states import check_step
from marketplace.matching.awards import award_locked, formula_decision
from marketplace.matching.errors import AwardUnaffordable
from marketplace.matching.fit import misfits_of_vendors
from marketplace.matching.models import Bid
from marketplace.matching.policy import (
    REASON_TEXTS,
    Demand,
    Offer,
    Proposal,
    Record,
    TrackRecords,
    propose,
    score,
)
from marketplace.matching.queries import bids_on, demand_of
from marketplace.matching.schemas import AwardShare, BidScore, OpenedTerms
from marketplace.matching.sealing import BidName, unseal
from marketplace.matching.states import BID_STEPS, BidState

CLOSE_BIDS: Final = "matching.close_bids"

log = structlog.get_logger()


async def close_bids(session: AsyncSession, request_id: UUID, records: TrackRecords, *, settings: Settings) -> None:
    """Open and score the bids of a request after its deadline, and award it if the formula alone decides.

    May be called at any time and again: too early it asks to be called at the deadline, afterwards it does nothing
    twice. A suspended request is left alone: resuming it asks for this again.

    Raises:
        SealBroken: a bid was tampered with; none is opened, so that spoiling a rival's row does not win an award.
    """
    statement = select(DatasetRequest).where(DatasetRequest.id == request_id).with_for_update()
    request = (await session.exec(statement.execution_options(populate_existing=True))).first()
    if request is None or request.state is not RequestState.OPEN:
        return
    # the open crowd takes no bids and waits for no deadline
    if request.channel is not Channel.OPEN_CROWD and now() < request.bid_deadline:
        emit(session, CLOSE_BIDS, {"request_id": str(request_id)}, due_at=request.bid_deadline)
        return
    sealed = await bids_on(session, request_id, BidState.SEALED)
    if sealed:
        await _open(session, request, sealed, records, settings)
    elif not await bids_on(session, request_id, BidState.OPENED):
        await _without_bids(session, request, settings)


async def _open(
    session: AsyncSession, request: DatasetRequest, bids: Sequence[Bid], records: TrackRecords, settings: Settings
) -> None:
    demand, at = demand_of(request), now()
    misfits = await misfits_of_vendors(session, request, {bid.vendor_organisation_id for bid in bids})
    offers = []
    for bid in bids:
        terms = _unseal(bid, settings)
        own = records.of_vendors.get(bid.vendor_organisation_id, Record())
        fit = not misfits[bid.vendor_organisation_id]
        offers.append(Offer(bid.id, terms, score(terms, demand, own, records.market, at), fit))
    proposals = propose(offers, demand, at)
    _store_scores(bids, offers, proposals, demand, records)
    audit.record(
        session, SYSTEM, "bids.opened", f"request:{request.id}", organisation_id=request.organisation_id,
        count=len(bids),
    )  # fmt: skip
    await session.flush()
    if request.award_mode is AwardMode.AUTO:
        await _award_by_formula(session, request, proposals, settings)


def _unseal(bid: Bid, settings: Settings) -> OpenedTerms:
    """Open one bid and store its terms."""
    name = BidName(bid.request_id, bid.id, bid.vendor_organisation_id)
    terms, salt = unseal(settings.secret_key.get_secret_value(), name, bid.sealed, bid.commitment)
    opened = OpenedTerms(**terms.model_dump(), commitment_salt=salt)
    check_step(BID_STEPS, bid.state, BidState.OPENED)
    bid.state = BidState.OPENED
    bid.opened = opened.model_dump(mode="json")
    return opened


def _store_scores(
    bids: Sequence[Bid], offers: Sequence[Offer], proposals: Sequence[Proposal], demand: Demand, records: TrackRecords
) -> None:
    scores = {offer.bid_id: offer.score for offer in offers}
    by_bid = {proposal.bid_id: proposal for proposal in proposals}
    for bid in bids:
        proposal, own = by_bid[bid.id], records.of_vendors.get(bid.vendor_organisation_id, Record())
        bid.score = BidScore(
            **asdict(scores[bid.id]),
            bundles_judged=own.judged,
            proposed_share=proposal.items / demand.item_count,
            reason=proposal.reason,
            reason_text=REASON_TEXTS[proposal.reason],
        ).model_dump(mode="json")


async def _award_by_formula(
    session: AsyncSession, request: DatasetRequest, proposals: Sequence[Proposal], settings: Settings
) -> None:
    """Award by the formula's proposal; what no bid takes goes to the open crowd, if the request is open to it."""
    count = request.item_count
    shares = [AwardShare(bid_id=p.bid_id, share=p.items / count) for p in proposals if p.items]
    rest = count - sum(proposal.items for proposal in proposals)
    if rest and request.channel is Channel.VENDORS:
        _wait(session, request, "The bids do not cover all items.")
        return
    if rest:
        shares.append(AwardShare(bid_id=None, share=rest / count))
    codes = {proposal.bid_id: proposal.reason for proposal in proposals}
    try:
        await award_locked(session, request, shares, formula_decision(codes), settings)
    except AwardUnaffordable as error:
        _wait(session, request, error.detail)


async def _without_bids(session: AsyncSession, request: DatasetRequest, settings: Settings) -> None:
    """Give the whole request to the open crowd; with vendors only, the enterprise may set a later deadline."""
    if request.channel is Channel.VENDORS:
        _wait(session, request, "There was no bid.")
        return
    try:
        whole = [AwardShare(bid_id=None, share=1.0)]
        await award_locked(session, request, whole, formula_decision({}), settings)
    except AwardUnaffordable as error:
        _wait(session, request, error.detail)


def _wait(session: AsyncSession, request: DatasetRequest, why: str) -> None:
    """Leave the decision to the enterprise."""
    log.info("award.waits", market_request_id=str(request.id), why=why)
    audit.record(
        session, SYSTEM, "award.waits", f"request:{request.id}", organisation_id=request.organisation_id, why=why
    )
