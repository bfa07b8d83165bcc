"""The operator's knobs of the sandbox: they work across processes, and are absent where money is real."""

from datetime import timedelta

import httpx
import pytest
from sqlmodel import select

from marketplace.core.actor import Role
from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.core.outbox import Outbox
from marketplace.payments import inbox
from marketplace.payments.models import Charge, Chargeback, Payee, Payout, ProviderCall, WebhookEvent
from marketplace.payments.providers import open_gateway
from marketplace.payments.sandbox import delivery
from marketplace.payments.sandbox.models import SandboxEvent
from marketplace.payments.sandbox.settings import get_sandbox_settings
from marketplace.payments.states import CallState, ChargebackState, ChargeState, Leg, PayeeState, PayoutState
from tests.factories.identity import bearer, make_enterprise, make_operator
from tests.factories.money import (
    ask_payout,
    ask_top_up,
    committed,
    earn,
    put_off,
    remote_objects,
    row_of,
    waiting_jobs,
)
from tests.jobs import run_outbox
from workers.session import run_command

BASE = "/v1/operator/sandbox"
DAY = 24 * 3600


@pytest.fixture
async def admin(app, database):
    async with committed(database) as session:
        return bearer(app, await make_operator(session, Role.ADMIN))


@pytest.fixture
def slow_bank(monkeypatch):
    for name in ("AVAILABLE", "PAID", "RETURNED"):
        monkeypatch.setenv(f"SANDBOX_{name}_AFTER_SECONDS", str(2 * DAY))
    get_sandbox_settings.cache_clear()
    yield
    get_sandbox_settings.cache_clear()


@pytest.fixture
def sandbox(settings, database):
    """The sandbox as a process of its own opens it: what it meets can come from the tables only."""
    return open_gateway(settings, database)


@pytest.fixture
def run(database, worker_resources, sandbox):
    async def jobs(*, after_waits: bool = False) -> None:
        for _ in range(6):
            if after_waits:
                await put_off(database)
            await run_outbox(worker_resources, only="payments.")
            await run_outbox(worker_resources, only="sandbox.advance")
            await run_command(database, lambda session: inbox.fill_gaps(session, sandbox))

    return jobs


async def _act(client, admin, verb, path, **body) -> dict:
    answer = await client.request(verb, BASE + path, headers=admin, **({"json": body} if body else {}))
    assert answer.is_success, answer.text
    return answer.json()


async def test_call_meets_a_fault_once_when_the_operator_queued_it(client, admin, database, sandbox, run):
    view = await _act(client, admin, "POST", "/faults", faults=["lost_response"], leg="charge")
    assert view["waiting_faults"] == [{"fault": "lost_response", "leg": "charge"}]
    charge = await ask_top_up(database, sandbox, new_id(), 700)
    await run()
    async with database.sessions() as session:
        call = (await session.exec(select(ProviderCall))).one()
    assert call.state is CallState.UNKNOWN
    assert (await _act(client, admin, "GET", ""))["waiting_faults"] == []
    await run(after_waits=True)
    assert (await row_of(database, Charge, charge.id)).state is ChargeState.SUCCEEDED
    assert len(await remote_objects(database, Leg.CHARGE, charge.id.hex)) == 1


async def test_other_calls_pass_when_a_fault_waits_for_a_leg(client, admin, database, sandbox, run):
    await _act(client, admin, "POST", "/faults", faults=["error_after"], leg="refund")
    charge = await ask_top_up(database, sandbox, new_id(), 700)
    await run()
    assert (await row_of(database, Charge, charge.id)).state is ChargeState.SUCCEEDED
    assert (await _act(client, admin, "DELETE", "/faults"))["waiting_faults"] == []


@pytest.mark.usefixtures("slow_bank")
async def test_money_becomes_available_when_the_clock_is_moved(client, admin, database, sandbox, run):
    await ask_top_up(database, sandbox, new_id(), 700)
    await run()
    assert (await sandbox.balance())["CNY"].available_minor == 0
    view = await _act(client, admin, "POST", "/clock", by_seconds=DAY)
    assert (await sandbox.balance())["CNY"].available_minor == 0
    assert view["clock_ahead_seconds"] == DAY
    await _act(client, admin, "POST", "/clock", by_seconds=DAY + 60)
    balance = (await sandbox.balance())["CNY"]
    assert (balance.available_minor, balance.pending_minor) == (700, 0)


async def _payout(client, admin, database, sandbox, run) -> Payout:
    """A payout that is at the bank, whose clock stands."""
    worker = new_id()
    await ask_top_up(database, sandbox, new_id(), 5000)
    await run()
    await _act(client, admin, "POST", "/clock", by_seconds=2 * DAY + 60)
    await earn(database, worker, 800)
    payout = await ask_payout(database, sandbox, worker)
    await run()
    assert (await row_of(database, Payout, payout.id)).state is PayoutState.SUBMITTED
    return payout


@pytest.mark.usefixtures("slow_bank")
async def test_payout_arrives_when_the_clock_is_moved_past_its_time(client, admin, database, sandbox, run):
    payout = await _payout(client, admin, database, sandbox, run)
    await run()
    assert (await row_of(database, Payout, payout.id)).state is PayoutState.SUBMITTED
    await _act(client, admin, "POST", "/clock", by_seconds=2 * DAY + 60)
    await run()
    assert (await row_of(database, Payout, payout.id)).state is PayoutState.PAID


@pytest.mark.usefixtures("slow_bank")
@pytest.mark.parametrize(
    "ending",
    [
        (["paid"], PayoutState.PAID, None),
        (["failed"], PayoutState.CANCELLED, "bank_refused"),
        (["paid", "returned"], PayoutState.CANCELLED, "bank_returned"),
    ],
)
async def test_payout_ends_as_the_operator_says(client, admin, database, sandbox, run, ending):
    outcomes, state, code = ending
    payout = await _payout(client, admin, database, sandbox, run)
    for outcome in outcomes:
        await _act(client, admin, "POST", "/outcomes", kind="payout", id=str(payout.id), outcome=outcome)
        await run()
    row = await row_of(database, Payout, payout.id)
    assert (row.state, row.failure_code) == (state, code)


@pytest.mark.usefixtures("slow_bank")
async def test_outcome_is_refused_when_it_cannot_follow(client, admin, database, sandbox, run):
    payout = await _payout(client, admin, database, sandbox, run)
    body = {"kind": "payout", "id": str(payout.id), "outcome": "returned"}
    early = await client.post(f"{BASE}/outcomes", json=body, headers=admin)
    assert (early.status_code, early.json()["code"]) == (409, "sandbox_outcome_impossible")
    none = await client.post(f"{BASE}/outcomes", json=body | {"id": str(new_id())}, headers=admin)
    assert (none.status_code, none.json()["code"]) == (404, "sandbox_object_unknown")
    wrong = await client.post(f"{BASE}/outcomes", json=body | {"outcome": "succeeded"}, headers=admin)
    assert wrong.status_code == 422


@pytest.mark.usefixtures("slow_bank")
async def test_pending_top_up_succeeds_and_is_booked_when_the_operator_says_so(client, admin, database, sandbox, run):
    charge = await ask_top_up(database, sandbox, new_id(), 14003)
    await run()
    assert (await row_of(database, Charge, charge.id)).state is ChargeState.PENDING
    await _act(client, admin, "POST", "/outcomes", kind="charge", id=str(charge.id), outcome="succeeded")
    await run()
    assert (await row_of(database, Charge, charge.id)).state is ChargeState.SUCCEEDED
    assert sum(entry.amount_minor for entry in await sandbox.list_entries()) == 14003


async def test_top_up_is_taken_back_and_won_when_the_operator_says_so(client, admin, database, sandbox, run):
    charge = await ask_top_up(database, sandbox, new_id(), 700)
    await run()
    dispute = await _act(client, admin, "POST", "/outcomes", kind="charge", id=str(charge.id), outcome="disputed")
    assert (dispute["kind"], dispute["state"]) == ("dispute", "pending")
    await run()
    assert (await sandbox.balance())["CNY"].available_minor == 0
    await _act(client, admin, "POST", "/outcomes", kind="dispute", id=dispute["ref"], outcome="won")
    await run()
    assert (await sandbox.balance())["CNY"].available_minor == 700
    async with database.sessions() as session:
        assert (await session.exec(select(Chargeback.state))).all() == [ChargebackState.WON]


@pytest.mark.usefixtures("slow_bank")
async def test_payee_lapses_and_is_active_again_when_the_operator_says_so(client, admin, database, sandbox, run):
    payout = await _payout(client, admin, database, sandbox, run)
    states = []
    for outcome in ("lapsed", "active"):
        await _act(client, admin, "POST", "/outcomes", kind="payee", id=str(payout.payee_id), outcome=outcome)
        await run()
        states.append((await row_of(database, Payee, payout.payee_id)).state)
    assert states == [PayeeState.LAPSED, PayeeState.READY]


class TestWebhooks:
    @pytest.fixture
    async def event(self, database, sandbox, run):
        await ask_top_up(database, sandbox, new_id(), 700)
        await run()
        async with database.sessions() as session:
            return (await session.exec(select(SandboxEvent))).one()

    @pytest.fixture
    def deliver(self, settings, database, app, event):
        async def once(*, waited: bool = False) -> tuple[bool, int]:
            came: list[httpx.Request] = []

            async def note(request: httpx.Request) -> None:
                came.append(request)

            hooks = {"request": [note]}
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), event_hooks=hooks) as client:
                done = await delivery.deliver(settings, database, client, event.id, waited=waited)
            return done, len(came)

        return once

    async def test_webhook_comes_twice_and_counts_once_when_duplicated(self, client, admin, deliver, database):
        await _act(client, admin, "PUT", "/webhooks", duplicate=True)
        assert await deliver() == (True, 2)
        async with database.sessions() as session:
            assert len((await session.exec(select(WebhookEvent))).all()) == 1

    async def test_webhook_is_not_sent_when_dropped(self, client, admin, deliver):
        await _act(client, admin, "PUT", "/webhooks", drop=True)
        assert await deliver() == (False, 0)
        await _act(client, admin, "PUT", "/webhooks", drop=False)
        assert await deliver() == (True, 1)

    async def test_webhook_waits_once_when_delayed(self, client, admin, deliver, database):
        await _act(client, admin, "PUT", "/webhooks", delay_seconds=DAY)
        assert await deliver() == (False, 0)
        async with database.sessions() as session:
            held = [job for job in (await session.exec(select(Outbox))).all() if job.payload.get("waited")]
        assert held[0].due_at > now() + timedelta(seconds=DAY - 600)
        await _act(client, admin, "POST", "/clock", by_seconds=DAY)
        moved = await row_of(database, Outbox, held[0].id)
        assert moved.due_at <= now()
        assert await deliver(waited=True) == (True, 1)

    async def test_webhook_is_held_for_a_moment_when_reordered(self, client, admin, deliver, database):
        await _act(client, admin, "PUT", "/webhooks", reorder=True)
        assert await deliver() == (False, 0)
        assert "sandbox.deliver" in await waiting_jobs(database)


@pytest.mark.parametrize(
    "changes", [{"payment_provider": "stripe"}, {"env": "production", "sandbox_in_production": False}]
)
async def test_knobs_are_not_found_when_money_is_real(client, app, admin, changes):
    resources = app.state.resources
    app.state.resources = type(resources)(
        resources.settings.model_copy(update=changes), resources.database, resources.redis, resources.store
    )
    for verb, path in (
        ("GET", ""),
        ("PUT", "/webhooks"),
        ("POST", "/faults"),
        ("POST", "/clock"),
        ("DELETE", "/faults"),
    ):
        answer = await client.request(verb, BASE + path, json={"by_seconds": 1, "faults": ["throttled"]}, headers=admin)
        assert answer.status_code in {404, 422}, path
    assert (await client.get(BASE, headers=admin)).json()["code"] == "provider_unknown"


async def test_knobs_are_forbidden_when_the_actor_is_no_operator(client, app, database):
    async with committed(database) as session:
        party = await make_enterprise(session)
    answer = await client.post(f"{BASE}/clock", json={"by_seconds": 1}, headers=bearer(app, party))
    assert answer.status_code == 403
