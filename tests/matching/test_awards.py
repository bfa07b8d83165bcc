"""Closing and awarding: by hand, by the formula, to the open crowd."""

from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.states import AwardMode, Channel, RequestState
from marketplace.core.clock import now
from marketplace.core.outbox import Outbox, emit
from marketplace.matching.closing import CLOSE_BIDS
from marketplace.vetting.models import VettingFile
from marketplace.vetting.states import VettingState
from tests.factories.matching import make_terms
from tests.jobs import run_outbox
from tests.matching.conftest import Market


async def bid_ids(market: Market) -> list[str]:
    seen = (await market.call(market.enterprise, "GET", "/requests/{id}/bids")).json()
    return [bid["id"] for bid in seen["bids"]]


async def award(market: Market, *shares: tuple[str | None, float], key: str = "k") -> Any:
    body = {"shares": [{"bid_id": bid_id, "share": share} for bid_id, share in shares], "note": "合适"}
    return await market.call(market.enterprise, "POST", "/requests/{id}/award", body, key=key)


async def emitted(market: Market, kind: str) -> list[dict[str, Any]]:
    async with market.database.sessions() as session:
        found = await session.exec(select(Outbox).where(Outbox.kind == kind).order_by(col(Outbox.id)))
        return [row.payload for row in found.all()]


async def test_award_makes_contracts_with_reasons_when_decided_by_hand(market: Market) -> None:
    await market.bid(market.vendors[0], make_terms(unit_price=200_000, share_wanted=0.6, assignment="reserved"))
    await market.bid(market.vendors[1], make_terms(unit_price=300_000))
    await market.close()
    first, second = await bid_ids(market)
    answer = await award(market, (first, 0.6), (None, 0.4))
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert (made["open_crowd_share"], made["note"]) == (0.4, "合适")
    assert made["decided_by"] == market.enterprise.actor.principal
    assert [(r["bid_id"], r["share"], r["code"]) for r in made["reasons"]] == [
        (first, 0.6, "chosen"), (None, 0.4, "open_crowd"), (second, 0, "not_chosen"),
    ]  # fmt: skip
    vendor_contract, crowd = made["contracts"]
    assert (vendor_contract["first_position"], vendor_contract["end_position"]) == (0, 60)
    assert (vendor_contract["unit_price"], vendor_contract["assignment"]) == (200_000, "reserved")
    assert (vendor_contract["worker_share_bps"], vendor_contract["platform_fee_bps"]) == (7_000, 1_000)
    assert (crowd["first_position"], crowd["end_position"], crowd["unit_price"]) == (60, 100, 350_000)
    assert (crowd["vendor_organisation_id"], crowd["worker_share_bps"]) == (None, 10_000)
    assert (await market.request()).state is RequestState.AWARDED
    asked = await emitted(market, "tasks.build_bundles")
    assert {job["request_id"] for job in asked} == {str(market.request_id)}
    assert sorted(job["contract_id"] for job in asked) == sorted(contract["id"] for contract in made["contracts"])
    mine = (await market.call(market.vendors[1], "GET", "/requests/{id}/bids/mine")).json()
    assert (mine["state"], mine["score"]["reason"]) == ("lost", "not_chosen")
    assert (await market.call(market.enterprise, "GET", "/requests/{id}/award")).json() == made


async def test_contracts_are_seen_by_their_parties_only(market: Market) -> None:
    await market.bid(market.vendors[0], make_terms())
    await market.close()
    (bid,) = await bid_ids(market)
    made = (await award(market, (bid, 0.5), (None, 0.5))).json()
    whole = await market.call(market.enterprise, "GET", "/requests/{id}/contracts")
    assert whole.json() == made["contracts"]
    own = await market.call(market.vendors[0], "GET", "/requests/{id}/contracts")
    assert own.json() == made["contracts"][:1]
    listed = await market.call(market.vendors[0], "GET", "/contracts")
    assert listed.json() == {"items": made["contracts"][:1], "next_cursor": None}
    assert (await market.call(market.vendors[1], "GET", "/contracts")).json()["items"] == []
    for other in (market.vendors[1], market.stranger):
        assert (await market.call(other, "GET", "/requests/{id}/contracts")).status_code == 404
        assert (await market.call(other, "GET", "/requests/{id}/award")).status_code == 404


async def test_award_happens_once_when_the_call_is_repeated(market: Market) -> None:
    await market.bid(market.vendors[0], make_terms())
    await market.close()
    (bid,) = await bid_ids(market)
    first, again = await award(market, (bid, 1)), await award(market, (bid, 1))
    assert first.json() == again.json()
    other = await award(market, (bid, 1), key="another")
    assert (other.status_code, other.json()["code"]) == (409, "transition_refused")
    assert len(await emitted(market, "tasks.build_bundles")) == 1


async def test_award_is_refused_when_bids_are_sealed(market: Market) -> None:
    await market.bid(market.vendors[0], make_terms())
    (bid,) = await bid_ids(market)
    early = await award(market, (bid, 1), key="1")
    await market.change(bid_deadline=now() - timedelta(seconds=1))
    unopened = await award(market, (bid, 1), key="2")
    for refused in (early, unopened):
        assert (refused.status_code, refused.json()["code"]) == (409, "bids_still_sealed")


@pytest.mark.parametrize(
    ("shares", "field"),
    [
        ([("bid", 0.5)], None),
        ([("bid", 0.4), ("bid", 0.6)], "shares.1.bid_id"),
        ([(None, 0.4), (None, 0.6)], "shares.1.bid_id"),
        ([("01890000-0000-7000-8000-000000000000", 1.0)], "shares.0.bid_id"),
        ([("bid", 0.9), (None, 0.1)], "shares.0.share"),
    ],
)
async def test_award_is_refused_when_shares_are_wrong(
    market: Market, shares: list[tuple[str | None, float]], field: str | None
) -> None:
    await market.bid(market.vendors[0], make_terms(share_wanted=0.6))
    await market.close()
    (bid,) = await bid_ids(market)
    answer = await award(market, *((bid if name == "bid" else name, share) for name, share in shares))
    assert (answer.status_code, answer.json()["code"]) == (400, "award_shares_wrong")
    assert [problem["field"] for problem in answer.json()["fields"]] == ([field] if field else [])


async def test_open_crowd_gets_no_share_when_the_channel_is_vendors(market: Market) -> None:
    await market.change(channel=Channel.VENDORS)
    await market.bid(market.vendors[0], make_terms())
    await market.close()
    (bid,) = await bid_ids(market)
    answer = await award(market, (bid, 0.5), (None, 0.5))
    assert (answer.status_code, answer.json()["code"]) == (400, "award_shares_wrong")


async def test_award_is_refused_when_the_vendor_lost_its_approval(market: Market) -> None:
    await market.bid(market.vendors[0], make_terms())
    await market.close()
    async with market.database.sessions() as session:
        found = await session.exec(
            select(VettingFile).where(VettingFile.subject_id == market.vendors[0].actor.organisation_id)
        )
        found.one().state = VettingState.SUSPENDED
        await session.commit()
    (bid,) = await bid_ids(market)
    answer = await award(market, (bid, 1))
    assert (answer.status_code, answer.json()["code"]) == (400, "award_shares_wrong")


async def test_award_is_refused_when_the_money_does_not_pay_the_smallest_number_of_answers(market: Market) -> None:
    await market.bid(market.vendors[0], make_terms(unit_price=340_000))
    await market.close()
    # 100 items by 3 answers by 34 fen are 10,200 fen
    await market.change(budget_minor=10_199)
    (bid,) = await bid_ids(market)
    answer = await award(market, (bid, 1))
    assert (answer.status_code, answer.json()["code"]) == (409, "award_unaffordable")
    assert answer.json()["lacking_minor"] == 1
    await market.change(budget_minor=10_200)
    assert (await award(market, (bid, 1), key="richer")).status_code == 200


async def test_formula_awards_at_once_when_the_mode_is_auto(market: Market) -> None:
    await market.change(award_mode=AwardMode.AUTO)
    await market.bid(market.vendors[0], make_terms(unit_price=200_000, share_wanted=0.3))
    await market.bid(market.vendors[1], make_terms(unit_price=250_000, share_wanted=0.5))
    await market.close()
    made = (await market.call(market.enterprise, "GET", "/requests/{id}/award")).json()
    assert made["decided_by"] == "formula"
    assert [(r["share"], r["code"]) for r in made["reasons"]] == [
        (0.3, "whole_share"), (0.5, "whole_share"), (pytest.approx(0.2), "open_crowd"),
    ]  # fmt: skip
    assert [(c["first_position"], c["end_position"]) for c in made["contracts"]] == [(0, 30), (30, 80), (80, 100)]
    assert made["reasons"][0]["score"] > made["reasons"][1]["score"]


async def test_enterprise_decides_when_bids_do_not_cover_a_request_for_vendors(market: Market) -> None:
    await market.change(award_mode=AwardMode.AUTO, channel=Channel.VENDORS)
    await market.bid(market.vendors[0], make_terms(share_wanted=0.3))
    await market.close()
    assert (await market.request()).state is RequestState.OPEN
    seen = (await market.call(market.enterprise, "GET", "/requests/{id}/bids")).json()
    assert seen["bids"][0]["score"]["proposed_share"] == pytest.approx(0.3)


@pytest.mark.parametrize("mode", AwardMode)
@pytest.mark.parametrize("channel", [Channel.BOTH, Channel.OPEN_CROWD])
async def test_open_crowd_gets_all_when_nobody_bids(market: Market, channel: Channel, mode: AwardMode) -> None:
    await market.change(channel=channel, award_mode=mode)
    await market.close()
    made = (await market.call(market.enterprise, "GET", "/requests/{id}/award")).json()
    (contract,) = made["contracts"]
    assert made["open_crowd_share"] == 1
    assert (contract["first_position"], contract["end_position"], contract["unit_price"]) == (0, 100, 350_000)


async def test_request_for_the_open_crowd_waits_for_no_deadline(market: Market) -> None:
    await market.change(channel=Channel.OPEN_CROWD)
    async with market.database.sessions() as session:
        emit(session, CLOSE_BIDS, {"request_id": str(market.request_id)})
        await session.commit()
    await run_outbox(market.workers, only="matching.")
    assert (await market.request()).state is RequestState.AWARDED


async def test_enterprise_decides_when_the_open_crowd_is_unaffordable(market: Market) -> None:
    await market.change(budget_minor=100)
    await market.close()
    assert (await market.request()).state is RequestState.OPEN


async def test_closing_asks_again_when_it_comes_too_early(market: Market) -> None:
    await market.bid(market.vendors[0], make_terms())
    async with market.database.sessions() as session:
        emit(session, CLOSE_BIDS, {"request_id": str(market.request_id)})
        await session.commit()
    assert await run_outbox(market.workers, only="matching.") == [CLOSE_BIDS]
    async with market.database.sessions() as session:
        (again,) = (await session.exec(select(Outbox).where(Outbox.kind == CLOSE_BIDS))).all()
        request = await session.get(DatasetRequest, market.request_id)
    assert request is not None
    assert again.due_at == request.bid_deadline
    seen = (await market.call(market.enterprise, "GET", "/requests/{id}/bids")).json()
    assert seen["bids"][0]["state"] == "sealed"


@pytest.mark.parametrize("state", [RequestState.SUSPENDED, RequestState.CANCELLED, RequestState.AWARDED])
async def test_closing_leaves_a_request_alone_when_it_is_not_open(market: Market, state: RequestState) -> None:
    await market.bid(market.vendors[0], make_terms())
    await market.change(state=state)
    await market.close()
    seen = (await market.call(market.enterprise, "GET", "/requests/{id}/bids")).json()
    assert (seen["state"], seen["bids"][0]["state"]) == (state, "sealed")


async def test_closing_changes_nothing_when_it_comes_twice(market: Market) -> None:
    await market.bid(market.vendors[0], make_terms())
    await market.close()
    first = (await market.call(market.enterprise, "GET", "/requests/{id}/bids")).json()
    await market.close()
    again = (await market.call(market.enterprise, "GET", "/requests/{id}/bids")).json()
    assert again["bids"] == first["bids"]
