"""Contended rules of matching, with real commits from several sessions at once."""

import asyncio
from datetime import timedelta

from sqlalchemy import text
from sqlmodel import select

from marketplace.core.clock import now
from marketplace.core.errors import TransitionRefused
from marketplace.core.settings import Settings
from marketplace.matching.awards import award
from marketplace.matching.bids import submit_bid
from marketplace.matching.closing import close_bids
from marketplace.matching.errors import BidsClosed
from marketplace.matching.models import Award, Bid, Contract
from marketplace.matching.policy import TrackRecords
from marketplace.matching.schemas import AwardShare
from marketplace.matching.states import BidState
from tests.factories.matching import make_terms
from tests.matching.conftest import Market


async def test_one_award_stands_when_several_are_made_at_once(market: Market, settings: Settings) -> None:
    for vendor in market.vendors:
        await market.bid(vendor, make_terms())
    await market.close()
    async with market.database.sessions() as session:
        bids = (await session.exec(select(Bid))).all()

    async def one(index: int) -> bool:
        async with market.database.sessions() as session:
            shares = [AwardShare(bid_id=bids[index % 2].id, share=1)]
            try:
                await award(session, market.enterprise.actor, market.request_id, shares, settings=settings)
            except TransitionRefused:
                return False
            await session.commit()
            return True

    done = await asyncio.gather(*(one(index) for index in range(6)))
    assert done.count(True) == 1
    async with market.database.sessions() as session:
        assert len((await session.exec(select(Award))).all()) == 1
        (contract,) = (await session.exec(select(Contract))).all()
        states = {bid.vendor_organisation_id: bid.state for bid in (await session.exec(select(Bid))).all()}
    assert states.pop(contract.vendor_organisation_id) is BidState.WON
    assert list(states.values()) == [BidState.LOST]


async def test_one_row_is_made_when_a_vendor_submits_twice_at_once(market: Market) -> None:
    answers = await asyncio.gather(
        *(market.bid(market.vendors[0], make_terms(unit_price=200_000 + n)) for n in range(5))
    )
    assert {answer.status_code for answer in answers} == {200}
    async with market.database.sessions() as session:
        (bid,) = (await session.exec(select(Bid))).all()
    assert bid.commitment in {answer.json()["commitment"] for answer in answers}


async def test_bid_is_opened_or_refused_when_it_meets_the_closing(market: Market, settings: Settings) -> None:
    """A bid that took the shared lock before the deadline is waited for; one that comes after it is refused."""
    await market.bid(market.vendors[0], make_terms())
    await market.change(bid_deadline=now() + timedelta(seconds=0.7))

    async def slow_bid() -> None:
        async with market.database.sessions() as session:
            await submit_bid(session, market.vendors[1].actor, market.request_id, make_terms(), settings=settings)
            await session.execute(text("SELECT pg_sleep(1.2)"))
            await session.commit()

    async def closing() -> None:
        await asyncio.sleep(0.9)
        async with market.database.sessions() as session:
            await close_bids(session, market.request_id, TrackRecords(), settings=settings)
            await session.commit()

    async def late_bid() -> str:
        await asyncio.sleep(1.0)
        async with market.database.sessions() as session:
            try:
                await submit_bid(session, market.vendors[0].actor, market.request_id, make_terms(), settings=settings)
            except BidsClosed as refused:
                return refused.code
        return "taken"

    _, _, late = await asyncio.gather(slow_bid(), closing(), late_bid())
    assert late == "bids_closed"
    async with market.database.sessions() as session:
        assert [bid.state for bid in (await session.exec(select(Bid))).all()] == [BidState.OPENED] * 2
