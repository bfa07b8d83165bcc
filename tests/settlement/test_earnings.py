"""Earnings line by line: the verdict, the way of the money, and what else was booked."""

import pytest

from marketplace.core.actor import SYSTEM
from marketplace.core.ids import new_id
from marketplace.core.paging import CursorInvalid, PageQuery
from marketplace.ledger import accounts
from marketplace.ledger import service as ledger
from marketplace.ledger.entries import credit, debit
from marketplace.payments.models import Payout
from marketplace.payments.states import PayeeKind, PayoutState, TaxTaskState
from marketplace.payments.tax_models import TaxTask
from marketplace.settlement import accrual, release
from marketplace.settlement.earnings import earnings_page
from marketplace.tasks.models import Claim
from tests.factories.identity import bearer, make_approved_worker, make_vendor
from tests.factories.money import ask_payout, committed
from tests.settlement.work import make_deal

ALL = PageQuery(limit=200)


async def _accrue(deal, worker, units, *, to_release=True):
    claim = await deal.accepted(units=units, worker=worker)
    async with committed(deal.database) as session:
        await accrual.accrue(session, deal.request.id, claim.id, 1)
    if to_release:
        async with committed(deal.database) as session:
            await release.release_due(session, deal.request.id)
    return claim


async def _lines(database, worker, query=ALL, kind=PayeeKind.WORKER):
    async with database.sessions() as session:
        return await earnings_page(session, kind, worker, query)


async def test_lines_say_verdict_and_dates_when_work_is_accrued_released_and_taken_back(database):
    deal = await make_deal(database, contract={"unit_price": 1_000_000, "platform_fee_bps": 1000})
    worker = new_id()
    done = await _accrue(deal, worker, 10)
    back = await _accrue(deal, worker, 2, to_release=False)
    async with committed(database) as session:
        await accrual.unaccrue(session, SYSTEM, deal.request.id, back.id, 1)
        (await session.get_one(Claim, (deal.request.id, done.id))).active_seconds = 1800
    waits = await _accrue(deal, worker, 3, to_release=False)
    page = await _lines(database, worker)
    assert [line.claim_id for line in page.items] == [waits.id, back.id, done.id]
    first, second, third = page.items
    assert (first.state, first.amount_minor, first.released_at) == ("accrued", 270, None)
    assert first.release_at is not None
    assert (second.state, second.taken_back_at is not None) == ("taken_back", True)
    assert (third.state, third.units, third.work_minor, third.fee_minor, third.amount_minor) == (
        "released", 10, 1000, 100, 900,
    )  # fmt: skip
    assert (third.outcome, third.reason_code, third.request_title) == ("accepted", "passed", deal.request.title)
    assert (third.per_hour_minor, first.per_hour_minor, third.payout_id) == (1800, None, None)
    (total,) = page.totals
    assert (total.pending_minor, total.cleared_minor) == (270, 900)


async def test_lines_name_the_payout_that_took_them_when_there_are_several(database, gateway):
    deal = await make_deal(database, contract={"unit_price": 1_000_000, "platform_fee_bps": 0})
    worker = new_id()
    claims = [await _accrue(deal, worker, 1), await _accrue(deal, worker, 2)]
    first = await ask_payout(database, gateway, worker)
    claims.append(await _accrue(deal, worker, 4))
    second = await ask_payout(database, gateway, worker)
    claims.append(await _accrue(deal, worker, 8))
    payouts = {line.claim_id: line.payout_id for line in (await _lines(database, worker)).items}
    assert [payouts[claim.id] for claim in claims] == [first.id, first.id, second.id, None]
    async with committed(database) as session:
        row = await session.get_one(Payout, first.id)
        row.state = PayoutState.CANCELLED
        legs = [debit(accounts.payout_pending(first.id), 300), credit(accounts.worker(worker), 300)]
        await ledger.post(session, f"payout:{first.id}:restore", "payout.restore", legs, "CNY")
    payouts = {line.claim_id: line.payout_id for line in (await _lines(database, worker)).items}
    assert [payouts[claim.id] for claim in claims] == [second.id, second.id, None, None]


async def test_bonus_and_claw_back_are_lines_of_their_own_when_they_are_booked(database):
    deal = await make_deal(database, contract={"unit_price": 1_000_000})
    worker = new_id()
    await _accrue(deal, worker, 10)
    async with committed(database) as session:
        facts = {"request_id": str(deal.request.id)}
        cash, owed = accounts.org_cash(deal.request.organisation_id), accounts.worker(worker)
        await ledger.post(
            session, f"bonus:{new_id()}", "bonus", [debit(cash, 50), credit(owed, 50)], "CNY", facts=facts
        )
        await ledger.post(session, f"back:{new_id()}", "claw_back", [debit(owed, 20), credit(cash, 20)], "CNY")
    lines = (await _lines(database, worker)).items
    assert [(line.kind, line.amount_minor) for line in lines if line.kind != "work"] == [
        ("claw_back", -20),
        ("bonus", 50),
    ]
    assert [line.request_title for line in lines if line.kind == "bonus"] == [deal.request.title]


async def test_pages_hold_every_line_once_when_read_one_by_one(database):
    deal = await make_deal(database)
    worker = new_id()
    for units in range(1, 6):
        await _accrue(deal, worker, units)
    async with committed(database) as session:
        legs = [debit(accounts.PROMO, 5), credit(accounts.worker(worker), 5)]
        await ledger.post(session, f"bonus:{new_id()}", "bonus", legs, "CNY")
    seen, cursor = [], None
    while True:
        page = await _lines(database, worker, PageQuery(limit=2, cursor=cursor))
        seen += [line.id for line in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == [line.id for line in (await _lines(database, worker)).items]
    assert len(set(seen)) == 6
    with pytest.raises(CursorInvalid):
        await _lines(database, worker, PageQuery(cursor="%%%"))


async def test_vendor_and_worker_each_see_their_part_when_workers_are_paid_directly(client, app, database):
    terms = {"pay_workers_directly": True, "worker_share_bps": 7500, "platform_fee_bps": 0, "unit_price": 1_000_000}
    deal = await make_deal(database, with_vendor=True, contract=terms)
    async with committed(database) as session:
        worker, other = await make_approved_worker(session), await make_vendor(session)
    await _accrue(deal, worker.actor.id, 4)
    mine = (await client.get("/v1/me/earnings/lines", headers=bearer(app, worker))).json()
    assert [(line["amount_minor"], line["work_minor"]) for line in mine["items"]] == [(300, 400)]
    assert mine["totals"][0]["cleared_minor"] == 300
    theirs = await _lines(database, deal.contract.vendor_organisation_id, kind=PayeeKind.VENDOR)
    assert [(line.amount_minor, line.worker_id) for line in theirs.items] == [(100, worker.actor.id)]
    path = f"/v1/organisations/{deal.contract.vendor_organisation_id}/earnings/lines"
    assert (await client.get(path, headers=bearer(app, other))).status_code == 404
    own = await client.get(f"/v1/organisations/{other.organisation.id}/earnings/lines", headers=bearer(app, other))
    assert (own.json()["items"], own.json()["totals"]) == ([], [])


@pytest.mark.parametrize("state", [state for state in PayoutState if state is not PayoutState.CANCELLED])
async def test_totals_lose_no_money_when_a_payout_is_in_any_state(database, gateway, state):
    deal = await make_deal(database, contract={"unit_price": 1_000_000, "platform_fee_bps": 0})
    worker = new_id()
    await _accrue(deal, worker, 7)
    payout = await ask_payout(database, gateway, worker)
    await _accrue(deal, worker, 2)
    await _accrue(deal, worker, 1, to_release=False)
    async with committed(database) as session:
        (await session.get_one(Payout, payout.id)).state = state
    (total,) = (await _lines(database, worker)).totals
    assert total.on_the_way_minor + total.paid_minor == 700
    assert (total.paid_minor > 0) is (state is PayoutState.PAID)
    assert (total.cleared_minor, total.pending_minor) == (200, 100)


async def test_lines_name_the_payout_when_tax_of_an_earlier_one_was_kept_and_given_back(database, gateway):
    deal = await make_deal(database, contract={"unit_price": 1_000_000, "platform_fee_bps": 0})
    worker = new_id()
    claims = [await _accrue(deal, worker, 3)]
    first = await ask_payout(database, gateway, worker)
    owed, pending = accounts.worker(worker), accounts.payout_pending(first.id)
    async with committed(database) as session:
        (await session.get_one(Payout, first.id)).state = PayoutState.CANCELLED
        task = TaxTask(payout_id=first.id, authority="a", month="2026-01", currency="CNY", tax_minor=100)
        session.add(task)
        legs = [debit(pending, 300), credit(accounts.tax("a"), 100), credit(owed, 200)]
        await ledger.post(session, f"payout:{first.id}:restore", "payout.restore", legs, "CNY")
    second = await ask_payout(database, gateway, worker)
    assert [line.payout_id for line in (await _lines(database, worker)).items] == [second.id]
    async with committed(database) as session:
        (await session.get_one(TaxTask, task.id)).state = TaxTaskState.GIVEN_BACK
        legs = [debit(accounts.tax("a"), 100), credit(owed, 100)]
        await ledger.post(session, f"payout:{first.id}:tax_back", "payout.tax_back", legs, "CNY")
    claims.append(await _accrue(deal, worker, 1))
    assert [line.payout_id for line in (await _lines(database, worker)).items] == [None, None]
    third = await ask_payout(database, gateway, worker)
    payouts = {line.claim_id: line.payout_id for line in (await _lines(database, worker)).items}
    assert payouts == {claims[0].id: third.id, claims[1].id: third.id}
