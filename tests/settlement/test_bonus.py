"""Bonuses: own money, to workers whose work was accepted, with a reason that they read."""

import asyncio

import pytest

from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.states import RequestState
from marketplace.core.ids import new_id
from marketplace.ledger import accounts
from marketplace.ledger.errors import InsufficientFunds
from marketplace.quality.aliases import worker_alias
from marketplace.quality.states import Outcome
from marketplace.settlement import accrual, queries
from marketplace.settlement.bonus import give_bonus
from marketplace.settlement.errors import BonusWorkerUnknown, ReserveNotForBonus
from marketplace.settlement.manual.errors import ReversalRefused
from marketplace.settlement.schemas import GiveBonus
from marketplace.tasks.models import ContractPlan
from tests.factories.identity import Party, actor_for, bearer, make_enterprise, make_person
from tests.factories.money import committed
from tests.settlement.desk import person
from tests.settlement.work import BUDGET, make_deal

THANKS = "四十条都对，谢谢"


async def _thanked(database, *, outcome=Outcome.ACCEPTED, **options):
    """A deal, a worker with judged work in it, and the name under which the enterprise knows that worker."""
    deal = await make_deal(database, **options)
    worker = await person(database)
    await deal.accepted(worker=worker, outcome=outcome)
    return deal, worker, worker_alias(deal.request.id, worker)


async def _give(deal, alias, amount=500, paid_from="reserve"):
    async with committed(deal.database) as session:
        command = GiveBonus(worker=alias, amount_minor=amount, paid_from=paid_from, reason=THANKS)
        return await give_bonus(session, deal.enterprise, deal.request.id, command)


@pytest.mark.parametrize("paid_from", ["reserve", "cash"])
async def test_bonus_moves_what_it_says_when_its_source_holds_it(database, desk, paid_from):
    deal, worker, alias = await _thanked(database)
    cash = accounts.org_cash(deal.request.organisation_id)
    before = {"reserve": await deal.reserved(), "cash": await deal.balance(cash)}
    await _give(deal, alias, paid_from=paid_from)
    after = {"reserve": await deal.reserved(), "cash": await deal.balance(cash)}
    assert {name: before[name] - after[name] for name in before if before[name] != after[name]} == {paid_from: 500}
    assert await deal.balance(accounts.worker(worker)) == 500
    assert await desk.broken() == {}


async def test_money_of_a_request_adds_up_when_a_bonus_came_from_its_reserve(database, desk):
    deal, _, alias = await _thanked(database)
    await _give(deal, alias)
    async with database.sessions() as session:
        money = await queries.money_of_request(session, deal.request)
    assert (money.bonuses_minor, money.funded_minor) == (500, BUDGET)
    assert money.funded_minor == money.reserved_minor + money.spent_minor + money.refunded_minor


async def test_bonus_is_refused_when_the_money_is_not_there(database):
    deal, worker, alias = await _thanked(database)
    with pytest.raises(InsufficientFunds):
        await _give(deal, alias, BUDGET + 1)
    ended = await asyncio.gather(*(_give(deal, alias, BUDGET) for _ in range(2)), return_exceptions=True)
    assert sorted(type(end).__name__ for end in ended) == ["BonusView", "InsufficientFunds"]
    assert await deal.balance(accounts.worker(worker)) == BUDGET


async def test_reserve_pays_no_bonus_with_what_planned_work_will_earn(database):
    """By hand: 20,000 planned units at 0.35 are 7,000.00, of which 3.50 are earned; 10,000.00 less 7,000.00 is free."""
    deal = await make_deal(database)
    worker = await person(database)
    claim = await deal.accepted(worker=worker)
    alias = worker_alias(deal.request.id, worker)
    async with committed(database) as session:
        session.add(ContractPlan(request_id=deal.request.id, contract_id=deal.contract.id, planned_units=20_000))
        await accrual.accrue(session, deal.request.id, claim.id, 1)
    with pytest.raises(ReserveNotForBonus, match="planned"):
        await _give(deal, alias, BUDGET - 700_000 + 1)
    await _give(deal, alias, BUDGET - 700_000)
    await _give(deal, alias, 1, "cash")
    assert await deal.reserved() == 700_000 - 350


async def test_bonus_goes_only_to_whose_work_was_accepted_in_the_request(database):
    deal, _, rejected = await _thanked(database, outcome=Outcome.REJECTED)
    _, worker, _ = await _thanked(database)
    for alias in (rejected, worker_alias(deal.request.id, worker), worker_alias(deal.request.id, new_id())):
        with pytest.raises(BonusWorkerUnknown):
            await _give(deal, alias)


async def test_bonus_comes_from_cash_when_the_request_has_ended(database):
    deal, worker, alias = await _thanked(database)
    async with committed(database) as session:
        request = await session.get_one(DatasetRequest, deal.request.id)
        request.state = RequestState.CLOSED
    with pytest.raises(ReserveNotForBonus):
        await _give(deal, alias)
    await _give(deal, alias, paid_from="cash")
    assert await deal.balance(accounts.worker(worker)) == 500


async def test_bonus_is_reversed_into_the_reserve_it_came_from_while_the_request_runs(database, desk):
    deal, worker, alias = await _thanked(database)
    txns = []
    for _ in range(2):
        given = await _give(deal, alias)
        async with database.sessions() as session:
            txns += await desk.txns(session, f"bonus:{given.id}")
    await desk.post(kind="reverse", txn_id=txns[0])
    assert (await deal.reserved(), await deal.balance(accounts.worker(worker))) == (BUDGET - 500, 500)
    async with database.sessions() as session:
        assert (await queries.money_of_request(session, deal.request)).bonuses_minor == 500
    assert await desk.broken() == {}
    async with committed(database) as session:
        request = await session.get_one(DatasetRequest, deal.request.id)
        request.state = RequestState.CLOSED
    with pytest.raises(ReversalRefused, match="ended"):
        await desk.propose(kind="reverse", txn_id=txns[1])


async def test_worker_reads_the_bonus_and_its_reason_and_others_have_no_such_request(app, client, database):
    deal = await make_deal(database)
    async with committed(database) as session:
        somebody = await make_person(session)
        stranger = bearer(app, await make_enterprise(session))
    await deal.accepted(worker=somebody.id)
    alias = worker_alias(deal.request.id, somebody.id)
    body = {"worker": alias, "amount_minor": 500, "paid_from": "cash", "reason": THANKS}
    path, key = f"/v1/requests/{deal.request.id}/bonuses", {"Idempotency-Key": "b1"}
    owner = bearer(app, Party(somebody, None, deal.enterprise))
    first, again = [await client.post(path, json=body, headers=owner | key) for _ in range(2)]
    assert (first.status_code, first.json()["amount_minor"]) == (201, 500)
    assert again.json() == first.json()
    worker = bearer(app, Party(somebody, None, actor_for(somebody)))
    lines = (await client.get("/v1/me/statement", params={"currency": "CNY"}, headers=worker)).json()["items"]
    assert [(line["kind"], line["amount_minor"], line["facts"]["reason"]) for line in lines] == [("bonus", 500, THANKS)]
    assert (await client.post(path, json=body, headers=stranger | key)).status_code == 404
    keyless = await client.post(path, json=body, headers=owner)
    assert keyless.json()["code"] == "idempotency_key_missing"
    zero = await client.post(path, json=body | {"amount_minor": 0}, headers=owner | {"Idempotency-Key": "b2"})
    assert zero.status_code == 422
