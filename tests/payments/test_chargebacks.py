"""A charge that its payer's bank takes back: frozen, and given back or owed; whatever order the news comes in."""

import asyncio
from uuid import UUID

import pytest
from sqlmodel import select

from marketplace.core.actor import Role
from marketplace.core.errors import Conflict
from marketplace.core.ids import new_id
from marketplace.core.money import Money
from marketplace.ledger import accounts, queries
from marketplace.ledger import service as ledger
from marketplace.ledger.entries import credit, debit
from marketplace.ledger.errors import InsufficientFunds
from marketplace.payments import inbox, outcomes
from marketplace.payments.models import Chargeback, Refund, WebhookEvent
from marketplace.payments.refunds import refund_to_source
from marketplace.payments.sandbox.gateway import SandboxGateway
from marketplace.payments.sandbox.settings import SandboxSettings
from marketplace.payments.states import ChargebackState, Leg, RefundState, WebhookState
from marketplace.settlement import funding
from marketplace.settlement.queries import money_of_request
from marketplace.settlement.verify import verify_everything
from tests.factories.catalog import make_request
from tests.factories.identity import bearer, make_enterprise, make_operator
from tests.factories.money import ask_top_up, committed, row_of
from workers.jobs import payments as jobs
from workers.session import run_command

FEE = 1_500
PAID = 100_000


@pytest.fixture
def gateway(monkeypatch, settings, database, faults):
    options = SandboxSettings(dispute_fee_minor=FEE)
    sandbox = SandboxGateway(settings, database.sessions, options=options, faults=faults)
    monkeypatch.setattr(jobs, "open_gateway", lambda *_: sandbox)
    monkeypatch.setattr(jobs, "SandboxGateway", lambda *_: sandbox)
    return sandbox


@pytest.fixture
async def enterprise(database):
    async with committed(database) as session:
        return await make_enterprise(session, Role.OWNER)


@pytest.fixture
async def charge(database, gateway, drive, enterprise):
    made = await ask_top_up(database, gateway, enterprise.organisation.id, PAID)
    await drive()
    return made


@pytest.fixture
def learn(database, gateway, drive):
    """Learn the provider's news, as if webhooks had come."""

    async def run() -> None:
        await run_command(database, lambda session: inbox.fill_gaps(session, gateway))
        await drive()

    return run


async def _balance(database, path: str) -> int:
    async with database.sessions() as session:
        return await queries.balance(session, path, "CNY")


async def _chargeback(database) -> Chargeback:
    async with database.sessions() as session:
        return (await session.exec(select(Chargeback))).one()


async def _breaks(database, gateway) -> list[str]:
    async with database.sessions() as session:
        checks = [*(await verify_everything(session, gateway)).checks]
    return [line for check in checks for line in check.breaks]


async def _draft(database, enterprise, amount: int):
    async with committed(database) as session:
        return await make_request(session, enterprise.organisation.id, currency="CNY", budget_minor=amount)


async def _funded(database, enterprise, amount: int):
    request = await _draft(database, enterprise, amount)
    async with committed(database) as session:
        await funding.fund(session, enterprise.actor, request.id, amount)
    return request


async def test_money_is_frozen_when_a_chargeback_opens(database, gateway, charge, learn, enterprise):
    ref = await gateway.dispute(charge.id.hex, Money(60_000, "CNY"))
    await learn()
    row = await _chargeback(database)
    assert (row.state, row.amount_minor, row.fee_minor, row.remote_ref) == (ChargebackState.OPEN, 60_000, FEE, ref)
    assert row.evidence_due_at is not None
    assert await _balance(database, accounts.org_cash(enterprise.organisation.id)) == 40_000
    assert await _balance(database, accounts.frozen(row.id)) == 60_000
    assert await _balance(database, accounts.dispute_held("sandbox")) == 60_000
    assert await _balance(database, accounts.PSP_FEE) == FEE
    assert await _balance(database, accounts.psp("sandbox")) == PAID - 60_000 - FEE
    assert await _breaks(database, gateway) == []


@pytest.mark.parametrize("won", [True, False])
async def test_frozen_money_returns_or_is_gone_when_a_chargeback_ends(
    database, gateway, charge, learn, enterprise, won
):
    ref = await gateway.dispute(charge.id.hex)
    await learn()
    await gateway.close_dispute(ref, won=won)
    await learn()
    row = await _chargeback(database)
    assert row.state is (ChargebackState.WON if won else ChargebackState.LOST)
    assert await _balance(database, accounts.org_cash(enterprise.organisation.id)) == (PAID if won else 0)
    assert await _balance(database, accounts.frozen(row.id)) == 0
    assert await _balance(database, accounts.dispute_held("sandbox")) == 0
    assert await _balance(database, accounts.receivable(enterprise.organisation.id)) == 0
    assert await _breaks(database, gateway) == []


async def test_reserves_are_frozen_too_when_the_prepaid_balance_is_short(database, gateway, charge, learn, enterprise):
    older, younger = await _funded(database, enterprise, 50_000), await _funded(database, enterprise, 30_000)
    ref = await gateway.dispute(charge.id.hex, Money(60_000, "CNY"))
    await learn()
    row = await _chargeback(database)
    cash = accounts.org_cash(enterprise.organisation.id)
    assert row.frozen == {
        cash: 20_000, accounts.reserved(younger.id): 30_000, accounts.reserved(older.id): 10_000
    }  # fmt: skip
    assert await _breaks(database, gateway) == []
    await gateway.close_dispute(ref, won=True)
    await learn()
    assert await _balance(database, cash) == 60_000
    assert await _balance(database, accounts.reserved(older.id)) == 40_000
    assert await _breaks(database, gateway) == []


async def test_enterprise_owes_what_could_not_be_frozen_when_a_chargeback_is_lost(
    database, gateway, charge, learn, enterprise
):
    async with committed(database) as session:
        from_cash = accounts.org_cash(enterprise.organisation.id)
        legs = [debit(from_cash, 70_000), credit(accounts.worker(new_id()), 70_000)]
        await ledger.post(session, "earn:1", "release", legs, "CNY")
    ref = await gateway.dispute(charge.id.hex)
    await learn()
    assert (await _chargeback(database)).uncovered_minor == 70_000
    await gateway.close_dispute(ref, won=False)
    await learn()
    assert await _balance(database, accounts.receivable(enterprise.organisation.id)) == 70_000
    assert await _balance(database, accounts.dispute_held("sandbox")) == 0
    assert await _breaks(database, gateway) == []


async def test_frozen_money_cannot_be_spent_when_a_chargeback_is_open(database, gateway, charge, learn, enterprise):
    await gateway.dispute(charge.id.hex, Money(60_000, "CNY"))
    await learn()
    request = await _funded(database, enterprise, 40_000)
    with pytest.raises(InsufficientFunds):
        async with committed(database) as session:
            await funding.fund(session, enterprise.actor, request.id, 1)
    with pytest.raises(Conflict):
        async with committed(database) as session:
            await refund_to_source(
                session, enterprise.actor, enterprise.organisation.id, 1_000, "CNY", cause="close:test"
            )


async def test_money_of_a_request_adds_up_when_a_chargeback_took_from_its_reserve(
    database, gateway, charge, learn, enterprise
):
    request = await _funded(database, enterprise, 90_000)
    await gateway.dispute(charge.id.hex, Money(60_000, "CNY"))
    await learn()
    async with database.sessions() as session:
        money = await money_of_request(session, request)
    assert money.charged_back_minor == 50_000
    assert money.funded_minor == (
        money.reserved_minor + money.spent_minor + money.charged_back_minor + money.refunded_minor
    )


async def test_nothing_is_posted_twice_when_news_comes_again_and_out_of_order(
    database, gateway, charge, learn, enterprise
):
    ref = await gateway.dispute(charge.id.hex)
    opened = await gateway.find(Leg.DISPUTE, ref)
    await gateway.close_dispute(ref, won=True)
    won = await gateway.find(Leg.DISPUTE, ref)
    for news in (won, opened, won, opened):
        async with committed(database) as session:
            assert await outcomes.apply(session, news)
    assert (await _chargeback(database)).state is ChargebackState.WON
    await gateway.close_dispute(ref, won=False)
    await learn()
    assert await _balance(database, accounts.org_cash(enterprise.organisation.id)) == PAID
    assert await _balance(database, accounts.psp("sandbox")) == PAID - FEE
    assert await _breaks(database, gateway) == []


async def test_chargeback_is_opened_once_when_two_workers_learn_of_it(database, gateway, charge):
    news = await gateway.find(Leg.DISPUTE, await gateway.dispute(charge.id.hex))

    async def apply() -> bool:
        return await run_command(database, lambda session: outcomes.apply(session, news))

    assert await asyncio.gather(*(apply() for _ in range(6))) == [True] * 6
    assert (await _chargeback(database)).frozen_minor == PAID
    assert await _balance(database, accounts.dispute_held("sandbox")) == PAID


async def test_all_money_is_frozen_or_spent_when_requests_are_funded_at_the_same_time(
    database, gateway, charge, enterprise
):
    requests = [await _draft(database, enterprise, 20_000) for _ in range(4)]
    news = await gateway.find(Leg.DISPUTE, await gateway.dispute(charge.id.hex, Money(70_000, "CNY")))

    async def fund(request_id: UUID) -> bool:
        try:
            await run_command(database, lambda session: funding.fund(session, enterprise.actor, request_id, 20_000))
        except InsufficientFunds:
            return False
        return True

    opening = run_command(database, lambda session: outcomes.apply(session, news))
    *_, applied = await asyncio.gather(*(fund(request.id) for request in requests), opening)
    assert applied
    row = await _chargeback(database)
    assert row.frozen_minor == 70_000
    left = await _balance(database, accounts.org_cash(enterprise.organisation.id))
    reserved = [await _balance(database, accounts.reserved(request.id)) for request in requests]
    assert left + sum(reserved) == 30_000
    assert await _breaks(database, gateway) == []


async def test_chargeback_waits_when_its_charge_is_not_known_as_paid_yet(
    database, gateway, enterprise, drive, worker_resources
):
    made = await ask_top_up(database, gateway, enterprise.organisation.id, PAID)
    await gateway.create_charge("another key", made.id.hex, Money(PAID, "CNY"))  # as by a call whose answer was lost
    await gateway.dispute(made.id.hex)
    events = await gateway.list_events(made.created_at)
    (event,) = [event for event in events if event.kind is Leg.DISPUTE]
    await run_command(database, lambda session: inbox.receive(session, "sandbox", event))
    async with database.sessions() as session:
        row_id = (await session.exec(select(WebhookEvent.id))).one()
    await run_command(database, lambda session: inbox.apply(session, gateway, row_id))
    kept = await row_of(database, WebhookEvent, row_id)
    assert (kept.state, kept.tries) == (WebhookState.PENDING, 1)
    async with committed(database) as session:
        await outcomes.apply(session, await gateway.get_charge(made.id.hex))
    await run_command(database, lambda session: inbox.apply(session, gateway, row_id))
    assert (await row_of(database, WebhookEvent, row_id)).state is WebhookState.APPLIED
    assert (await _chargeback(database)).frozen_minor == PAID


async def test_refund_fails_and_returns_when_its_charge_was_charged_back_meanwhile(
    database, gateway, charge, learn, drive, enterprise
):
    async with committed(database) as session:
        await refund_to_source(session, enterprise.actor, enterprise.organisation.id, 9_000, "CNY", cause="close:x")
    await gateway.dispute(charge.id.hex)
    await learn()
    async with database.sessions() as session:
        refund = (await session.exec(select(Refund))).one()
    assert (refund.state, refund.failure_code) == (RefundState.FAILED, "charge_disputed")
    assert await _breaks(database, gateway) == []


@pytest.mark.parametrize(("ending", "state"), [(4008, ChargebackState.WON), (4009, ChargebackState.LOST)])
async def test_chargeback_comes_and_ends_by_itself_when_the_amount_asks_for_it(
    database, gateway, drive, learn, enterprise, ending, state
):
    await ask_top_up(database, gateway, enterprise.organisation.id, 50_000 + ending)
    await drive()
    await learn()
    assert (await _chargeback(database)).state is state
    assert await _breaks(database, gateway) == []


async def test_chargebacks_are_listed_for_the_operator_and_their_own_enterprise_only(
    client, app, database, gateway, charge, learn, enterprise
):
    await gateway.dispute(charge.id.hex)
    await learn()
    async with committed(database) as session:
        other, finance = await make_enterprise(session, Role.OWNER), await make_operator(session, Role.OPERATOR_FINANCE)
    own = f"/v1/organisations/{enterprise.organisation.id}/chargebacks"
    (seen,) = (await client.get(own, headers=bearer(app, enterprise))).json()["items"]
    assert (seen["charge_id"], seen["state"], seen["frozen_minor"]) == (str(charge.id), "open", PAID)
    assert (await client.get(own, headers=bearer(app, other))).status_code == 404
    path = "/v1/operator/chargebacks"
    assert (await client.get(path, headers=bearer(app, other))).status_code == 403
    listed = await client.get(path, params={"state": "open"}, headers=bearer(app, finance))
    assert [row["id"] for row in listed.json()["items"]] == [seen["id"]]
    assert listed.json()["items"][0]["evidence_due_at"] is not None
    none = await client.get(path, params={"state": "lost"}, headers=bearer(app, finance))
    assert none.json()["items"] == []
