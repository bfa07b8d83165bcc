"""The whole way of the money with Stripe as the provider, over a fake of it by HTTP: each job opens its gateway."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from sqlmodel import select

from marketplace.core.db import Database
from marketplace.core.ids import new_id
from marketplace.core.outbox import Outbox
from marketplace.core.settings import Settings
from marketplace.ledger import accounts, queries, verify
from marketplace.payments import reconcile
from marketplace.payments.gateway import Gateway
from marketplace.payments.models import Charge, Payout, ProviderCall
from marketplace.payments.providers import close_gateways, open_gateway
from marketplace.payments.states import CallState, ChargeState, Leg, PayoutState
from tests.factories.money import ask_payout, ask_top_up, committed, earn, row_of
from tests.fakestripe import running_fake
from tests.payments.benches import passed, return_payouts, stripe_settings
from tests.payments.live import LiveStripe, live_stripe

AMOUNT, FUNDS = 12_345, 1_000_000
WEEK = 7 * 24 * 3600


@pytest.fixture(params=["fake", pytest.param("live", marks=pytest.mark.stripe_live)])
async def fake(request) -> AsyncIterator[object]:
    """Stripe: a fake of it, or its own test mode, which skips what it cannot be told to do."""
    async with (live_stripe if request.param == "live" else running_fake)() as running:
        yield running
    await close_gateways()


@pytest.fixture
def settings(settings: Settings, fake) -> Settings:
    return stripe_settings(settings, fake)


@pytest.fixture
def gateway(settings: Settings, database: Database) -> Gateway:
    return open_gateway(settings, database)


async def _settle(database, drive, fake) -> None:
    """Run all jobs, let a week pass at Stripe, and learn from its events what no webhook brought."""
    await drive()
    await passed(fake, WEEK)
    async with committed(database) as session:
        session.add(Outbox(kind="payments.fill_gaps", payload={}))
    await drive()


@pytest.fixture
async def charge(database, gateway, drive, fake) -> Charge:
    """A top-up whose money is available at Stripe."""
    asked = await ask_top_up(database, gateway, new_id(), FUNDS, _currency(fake))
    await _settle(database, drive, fake)
    return await row_of(database, Charge, asked.id)


def _currency(fake) -> str:
    return fake.currency if isinstance(fake, LiveStripe) else "CNY"


async def _balance(database, fake, path: str) -> int:
    async with database.sessions() as session:
        return await queries.balance(session, path, _currency(fake))


async def _owed(database, gateway, fake, name: str = "韦小木") -> tuple[UUID, Payout]:
    """A worker who has earned and asks for it, known to Stripe by the payee's reference."""
    worker = new_id()
    await earn(database, worker, AMOUNT, _currency(fake))
    payout = await ask_payout(database, gateway, worker, name, currency=_currency(fake))
    if isinstance(fake, LiveStripe):
        await fake.name_payee(payout.payee_id.hex)
    return worker, payout


async def _assert_books_agree(database, gateway, fake) -> None:
    async with database.sessions() as session:
        assert (await verify.verify(session)).holds
        if isinstance(fake, LiveStripe):  # other runs have left entries there that these books know nothing of
            return
        checks = await reconcile.reconcile(session, gateway)
    assert [check.breaks for check in checks] == [[], [], []]


async def _assert_paid_once(database, gateway, fake, payout: Payout, worker: UUID) -> None:
    row = await row_of(database, Payout, payout.id)
    entries = [entry for entry in await gateway.list_entries() if entry.ref == payout.id.hex]
    assert [(entry.kind, entry.amount_minor) for entry in entries] == [(Leg.TRANSFER, -AMOUNT)]
    assert await _balance(database, fake, accounts.worker(worker)) == 0
    await _assert_books_agree(database, gateway, fake)
    if isinstance(fake, LiveStripe) and row.state is PayoutState.SUBMITTED:
        pytest.skip("sent once and rightly booked; the bank of the test mode has not answered yet")
    assert row.state is PayoutState.PAID
    assert await _balance(database, fake, accounts.in_transit("stripe")) == 0


async def test_worker_is_paid_when_all_goes_well(database, gateway, drive, fake, charge):
    assert charge.state is ChargeState.SUCCEEDED
    assert await _balance(database, fake, accounts.org_cash(charge.organisation_id)) == FUNDS
    assert await _balance(database, fake, accounts.psp("stripe")) == FUNDS - charge.fee_minor
    worker, payout = await _owed(database, gateway, fake)
    await _settle(database, drive, fake)
    await _settle(database, drive, fake)
    await _assert_paid_once(database, gateway, fake, payout, worker)


@pytest.mark.parametrize("fault", ["lost_response", "lost_request", "error_after", "throttled", "conflict"])
async def test_worker_is_paid_once_when_a_call_goes_wrong(database, gateway, drive, fake, charge, fault):
    fake.faults.plan(None, None, fault, fault)
    worker, payout = await _owed(database, gateway, fake)
    for _ in range(3):
        await _settle(database, drive, fake)
    await _assert_paid_once(database, gateway, fake, payout, worker)
    async with database.sessions() as session:
        calls = (await session.exec(select(ProviderCall).where(ProviderCall.subject_id == payout.id))).all()
    assert {call.state for call in calls} <= {CallState.DONE, CallState.ABSENT}


async def test_money_is_the_workers_again_when_the_bank_returns_what_was_paid(database, gateway, drive, fake, charge):
    return_payouts(fake)
    worker, payout = await _owed(database, gateway, fake, "韦小木 return-payout")
    for _ in range(4):
        await _settle(database, drive, fake)
    row = await row_of(database, Payout, payout.id)
    assert (row.state, row.paid_at) == (PayoutState.CANCELLED, None)
    assert row.failure_code
    assert await _balance(database, fake, accounts.worker(worker)) == AMOUNT
    assert await _balance(database, fake, accounts.psp("stripe")) == FUNDS - charge.fee_minor
    await _assert_books_agree(database, gateway, fake)


async def test_gateway_answers_when_it_is_used_in_a_second_event_loop(gateway, charge):
    """Connections belong to the loop that opened them, so each loop has its own."""

    async def elsewhere():
        try:
            return await gateway.balance()
        finally:
            await close_gateways()

    assert await asyncio.to_thread(asyncio.run, elsewhere()) == await gateway.balance()


async def test_cancellation_passes_when_it_meets_a_call(gateway, charge):
    call = asyncio.create_task(gateway.list_entries())
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
