"""Sealed bids over the API: who reads what when, and what is refused."""

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from marketplace.catalog.states import Channel, DataClass, RequestState
from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.identity.models import Organisation
from marketplace.matching.errors import SealBroken
from marketplace.matching.schemas import BidTerms, OpenedTerms
from marketplace.matching.sealing import commitment_of
from tests.factories.identity import make_vendor
from tests.factories.matching import make_terms
from tests.matching.conftest import Market


def day(number: float) -> str:
    return (now() + timedelta(days=number)).isoformat()


async def test_terms_are_nowhere_in_the_database_until_the_deadline(market: Market) -> None:
    await market.bid(market.vendors[0], make_terms(unit_price=234_567, note="very secret note"))
    async with market.database.sessions() as session:
        tables = await session.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        dump = ""
        for (table,) in tables.all():
            rows = await session.execute(text(f'SELECT CAST(t AS text) FROM "{table}" t'))
            dump += "\n".join(row for (row,) in rows)
        sealed = (await session.execute(text("SELECT sealed FROM bid"))).scalar_one()
    for secret in ("very secret note", "234567", "unit_price"):
        assert secret not in dump
        assert secret.encode().hex() not in dump
        assert secret.encode() not in sealed


async def test_nobody_else_reads_terms_until_the_deadline(market: Market) -> None:
    vendor, rival = market.vendors
    mine = (await market.bid(vendor, make_terms(unit_price=234_567))).json()
    assert (await market.call(rival, "GET", "/requests/{id}/bids/mine")).status_code == 404
    assert (await market.call(rival, "GET", "/requests/{id}/bids")).status_code == 404
    assert (await market.call(market.stranger, "GET", "/requests/{id}/bids")).status_code == 404
    for reader in (market.enterprise, market.operator):
        seen = (await market.call(reader, "GET", "/requests/{id}/bids")).json()
        assert (seen["count"], seen["bids_closed_at"]) == (1, None)
        assert seen["bids"] == [
            {"id": mine["id"], "state": "sealed", "commitment": mine["commitment"], "vendor_organisation_id": None,
             "opened": None, "score": None}
        ]  # fmt: skip


async def test_own_vendor_reads_its_bid_when_it_is_sealed(market: Market) -> None:
    terms = make_terms()
    sent = (await market.bid(market.vendors[0], terms)).json()
    found = (await market.call(market.vendors[0], "GET", "/requests/{id}/bids/mine")).json()
    assert found == sent
    assert BidTerms.model_validate(found["terms"]) == terms
    assert commitment_of(terms, found["commitment_salt"]) == found["commitment"]


async def test_commitment_verifies_when_bids_are_opened(market: Market) -> None:
    sent = (await market.bid(market.vendors[0], make_terms())).json()
    await market.close()
    (bid,) = (await market.call(market.enterprise, "GET", "/requests/{id}/bids")).json()["bids"]
    opened = OpenedTerms.model_validate(bid["opened"])
    assert bid["state"] == "opened"
    assert commitment_of(opened, opened.commitment_salt) == sent["commitment"]
    assert bid["vendor_organisation_id"] == str(market.vendors[0].actor.organisation_id)
    assert bid["score"]["price"] == pytest.approx(1 - 200_000 / 350_000)


async def test_bid_is_replaced_when_submitted_again(market: Market) -> None:
    first = (await market.bid(market.vendors[0], make_terms(unit_price=200_000))).json()
    second = (await market.bid(market.vendors[0], make_terms(unit_price=190_000))).json()
    assert second["id"] == first["id"]
    assert second["commitment"] != first["commitment"]
    seen = (await market.call(market.enterprise, "GET", "/requests/{id}/bids")).json()
    assert seen["count"] == 1


async def test_bid_is_gone_for_good_when_withdrawn(market: Market) -> None:
    await market.bid(market.vendors[0], make_terms())
    withdrawn = (await market.call(market.vendors[0], "DELETE", "/requests/{id}/bids/mine")).json()
    assert (withdrawn["state"], withdrawn["terms"]) == ("withdrawn", None)
    async with market.database.sessions() as session:
        assert (await session.execute(text("SELECT sealed FROM bid"))).scalar_one() == b""
    again = await market.bid(market.vendors[0], make_terms())
    assert (again.status_code, again.json()["code"]) == (409, "transition_refused")
    assert (await market.call(market.enterprise, "GET", "/requests/{id}/bids")).json()["count"] == 0
    repeated = await market.call(market.vendors[0], "DELETE", "/requests/{id}/bids/mine")
    assert repeated.status_code == 409


async def test_late_bid_is_refused(market: Market) -> None:
    await market.bid(market.vendors[0], make_terms())
    await market.change(bid_deadline=now() - timedelta(seconds=1))
    for call in (
        await market.bid(market.vendors[1], make_terms()),
        await market.bid(market.vendors[0], make_terms()),
        await market.call(market.vendors[0], "DELETE", "/requests/{id}/bids/mine"),
    ):
        assert (call.status_code, call.json()["code"]) == (409, "bids_closed")


@pytest.mark.parametrize(
    ("overrides", "status", "field"),
    [
        ({"unit_price": 0}, 422, "unit_price"),
        ({"unit_price": -5}, 422, "unit_price"),
        ({"worker_share_bps": 10_001}, 422, "worker_share_bps"),
        ({"share_wanted": 0}, 422, "share_wanted"),
        ({"share_wanted": 1.01}, 422, "share_wanted"),
        ({"promised_quality": 1.1}, 422, "promised_quality"),
        ({"note": "a\x00b"}, 422, "note"),
        ({"delivery_at": "2030-01-01T00:00:00"}, 422, "delivery_at"),
        ({"unit_price": 350_001}, 400, "unit_price"),
        ({"delivery_at": day(31)}, 400, "delivery_at"),
        ({"delivery_at": day(-1)}, 400, "delivery_at"),
    ],
)
async def test_bid_is_refused_when_its_terms_break_a_rule(
    market: Market, overrides: dict[str, Any], status: int, field: str
) -> None:
    body = make_terms().model_dump(mode="json") | overrides
    answer = await market.call(market.vendors[0], "PUT", "/requests/{id}/bids/mine", body)
    assert answer.status_code == status
    assert [problem["field"] for problem in answer.json()["fields"]] == [field]


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ({"languages": ["zh", "fr"]}, "language_missing"),
        ({"data_class": DataClass.IMPORTANT}, "security_level_low"),
    ],
)
async def test_bid_is_refused_when_the_vendor_does_not_fit(market: Market, columns: dict[str, Any], code: str) -> None:
    await market.change(**columns)
    answer = await market.bid(market.vendors[0], make_terms())
    assert (answer.status_code, answer.json()["code"]) == (403, "vendor_unfit")
    assert [misfit["code"] for misfit in answer.json()["misfits"]] == [code]
    (listed,) = (await market.call(market.vendors[0], "GET", "/open-requests")).json()["items"]
    assert [misfit["code"] for misfit in listed["fit"]["misfits"]] == [code]


async def test_bid_is_refused_when_the_vendor_is_not_approved(market: Market) -> None:
    async with market.database.sessions() as session:
        newcomer = await make_vendor(session)
        await session.commit()
    answer = await market.bid(newcomer, make_terms())
    assert (answer.status_code, answer.json()["misfits"][0]["code"]) == (403, "not_approved")


@pytest.mark.parametrize("columns", [{"channel": Channel.OPEN_CROWD}])
async def test_bid_is_refused_when_the_request_takes_none(market: Market, columns: dict[str, Any]) -> None:
    await market.change(**columns)
    answer = await market.bid(market.vendors[0], make_terms())
    assert (answer.status_code, answer.json()["code"]) == (409, "bids_closed")
    assert (await market.call(market.vendors[0], "GET", "/open-requests")).json()["items"] == []


@pytest.mark.parametrize("state", [RequestState.DRAFT, RequestState.FUNDED, RequestState.CANCELLED])
async def test_request_is_hidden_from_vendors_when_it_is_not_open(market: Market, state: RequestState) -> None:
    await market.change(state=state)
    assert (await market.bid(market.vendors[0], make_terms())).status_code == 404
    assert (await market.call(market.vendors[0], "DELETE", "/requests/{id}/bids/mine")).status_code == 404
    assert (await market.call(market.vendors[0], "GET", "/open-requests")).json()["items"] == []


async def test_unknown_request_is_not_found_by_anybody(market: Market) -> None:
    market.request_id = new_id()
    assert (await market.bid(market.vendors[0], make_terms())).status_code == 404
    assert (await market.call(market.enterprise, "GET", "/requests/{id}/bids")).status_code == 404
    assert (await market.call(market.enterprise, "GET", "/requests/{id}/award")).status_code == 404
    assert (await market.call(market.vendors[0], "GET", "/requests/{id}/contracts")).status_code == 404


async def test_bidding_is_forbidden_to_an_enterprise_and_awarding_to_a_vendor(market: Market) -> None:
    assert (await market.bid(market.enterprise, make_terms())).status_code == 403
    body = {"shares": [{"share": 1}]}
    assert (await market.call(market.vendors[0], "POST", "/requests/{id}/award", body, key="a")).status_code == 403
    assert (await market.call(market.operator, "POST", "/requests/{id}/award", body, key="a")).status_code == 403


async def test_open_requests_say_who_has_bid(market: Market) -> None:
    await market.bid(market.vendors[0], make_terms())
    for vendor, has_bid in zip(market.vendors, (True, False), strict=True):
        (listed,) = (await market.call(vendor, "GET", "/open-requests")).json()["items"]
        assert (listed["has_own_bid"], listed["fit"]) == (has_bid, {"may_bid": True, "misfits": []})
        assert "budget_minor" not in listed


async def test_tampered_bid_stops_the_opening_of_all(market: Market) -> None:
    for vendor in market.vendors:
        await market.bid(vendor, make_terms())
    async with market.database.sessions() as session:
        last = "SELECT id FROM bid ORDER BY id DESC LIMIT 1"
        await session.execute(text(f"UPDATE bid SET sealed = sealed || '\\x00' WHERE id = ({last})"))
        await session.commit()
    with pytest.raises(SealBroken):
        await market.close()
    seen = (await market.call(market.enterprise, "GET", "/requests/{id}/bids")).json()
    assert [bid["state"] for bid in seen["bids"]] == ["sealed", "sealed"]


async def test_audit_trail_keeps_every_commitment(market: Market) -> None:
    sent = [(await market.bid(market.vendors[0], make_terms())).json()["commitment"] for _ in range(2)]
    async with market.database.sessions() as session:
        rows = await session.execute(text("SELECT facts FROM audit_entry WHERE action = 'bid.sealed' ORDER BY id"))
        kept = [json.loads(facts)["commitment"] if isinstance(facts, str) else facts["commitment"] for (facts,) in rows]
    assert kept == sent


async def test_deadline_is_extended_when_there_was_no_bid(market: Market) -> None:
    await market.change(channel=Channel.VENDORS)
    body = {"bid_deadline": day(5)}
    early = await market.call(market.enterprise, "POST", "/requests/{id}/bids/extend", body)
    assert (early.status_code, early.json()["code"]) == (409, "bids_exist")
    await market.close()
    seen = (await market.call(market.enterprise, "GET", "/requests/{id}/bids")).json()
    assert (seen["state"], seen["may_extend"], seen["count"]) == ("open", True, 0)
    assert seen["bids_closed_at"] is not None
    stranger = await market.call(market.stranger, "POST", "/requests/{id}/bids/extend", body)
    assert stranger.status_code == 404
    for wrong in (day(-1), day(31)):
        refused = await market.call(market.enterprise, "POST", "/requests/{id}/bids/extend", {"bid_deadline": wrong})
        assert (refused.status_code, refused.json()["code"]) == (400, "bid_deadline_wrong")
    extended = await market.call(market.enterprise, "POST", "/requests/{id}/bids/extend", body)
    assert (extended.status_code, extended.json()["bids_closed_at"]) == (200, None)
    await market.bid(market.vendors[0], make_terms())
    await market.close()
    seen = (await market.call(market.enterprise, "GET", "/requests/{id}/bids")).json()
    assert [bid["state"] for bid in seen["bids"]] == ["opened"]


async def test_deadline_stays_when_there_is_a_bid(market: Market) -> None:
    await market.bid(market.vendors[0], make_terms())
    await market.close()
    answer = await market.call(market.enterprise, "POST", "/requests/{id}/bids/extend", {"bid_deadline": day(5)})
    assert (answer.status_code, answer.json()["code"]) == (409, "bids_exist")


async def test_name_of_a_rival_is_not_told_to_a_vendor(market: Market) -> None:
    await market.bid(market.vendors[0], make_terms())
    await market.close()
    rival = market.vendors[1]
    assert isinstance(rival.organisation, Organisation)
    assert (await market.call(rival, "GET", "/requests/{id}/award")).status_code == 404
    assert (await market.call(rival, "GET", "/requests/{id}/bids/mine")).status_code == 404
