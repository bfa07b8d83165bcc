"""What a vendor does with its bid until the deadline, and what the enterprise sees of all bids."""

from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit import service as audit
from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.queries import open_view, request_of
from marketplace.catalog.states import Channel, RequestState
from marketplace.core.actor import Actor, OrganisationKind
from marketplace.core.clock import now
from marketplace.core.errors import FieldProblem
from marketplace.core.ids import new_id
from marketplace.core.outbox import emit
from marketplace.core.paging import Page, PageQuery
from marketplace.core.settings import Settings
from marketplace.core.states import check_step
from marketplace.matching.closing import CLOSE_BIDS
from marketplace.matching.errors import BidDeadlineWrong, BidRefused, BidsClosed, BidsExist, VendorUnfit
from marketplace.matching.fit import facts_of_vendors, misfits_of_vendors, needs_of
from marketplace.matching.models import Bid
from marketplace.matching.policy import misfits, terms_problems
from marketplace.matching.queries import (
    TAKEN_PART,
    bid_view,
    bids_on,
    find_biddable,
    get_own_bid,
    request_for_vendor,
    requests_bid_on,
)
from marketplace.matching.schemas import (
    BiddableRequestView,
    BidScore,
    BidsView,
    BidTerms,
    ExtendCommand,
    Fit,
    OwnBidView,
)
from marketplace.matching.sealing import BidName, seal, unseal
from marketplace.matching.states import BID_STEPS, BidState


async def submit_bid(
    session: AsyncSession, actor: Actor, request_id: UUID, terms: BidTerms, *, settings: Settings
) -> OwnBidView:
    """Seal the terms as the bid of the actor's vendor; a bid that is there already is replaced.

    Raises:
        RequestNotFound: the request is not published.
        BidsClosed: the deadline has passed, or the request is not open.
        VendorUnfit: the vendor may not bid on it, with all reasons.
        BidRefused: the terms break a limit of the request, with all fields.
        TransitionRefused: the bid was withdrawn.
    """
    request = await request_for_vendor(session, actor, request_id)
    _check_taking(request)
    vendor_id = _vendor_of(actor)
    if unfit := (await misfits_of_vendors(session, request, {vendor_id}))[vendor_id]:
        raise VendorUnfit(unfit[0].reason, misfits=[misfit.model_dump() for misfit in unfit])
    if problems := terms_problems(terms, request.unit_price_ceiling, request.deadline, now()):
        raise BidRefused(problems[0].reason, fields=problems)
    bid = await _own_row(session, actor, request_id)
    if bid.state is not BidState.SEALED:
        check_step(BID_STEPS, bid.state, BidState.SEALED)
    sealed = seal(_secret(settings), _name(bid), terms)
    bid.state, bid.sealed, bid.commitment, bid.created_at = BidState.SEALED, sealed.blob, sealed.commitment, now()
    audit.record(session, actor, "bid.sealed", f"bid:{bid.id}", commitment=sealed.commitment)
    await session.flush()
    return _own_view(bid, terms, sealed.salt)


async def _own_row(session: AsyncSession, actor: Actor, request_id: UUID) -> Bid:
    """Return the row of the vendor's bid, locked; two first submissions at once find the same row."""
    await session.exec(
        insert(Bid)
        .values(
            request_id=request_id, id=new_id(), vendor_organisation_id=actor.organisation_id, created_at=now(),
            state=BidState.DRAFT, sealed=b"", commitment="",
        )
        .on_conflict_do_nothing(index_elements=["request_id", "vendor_organisation_id"])
    )  # fmt: skip
    found = await session.exec(
        select(Bid)
        .where(Bid.request_id == request_id, Bid.vendor_organisation_id == actor.organisation_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return found.one()


async def withdraw_bid(session: AsyncSession, actor: Actor, request_id: UUID) -> OwnBidView:
    """Withdraw the bid for good and empty its ciphertext; raise `BidsClosed` after the deadline."""
    request = await request_for_vendor(session, actor, request_id)
    bid = await get_own_bid(session, actor, request_id, lock=True)
    _check_taking(request)
    check_step(BID_STEPS, bid.state, BidState.WITHDRAWN)
    bid.state, bid.sealed = BidState.WITHDRAWN, b""
    audit.record(session, actor, "bid.withdrawn", f"bid:{bid.id}")
    await session.flush()
    return _own_view(bid, None, None)


async def own_bid(session: AsyncSession, actor: Actor, request_id: UUID, *, settings: Settings) -> OwnBidView:
    """Return the bid of the actor's vendor, with its terms; nobody else gets them before the opening."""
    bid = await get_own_bid(session, actor, request_id)
    if bid.state is BidState.WITHDRAWN:
        return _own_view(bid, None, None)
    terms, salt = unseal(_secret(settings), _name(bid), bid.sealed, bid.commitment)
    return _own_view(bid, terms, salt)


async def see_bids(session: AsyncSession, actor: Actor, request_id: UUID) -> BidsView:
    """Return the bids of the enterprise's own request: before the opening their number and commitments only."""
    return await _bids_view(session, await request_of(session, actor, request_id))


async def extend_bidding(session: AsyncSession, actor: Actor, request_id: UUID, command: ExtendCommand) -> BidsView:
    """Set a later bid deadline for a request that got no bid.

    Raises:
        BidsExist: the deadline has not passed, or there are bids, or the request takes none.
        BidDeadlineWrong: the new deadline is not between now and the request's deadline.
    """
    request = await request_of(session, actor, request_id, lock=True)
    view = await _bids_view(session, request)
    if not view.may_extend:
        raise BidsExist
    if not now() < command.bid_deadline < request.deadline:
        reason = f"must lie between now and {request.deadline.isoformat()}"
        raise BidDeadlineWrong(reason, fields=[FieldProblem("bid_deadline", reason)])
    request.bid_deadline = command.bid_deadline
    emit(session, CLOSE_BIDS, {"request_id": str(request_id)}, due_at=command.bid_deadline)
    deadline = command.bid_deadline.isoformat()
    audit.record(session, actor, "request.bidding_extended", f"request:{request_id}", bid_deadline=deadline)
    await session.flush()
    return await _bids_view(session, request)


async def open_requests(session: AsyncSession, actor: Actor, query: PageQuery) -> Page[BiddableRequestView]:
    """Return a page of the requests that take bids now, newest first, each with whether the vendor may bid."""
    requests, cursor = await find_biddable(session, query, now())
    vendor_id = _vendor_of(actor)
    vendor = (await facts_of_vendors(session, {vendor_id})).get(vendor_id)
    mine = await requests_bid_on(session, vendor_id, [request.id for request in requests])
    items = []
    for request in requests:
        unfit = misfits(vendor, needs_of(request))
        items.append(
            BiddableRequestView(
                **open_view(request).model_dump(),
                has_own_bid=request.id in mine,
                fit=Fit(may_bid=not unfit, misfits=unfit),
            )
        )
    return Page(items=items, next_cursor=cursor)


async def _bids_view(session: AsyncSession, request: DatasetRequest) -> BidsView:
    bids = await bids_on(session, request.id, BidState.SEALED, *TAKEN_PART)
    closed = request.channel is Channel.OPEN_CROWD or now() >= request.bid_deadline
    scored = [bid.score["proposed_share"] for bid in bids if bid.score]
    return BidsView(
        request_id=request.id,
        state=request.state,
        count=len(bids),
        bid_deadline=request.bid_deadline,
        bids_closed_at=request.bid_deadline if closed else None,
        may_extend=closed and not bids and _takes_bids(request),
        formula=request.scoring,
        share_left=max(0.0, 1 - sum(scored)) if scored else None,
        bids=[bid_view(bid) for bid in bids],
    )


def _vendor_of(actor: Actor) -> UUID:
    """Return the vendor that the actor acts for; raise `VendorUnfit` for anybody else."""
    if actor.organisation_id is None or actor.organisation_kind is not OrganisationKind.VENDOR:
        raise VendorUnfit("Only a vendor bids.")
    return actor.organisation_id


def _takes_bids(request: DatasetRequest) -> bool:
    return request.state is RequestState.OPEN and request.channel is not Channel.OPEN_CROWD


def _check_taking(request: DatasetRequest) -> None:
    if not _takes_bids(request):
        raise BidsClosed(f"The request is {request.state!s}, for the channel {request.channel!s}.")
    if now() >= request.bid_deadline:
        raise BidsClosed(f"The bid deadline was {request.bid_deadline.isoformat()}.")


def _name(bid: Bid) -> BidName:
    return BidName(bid.request_id, bid.id, bid.vendor_organisation_id)


def _secret(settings: Settings) -> str:
    return settings.secret_key.get_secret_value()


def _own_view(bid: Bid, terms: BidTerms | None, salt: str | None) -> OwnBidView:
    score = BidScore.model_validate(bid.score) if bid.score else None
    return OwnBidView(
        id=bid.id,
        request_id=bid.request_id,
        state=bid.state,
        terms=terms,
        commitment=bid.commitment,
        commitment_salt=salt,
        score=score,
        submitted_at=bid.created_at,
    )
