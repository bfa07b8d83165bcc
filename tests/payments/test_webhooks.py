"""The provider's notices may come twice, late, early, in any order or not at all."""

from datetime import timedelta
from uuid import UUID

import httpx
import msgspec
import pytest
from sqlalchemy import text
from sqlmodel import col, select

from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.core.outbox import Outbox
from marketplace.ledger import accounts, queries
from marketplace.payments import inbox
from marketplace.payments.gateway import RemoteEvent
from marketplace.payments.models import Charge, Payout, WebhookEvent
from marketplace.payments.sandbox import delivery, signing
from marketplace.payments.sandbox.models import SandboxEvent
from marketplace.payments.states import ChargeState, Leg, PayoutState, WebhookState
from tests.factories.money import ask_payout, ask_top_up, committed, earn, put_off, row_of
from tests.jobs import run_outbox
from workers.session import run_command

PATH = "/v1/webhooks/sandbox"


def _signed(settings, event: RemoteEvent, *, age: timedelta = timedelta(0)) -> tuple[bytes, dict[str, str]]:
    body = msgspec.json.encode(event)
    return body, {signing.HEADER: signing.sign(signing.secret_of(settings), body, now() - age)}


async def _events(database) -> list[SandboxEvent]:
    async with database.sessions() as session:
        return list((await session.exec(select(SandboxEvent).order_by(col(SandboxEvent.id)))).all())


async def _inbox(database) -> list[WebhookEvent]:
    async with database.sessions() as session:
        return list((await session.exec(select(WebhookEvent).order_by(col(WebhookEvent.id)))).all())


async def _deliver(client: httpx.AsyncClient, settings, database) -> None:
    local = settings.model_copy(update={"public_url": "http://kapok.test"})
    for event in await _events(database):
        assert await delivery.deliver(local, database, client, event.id)


async def test_event_is_kept_once_when_it_is_delivered_twice(client, settings, database):
    event = RemoteEvent(str(new_id()), Leg.CHARGE, new_id().hex, now())
    body, headers = _signed(settings, event)
    first = await client.post(PATH, content=body, headers=headers)
    second = await client.post(PATH, content=body, headers=headers)
    assert (first.status_code, first.json()) == (202, {"new": True})
    assert (second.status_code, second.json()) == (202, {"new": False})
    assert len(await _inbox(database)) == 1


@pytest.mark.parametrize("age", [timedelta(hours=1), timedelta(hours=-1)])
async def test_event_is_refused_when_it_is_replayed_later(client, settings, database, age):
    body, headers = _signed(settings, RemoteEvent(str(new_id()), Leg.CHARGE, new_id().hex, now()), age=age)
    answer = await client.post(PATH, content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "webhook_refused")
    assert await _inbox(database) == []


async def test_event_is_refused_when_it_is_forged(client, settings, database):
    body, headers = _signed(settings, RemoteEvent(str(new_id()), Leg.CHARGE, new_id().hex, now()))
    answer = await client.post(PATH, content=body.replace(b"charge", b"payout"), headers=headers)
    assert answer.status_code == 400
    signed_garbage = {signing.HEADER: signing.sign(signing.secret_of(settings), b"[]", now())}
    assert (await client.post(PATH, content=b"[]", headers=signed_garbage)).status_code == 400
    assert (await client.post("/v1/webhooks/nobody", content=body, headers=headers)).status_code == 404
    assert await _inbox(database) == []


async def test_charge_that_fails_later_is_learnt_when_its_webhook_arrives(client, settings, database, gateway, drive):
    charge = await ask_top_up(database, gateway, new_id(), 14_003)
    await drive()
    assert (await row_of(database, Charge, charge.id)).state is ChargeState.PENDING
    await _deliver(client, settings, database)
    await drive()
    assert (await row_of(database, Charge, charge.id)).state is ChargeState.FAILED
    assert {event.state for event in await _inbox(database)} == {WebhookState.APPLIED}


async def test_money_is_booked_once_when_events_come_reordered_and_repeated(
    client, settings, database, gateway, drive, worker_resources
):
    worker, organisation = new_id(), new_id()
    await ask_top_up(database, gateway, organisation, 100_000)
    await drive()
    await earn(database, worker, 500)
    payout = await ask_payout(database, gateway, worker)
    await drive()
    async with committed(database) as session:
        for event in reversed(await _events(database)):
            for repeat in ("", "-again"):
                news = RemoteEvent(f"{event.id}{repeat}", event.kind, event.ref, event.occurred_at)
                await inbox.receive(session, "sandbox", news)
    await drive()
    assert (await row_of(database, Payout, payout.id)).state is PayoutState.PAID
    assert {event.state for event in await _inbox(database)} == {WebhookState.APPLIED}
    async with database.sessions() as session:
        assert await queries.balance(session, accounts.org_cash(organisation), "CNY") == 100_000
        assert await queries.balance(session, accounts.psp("sandbox"), "CNY") == 99_500


@pytest.mark.parametrize("ref", [UUID(int=7 << 76 | 2 << 62).hex, "not one of ours", "A" * 32])
async def test_event_stays_pending_and_is_tried_later_when_it_fits_nothing(database, gateway, worker_resources, ref):
    async with committed(database) as session:
        await inbox.receive(session, "sandbox", RemoteEvent("1", Leg.CHARGE, ref, now()))
    assert await run_outbox(worker_resources, only="payments.webhook") == ["payments.webhook"]
    (event,) = await _inbox(database)
    assert (event.state, event.tries) == (WebhookState.PENDING, 1)
    async with database.sessions() as session:
        waiting = (await session.exec(select(Outbox).where(Outbox.kind == "payments.webhook"))).one()
    assert waiting.due_at > now()


async def test_early_event_is_applied_when_its_row_comes_later(database, gateway, drive, worker_resources):
    """The provider may be faster than our own commit: its notice waits for the row."""
    charge_id = new_id()
    async with committed(database) as session:
        await inbox.receive(session, "sandbox", RemoteEvent("1", Leg.CHARGE, charge_id.hex, now()))
    await run_outbox(worker_resources, only="payments.webhook")
    charge = await ask_top_up(database, gateway, new_id(), 700)
    async with committed(database) as session:
        event = (await session.exec(select(WebhookEvent))).one()
        event.object_ref = charge.id.hex
    await drive()
    assert [event.state for event in await _inbox(database)] == [WebhookState.APPLIED]
    assert (await row_of(database, Charge, charge.id)).state is ChargeState.SUCCEEDED


async def test_webhook_is_sent_again_when_the_receiver_did_not_take_it(database, settings, gateway, drive):
    await ask_top_up(database, gateway, new_id(), 700)
    await drive()
    (event,) = await _events(database)
    answers = [httpx.Response(503), httpx.Response(202)]
    transport = httpx.MockTransport(lambda _request: answers.pop(0))
    async with httpx.AsyncClient(transport=transport) as receiver:
        assert not await delivery.deliver(settings, database, receiver, event.id)
        async with database.sessions() as session:
            jobs = (await session.exec(select(Outbox).where(Outbox.kind == "sandbox.deliver"))).all()
        assert max(job.due_at for job in jobs) > now()
        assert await delivery.deliver(settings, database, receiver, event.id)
        assert await delivery.deliver(settings, database, receiver, event.id)
    assert answers == []
    event = await row_of(database, SandboxEvent, event.id)
    assert (event.tries, event.delivered_at is not None) == (2, True)


async def test_lost_webhooks_are_fetched_when_gaps_are_filled(database, gateway, drive):
    charge = await ask_top_up(database, gateway, new_id(), 14_003)
    await drive()
    for missed in (1, 0):
        assert await run_command(database, lambda session: inbox.fill_gaps(session, gateway)) == missed
    await put_off(database)
    await drive()
    assert (await row_of(database, Charge, charge.id)).state is ChargeState.FAILED


async def test_lost_webhook_is_fetched_when_a_later_one_came_through(database, gateway, drive):
    """The newest event we know says nothing of those before it: one lost in a long night must still be found."""
    await run_command(database, lambda session: inbox.fill_gaps(session, gateway))
    charge = await ask_top_up(database, gateway, new_id(), 14_003)
    await drive()
    async with committed(database) as session:
        later = RemoteEvent("later", Leg.CHARGE, charge.id.hex, now() + timedelta(days=2))
        await inbox.receive(session, gateway.name, later)
        await session.execute(text("DELETE FROM outbox"))
    assert await run_command(database, lambda session: inbox.fill_gaps(session, gateway)) == 1
    await put_off(database)
    await drive()
    assert (await row_of(database, Charge, charge.id)).state is ChargeState.FAILED
