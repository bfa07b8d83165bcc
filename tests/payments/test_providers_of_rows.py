"""Each row is moved by the provider that has it, whatever the settings say by now."""

import pytest

from marketplace.core.ids import new_id
from marketplace.core.outbox import emit
from marketplace.core.paging import PageQuery
from marketplace.core.settings import Settings
from marketplace.ledger import accounts, queries
from marketplace.payments.models import Charge, Payout
from marketplace.payments.payouts import Owner, payee_of
from marketplace.payments.providers import close_gateways, open_gateway
from marketplace.payments.reconcile_runs import runs
from marketplace.payments.states import ChargeState, PayeeKind, PayeeState, PayoutState
from tests.factories.money import ask_payout, ask_top_up, committed, earn, put_off, row_of
from tests.fakestripe import running_fake
from tests.jobs import run_outbox
from tests.payments.benches import passed, stripe_settings
from workers.handlers import WorkerResources

WEEK = 7 * 24 * 3600


@pytest.fixture
async def fake():
    async with running_fake() as running:
        yield running
    await close_gateways()


@pytest.fixture
def both(settings: Settings, fake) -> Settings:
    """Stripe is the provider of new rows; the sandbox has some of the time before."""
    return stripe_settings(settings, fake)


async def _drive(shared, fake) -> None:
    for _ in range(6):
        await put_off(shared.database)
        await run_outbox(shared, only="payments.")
        await run_outbox(shared, only="sandbox.advance")
    await passed(fake, WEEK)
    async with committed(shared.database) as session:
        emit(session, "payments.fill_gaps", {})
    await run_outbox(shared, only="payments.")


async def test_old_rows_stay_with_their_provider_when_the_settings_name_another(
    database, settings, both, fake, worker_resources
):
    shared = WorkerResources(both, database, worker_resources.store)
    sandbox, stripe = open_gateway(settings, database), open_gateway(both, database)
    assert (sandbox.name, stripe.name) == ("sandbox", "stripe")
    charges = [await ask_top_up(database, gateway, new_id(), 100_000) for gateway in (sandbox, stripe)]
    for _ in range(2):
        await _drive(shared, fake)
    assert [(await row_of(database, Charge, charge.id)).state for charge in charges] == [ChargeState.SUCCEEDED] * 2
    payouts = []
    for gateway in (sandbox, stripe):
        worker = new_id()
        await earn(database, worker, 800)
        payouts.append(await ask_payout(database, gateway, worker))
    for _ in range(3):
        await _drive(shared, fake)
    found = [await row_of(database, Payout, payout.id) for payout in payouts]
    assert [(row.provider, row.state) for row in found] == [
        ("sandbox", PayoutState.PAID), ("stripe", PayoutState.PAID),
    ]  # fmt: skip
    async with committed(database) as session:
        emit(session, "payments.reconcile", {})
    await run_outbox(shared, only="payments.reconcile")
    async with database.sessions() as session:
        rows, _ = await runs(session, PageQuery())
        assert {(row.provider, row.holds) for row in rows} == {("sandbox", True), ("stripe", True)}
        for provider in ("sandbox", "stripe"):
            assert await queries.balance(session, accounts.in_transit(provider), "CNY") == 0


async def test_provider_of_old_rows_stops_no_job_when_it_is_not_set_up_any_more(
    database, settings, both, fake, worker_resources
):
    """A Kapok that began with the sandbox goes on with real money only."""
    await ask_top_up(database, open_gateway(settings, database), new_id(), 700)
    await run_outbox(worker_resources, only="payments.")
    async with committed(database) as session:
        old = await payee_of(session, open_gateway(settings, database), Owner(PayeeKind.WORKER, new_id(), "韦小木"))
        old.state = PayeeState.LAPSED
    real = both.model_copy(update={"env": "production"})
    shared = WorkerResources(real, database, worker_resources.store)
    async with committed(database) as session:
        for kind in ("fill_gaps", "reconcile", "plan_hold_limit", "check_payees"):
            emit(session, f"payments.{kind}", {})
    await run_outbox(shared, only="payments.")
    async with database.sessions() as session:
        rows, _ = await runs(session, PageQuery())
    assert [row.provider for row in rows] == ["stripe"]
