"""The fake Stripe, asked through the real SDK."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import stripe

from tests.fakestripe import running_fake
from tests.fakestripe.server import Fake

DAY = 24 * 3600
METHODS = {"enabled": True, "allow_redirects": "never"}
CHARGE = {
    "amount": 10_000, "currency": "usd", "confirm": True, "payment_method": "pm_card_visa",
    "automatic_payment_methods": METHODS,
}  # fmt: skip
RECIPIENT = {"recipient": {"capabilities": {"stripe_balance": {"stripe_transfers": {"requested": True}}}}}


@pytest.fixture
async def fake() -> AsyncIterator[Fake]:
    async with running_fake() as running:
        yield running


@pytest.fixture
async def client(fake) -> AsyncIterator[Any]:
    http = stripe.HTTPXClient(timeout=5)
    yield stripe.StripeClient(fake.api_key, base_addresses={"api": fake.url}, http_client=http)
    await http.close_async()


def _key(name: str, account: str | None = None) -> Any:
    return {"idempotency_key": name} | ({"stripe_account": account} if account else {})


async def _funded(fake, client) -> str:
    await client.v1.payment_intents.create_async(CHARGE, _key("charge"))
    fake.advance(3 * DAY)
    return (await client.v2.core.accounts.create_async({"configuration": RECIPIENT}, _key("account"))).id


async def _payout(fake, client) -> tuple[str, str]:
    payee = await _funded(fake, client)
    await client.v1.transfers.create_async({"amount": 5_000, "currency": "usd", "destination": payee}, _key("t"))
    made = await client.v1.payouts.create_async({"amount": 5_000, "currency": "usd"}, _key("p", payee))
    return payee, made.id


@pytest.mark.parametrize("change", [
    {"payment_method_types": ["card"]}, {"automatic_payment_methods": {"enabeld": True}}, {"amount": 10.5},
    {"capture_method": "whenever"}, {"currency": None}, {"amount": None}, {"metadata": "x"},
])  # fmt: skip
async def test_call_is_refused_and_noted_when_it_breaks_the_contract(fake, client, change):
    body = {name: value for name, value in (CHARGE | change).items() if value is not None}
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.payment_intents.create_async(body, _key("a"))
    assert fake.contract_breaks
    fake.contract_breaks.clear()


@pytest.mark.parametrize("body", [
    {"dashboard": "big"}, {"configuration": {"recipient": {"capabilities": {"stripe_balanc": {}}}}},
    {"display_name": 3}, {"configuration": {"recipient": {"capabilities": {"stripe_balance": {
        "stripe_transfers": {"requested": "true"}}}}}},
])  # fmt: skip
async def test_v2_call_is_refused_and_noted_when_it_breaks_the_contract(fake, client, body):
    with pytest.raises(stripe.InvalidRequestError):
        await client.v2.core.accounts.create_async(body, _key("a"))
    assert fake.contract_breaks
    fake.contract_breaks.clear()


async def test_fake_ends_in_an_error_when_the_contract_was_broken():
    with pytest.raises(AssertionError):
        async with running_fake() as running:
            running.contract_breaks.append("something")


@pytest.mark.parametrize(("fault", "made"), [("error_before", 0), ("error_after", 1)])
async def test_500_is_repeated_when_the_key_is_young(fake, client, fault, made):
    fake.faults.plan(fault)
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            await client.v1.payment_intents.create_async(CHARGE, _key("a"))
    assert len((await client.v1.payment_intents.list_async()).data) == made
    fake.advance(DAY + 1)
    await client.v1.payment_intents.create_async(CHARGE, _key("a"))
    assert len((await client.v1.payment_intents.list_async()).data) == made + 1


@pytest.mark.parametrize(("fault", "made"), [("lost_request", 0), ("lost_response", 1)])
async def test_connection_breaks_when_planned_and_the_replay_has_one_effect(fake, client, fault, made):
    fake.faults.plan(fault)
    with pytest.raises(stripe.APIConnectionError):
        await client.v1.payment_intents.create_async(CHARGE, _key("a"))
    assert len((await client.v1.payment_intents.list_async()).data) == made
    await client.v1.payment_intents.create_async(CHARGE, _key("a"))
    assert len((await client.v1.payment_intents.list_async()).data) == 1


async def test_key_is_refused_when_the_parameters_differ(fake, client):
    await client.v1.payment_intents.create_async(CHARGE, _key("a"))
    with pytest.raises(stripe.IdempotencyError):
        await client.v1.payment_intents.create_async(CHARGE | {"amount": 1}, _key("a"))


async def test_transfer_is_refused_when_the_money_is_pending(fake, client):
    await client.v1.payment_intents.create_async(CHARGE, _key("charge"))
    payee = await client.v2.core.accounts.create_async({"configuration": RECIPIENT}, _key("account"))
    body = {"amount": 5_000, "currency": "usd", "destination": payee.id}
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await client.v1.transfers.create_async(body, _key("a"))
    assert refused.value.code == "balance_insufficient"
    fake.advance(3 * DAY)
    await client.v1.transfers.create_async(body, _key("b"))
    assert (await client.v1.balance.retrieve_async()).available[0].amount == 10_000 - 320 - 5_000


async def test_payout_turns_to_failed_when_it_was_paid(fake, client):
    payee, payout = await _payout(fake, client)
    fake.advance(3 * DAY)
    assert (await client.v1.payouts.retrieve_async(payout, None, {"stripe_account": payee})).status == "paid"
    fake.fail_payout(payout)
    assert (await client.v1.payouts.retrieve_async(payout, None, {"stripe_account": payee})).status == "failed"
    assert (await client.v1.balance.retrieve_async(None, {"stripe_account": payee})).available[0].amount == 5_000


async def test_list_goes_on_when_there_are_more_pages(fake, client):
    for index in range(3):
        await client.v1.payment_intents.create_async(CHARGE, _key(f"k{index}"))
        await client.v2.core.accounts.create_async({"configuration": RECIPIENT}, _key(f"a{index}"))
    intents = await client.v1.payment_intents.list_async({"limit": 2})
    accounts = await client.v2.core.accounts.list_async({"limit": 2})
    assert len({one.id async for one in intents.auto_paging_iter()}) == 3
    assert len({one.id async for one in accounts.auto_paging_iter()}) == 3


@pytest.mark.parametrize(("knobs", "times"), [({}, 1), ({"duplicate": True}, 2), ({"drop": True}, 0)])
async def test_webhook_is_signed_when_it_is_delivered(fake, client, knobs, times):
    got: list[tuple[bytes, str]] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        got.append((await reader.readexactly(int(fields["content-length"])), fields["stripe-signature"]))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        fake.deliver_to(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook", **knobs)
        await client.v1.topups.create_async({"amount": 500, "currency": "usd"}, _key("a"))
        await fake.delivered()
    assert len(got) == times
    for raw, signature in got:
        assert stripe.Webhook.construct_event(raw, signature, fake.webhook_secret).type == "topup.succeeded"
