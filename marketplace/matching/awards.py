"""The award: which bids get which shares of the items, by whom, why, and the contracts that follow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit import service as audit
from marketplace.catalog import service as catalog
from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.queries import request_of
from marketplace.catalog.states import REQUEST_STEPS, Channel, RequestState
from marketplace.core.actor import SYSTEM, Actor
from marketplace.core.clock import now
from marketplace.core.errors import FieldProblem
from marketplace.core.outbox import emit
from marketplace.core.settings import Settings
from marketplace.core.states import check_step
from marketplace.matching.errors import AwardSharesWrong, BidsStillSealed
from marketplace.matching.fit import misfits_of_vendors
from marketplace.matching.models import Award, Bid, Contract
from marketplace.matching.policy import REASON_TEXTS, Part, check_affordable, split_positions, wanted_items
from marketplace.matching.queries import award_view, bids_on, demand_of
from marketplace.matching.schemas import AwardReason, AwardReasonCode, AwardShare, AwardView, OpenedTerms
from marketplace.matching.states import BID_STEPS, Assignment, BidState

BUILD_BUNDLES: Final = "tasks.build_bundles"
BY_FORMULA: Final = "formula"
WHOLE_BPS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Decision:
    """Who or what decides, the note to be published, and the formula's reason per bid if the formula decides."""

    actor: Actor
    decided_by: str
    note: str = ""
    codes: Mapping[UUID, AwardReasonCode] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Winner:
    """One share of an award: the bid that gets it (None: the open crowd), its terms, its price and its items."""

    share: float
    bid: Bid | None
    terms: OpenedTerms | None
    unit_price: int
    part: Part


async def award(
    session: AsyncSession,
    actor: Actor,
    request_id: UUID,
    shares: Sequence[AwardShare],
    *,
    settings: Settings,
    note: str = "",
) -> AwardView:
    """Award a request of the actor's enterprise: bids won and lost with reasons, contracts made, bundles asked for.

    Tasks get more answers than the smallest number only while reserved money is left; that number must be affordable.

    Raises:
        RequestNotFound: it is not the actor's.
        TransitionRefused: the request is not open, for one because it was awarded already.
        BidsStillSealed: the deadline has not passed, or the bids are just being opened.
        AwardSharesWrong: by `policy.split_positions`; or a bid is unknown, doubled, unfit, or given more than it wants.
        AwardUnaffordable: the reserved money does not pay the smallest number of answers.
    """
    request = await request_of(session, actor, request_id, lock=True)
    return await award_locked(session, request, shares, Decision(actor, actor.principal, note), settings)


async def award_locked(
    session: AsyncSession, request: DatasetRequest, shares: Sequence[AwardShare], decision: Decision, settings: Settings
) -> AwardView:
    """Award a request that the caller has locked; see `award`."""
    check_step(REQUEST_STEPS, request.state, RequestState.AWARDED)
    await _check_opened(session, request)
    bids = {bid.id: bid for bid in await bids_on(session, request.id, BidState.OPENED)}
    await _check_names(session, request, shares, bids)
    winners = _winners(request, shares, bids)
    check_affordable([w.unit_price for w in winners], [w.part for w in winners], demand_of(request))
    reasons = _reasons(winners, bids, decision)
    made = Award(
        request_id=request.id,
        decided_by=decision.decided_by,
        formula=dict(request.scoring),
        note=decision.note,
        reasons=[reason.model_dump(mode="json") for reason in reasons],
    )
    session.add(made)
    _settle_bids(bids, winners, reasons)
    contracts = [_contract(request, winner, settings) for winner in winners]
    session.add_all(contracts)
    await catalog.move(session, request, RequestState.AWARDED)
    for contract in contracts:
        emit(session, BUILD_BUNDLES, {"request_id": str(request.id), "contract_id": str(contract.id)})
    audit.record(
        session, decision.actor, "request.awarded", f"request:{request.id}", organisation_id=request.organisation_id,
        decided_by=decision.decided_by, shares=[share.model_dump(mode="json") for share in shares],
    )  # fmt: skip
    await session.flush()
    return award_view(made, contracts)


async def _check_opened(session: AsyncSession, request: DatasetRequest) -> None:
    if request.channel is Channel.OPEN_CROWD:
        return
    if now() < request.bid_deadline or await bids_on(session, request.id, BidState.SEALED):
        raise BidsStillSealed(f"The bid deadline is {request.bid_deadline.isoformat()}.")


async def _check_names(
    session: AsyncSession, request: DatasetRequest, shares: Sequence[AwardShare], bids: Mapping[UUID, Bid]
) -> None:
    """Refuse shares that name what cannot win, each with its place in the list."""
    vendors = {bid.vendor_organisation_id for bid in bids.values()}
    misfits = await misfits_of_vendors(session, request, vendors)
    problems, seen = [], set()
    for index, share in enumerate(shares):
        reason = None
        if share.bid_id in seen:
            reason = "named twice"
        elif share.bid_id is None and request.channel is Channel.VENDORS:
            reason = "this request is for vendors only"
        elif share.bid_id is not None and share.bid_id not in bids:
            reason = "no opened bid of this request"
        elif share.bid_id is not None and (unfit := misfits[bids[share.bid_id].vendor_organisation_id]):
            reason = unfit[0].reason
        seen.add(share.bid_id)
        if reason:
            problems.append(FieldProblem(f"shares.{index}.bid_id", reason))
    if problems:
        raise AwardSharesWrong(problems[0].reason, fields=problems)


def _winners(request: DatasetRequest, shares: Sequence[AwardShare], bids: Mapping[UUID, Bid]) -> list[_Winner]:
    """Split the items by the shares; refuse a share that is more than its bid wants."""
    winners = []
    parts = split_positions([share.share for share in shares], request.item_count)
    demand = demand_of(request)
    for index, (share, part) in enumerate(zip(shares, parts, strict=True)):
        if share.bid_id is None:
            winners.append(_Winner(share.share, None, None, request.unit_price_ceiling, part))
            continue
        bid = bids[share.bid_id]
        terms = OpenedTerms.model_validate(bid.opened)
        # the largest remainder may round one item up
        if part.end - part.first > wanted_items(terms, demand) + 1:
            reason = f"the vendor wants a share of {terms.share_wanted:.6g} at most"
            raise AwardSharesWrong(reason, fields=[FieldProblem(f"shares.{index}.share", reason)])
        winners.append(_Winner(share.share, bid, terms, terms.unit_price, part))
    return winners


def _reasons(winners: Sequence[_Winner], bids: Mapping[UUID, Bid], decision: Decision) -> list[AwardReason]:
    """Return what became of every bid and why: the winners first, in the order of their items."""
    reasons = [_reason(w.bid, w.share, _code(w.bid, decision, AwardReasonCode.CHOSEN)) for w in winners]
    won = {winner.bid.id for winner in winners if winner.bid}
    lost = [bid for bid in bids.values() if bid.id not in won]
    return reasons + [_reason(bid, 0, _code(bid, decision, AwardReasonCode.NOT_CHOSEN)) for bid in lost]


def _code(bid: Bid | None, decision: Decision, by_hand: AwardReasonCode) -> AwardReasonCode:
    return AwardReasonCode.OPEN_CROWD if bid is None else decision.codes.get(bid.id, by_hand)


def _reason(bid: Bid | None, share: float, code: AwardReasonCode) -> AwardReason:
    score: dict[str, Any] = (bid.score if bid else None) or {}
    return AwardReason(
        bid_id=bid.id if bid else None,
        vendor_organisation_id=bid.vendor_organisation_id if bid else None,
        share=share,
        score=score.get("total"),
        code=code,
        text=REASON_TEXTS[code],
    )


def _settle_bids(bids: Mapping[UUID, Bid], winners: Sequence[_Winner], reasons: Sequence[AwardReason]) -> None:
    """Move every bid to won or lost, and write the reason where its vendor sees it."""
    won = {winner.bid.id for winner in winners if winner.bid}
    for reason in reasons:
        if reason.bid_id is None:
            continue
        bid = bids[reason.bid_id]
        target = BidState.WON if bid.id in won else BidState.LOST
        check_step(BID_STEPS, bid.state, target)
        bid.state = target
        bid.score = {**(bid.score or {}), "reason": reason.code.value, "reason_text": reason.text}


def _contract(request: DatasetRequest, winner: _Winner, settings: Settings) -> Contract:
    """Make the contract of a winner; the open crowd's workers get all that is left after the platform fee."""
    terms = winner.terms
    return Contract(
        request_id=request.id,
        vendor_organisation_id=winner.bid.vendor_organisation_id if winner.bid else None,
        first_position=winner.part.first,
        end_position=winner.part.end,
        unit_price=winner.unit_price,
        currency=request.currency,
        platform_fee_bps=settings.platform_fee_bps,
        worker_share_bps=terms.worker_share_bps if terms else WHOLE_BPS,
        pay_workers_directly=terms.pay_workers_directly if terms else True,
        assignment=terms.assignment if terms else Assignment.OPEN,
        delivery_at=terms.delivery_at if terms else request.deadline,
    )


def formula_decision(codes: Mapping[UUID, AwardReasonCode]) -> Decision:
    """Return the decision that the formula takes by itself."""
    return Decision(SYSTEM, BY_FORMULA, codes=codes)
