"""The rail's own money and its place among the providers."""

from datetime import timedelta

import pytest
from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.core.money import Money
from marketplace.core.settings import Settings
from marketplace.payments.bank_file import results
from marketplace.payments.bank_file.states import MovementKind
from marketplace.payments.errors import Rejected
from marketplace.payments.gateway import RemoteState
from marketplace.payments.states import Leg
from tests.factories.bank_file import AMOUNT_MINOR, MAKER, breaks_of, queued_payout, result_file
from tests.factories.money import committed


async def test_break_is_reported_when_the_banks_closing_balance_is_another_until_a_fee_explains_it(
    settings, database, gateway, books, drive, funded
):
    await queued_payout(database, gateway, books, drive)
    (ref,) = await books.send("CNY")
    await books.answer("CNY", {ref: "paid"}, closing=1_000_000 - AMOUNT_MINOR - 50)
    await drive()
    assert await breaks_of(settings, database) == [
        f"CNY: {1_000_000 - AMOUNT_MINOR} by our postings, {1_000_000 - AMOUNT_MINOR - 50} at the provider"
    ]
    await books.fund(Money(50, "CNY"), MovementKind.FEE)
    assert await breaks_of(settings, database) == []


async def test_books_agree_when_payments_wait_are_exported_and_answered(
    settings, database, gateway, books, drive, funded
):
    for _ in range(2):
        await queued_payout(database, gateway, books, drive)
    refs = await books.send("CNY")
    await queued_payout(database, gateway, books, drive)
    await books.answer("CNY", {refs[0]: "paid"}, closing=1_000_000 - AMOUNT_MINOR)
    await drive()
    assert await breaks_of(settings, database) == []


async def test_payment_is_not_made_twice_when_its_earmark_was_given_up(database, gateway, books):
    payee, ref = await books.payee("CNY"), new_id().hex
    amount = Money(AMOUNT_MINOR, "CNY")
    await gateway.transfer(f"{ref}transfer1", ref, amount, payee_ref=payee)
    await gateway.reverse_transfer(f"{ref}reversal1", ref, amount, transfer_ref=ref)
    with pytest.raises(Rejected):
        await gateway.payout(f"{ref}payout1", ref, amount, payee_ref=payee)


async def test_earmark_is_kept_when_its_payment_waits(database, gateway, books):
    payee, ref = await books.payee("CNY"), new_id().hex
    amount = Money(AMOUNT_MINOR, "CNY")
    await gateway.transfer(f"{ref}transfer1", ref, amount, payee_ref=payee)
    await gateway.payout(f"{ref}payout1", ref, amount, payee_ref=payee)
    with pytest.raises(Rejected):
        await gateway.reverse_transfer(f"{ref}reversal1", ref, amount, transfer_ref=ref)


@pytest.mark.parametrize("change", ["UPDATE bank_file_object SET amount_minor = 0", "DELETE FROM bank_file_line"])
async def test_rows_of_the_rail_stay_when_the_application_would_change_them(database, change):
    async with database.sessions() as session:
        with pytest.raises(DBAPIError, match="permission denied"):
            await session.execute(text(change))


async def test_webhook_is_refused_when_it_says_to_come_from_the_bank_file_rail(client):
    answer = await client.post("/v1/webhooks/bank_file", content=b"{}")
    assert (answer.status_code, answer.json()["code"]) == (400, "webhook_refused")


def test_payees_of_the_mainland_are_allowed_when_files_pay_them():
    stripe = {"payment_provider": "stripe", "payee_countries": "CN"}
    assert Settings(_env_file=None, **stripe, payout_provider="bank_file").providers_in_use == ["stripe", "bank_file"]
    with pytest.raises(ValidationError, match="PAYOUT_PROVIDER=stripe cannot pay payees in CN"):
        Settings(_env_file=None, payee_countries="CN", payout_provider="stripe")


def test_production_does_not_start_when_payouts_go_to_the_sandbox():
    secrets = dict.fromkeys(
        ("database_url", "redis_url", "secret_key", "jwt_keys", "public_url", "proof_signing_key"), "x"
    )
    stripe = {"payment_provider": "stripe", "stripe_api_key": "sk_live_x", "stripe_webhook_secrets": "whsec_x"}
    with pytest.raises(ValidationError, match="the sandbox moves no real money"):
        Settings(_env_file=None, env="production", payout_provider="sandbox", **secrets, **stripe)
    assert Settings(_env_file=None, env="production", payout_provider="bank_file", **secrets, **stripe)


async def test_statement_is_not_explained_when_money_moved_only_after_its_day(settings, database, books, funded):
    content = result_file("CNY", [], closing=1_000_050)
    async with committed(database) as session:
        await results.import_results(session, MAKER, content)
    await books.fund(Money(50, "CNY"), in_days=1)
    assert await breaks_of(settings, database) == ["CNY: 1000050 by our postings, 1000100 at the provider"]
    await books.fund(Money(50, "CNY"))
    assert await breaks_of(settings, database) == []


async def test_entries_and_objects_are_those_of_the_calls_when_money_has_gone_every_way(database, gateway, books):
    amount, payee = Money(AMOUNT_MINOR, "CNY"), await books.payee("CNY")
    moved = await books.fund(Money(50_000, "CNY"))
    kept, taken = new_id().hex, new_id().hex
    for ref in (kept, taken):
        assert await gateway.find(Leg.TRANSFER, ref) is None
        await gateway.transfer(f"{ref}transfer1", ref, amount, payee_ref=payee)
    await gateway.reverse_transfer(f"{taken}reversal1", taken, amount, transfer_ref=taken)
    made = await gateway.payout(f"{kept}payout1", kept, amount, payee_ref=payee)
    assert await gateway.find(Leg.PAYOUT, kept) == made
    assert (made.state, made.amount_minor, made.currency) == (RemoteState.PENDING, AMOUNT_MINOR, "CNY")
    entries = await gateway.list_entries()
    assert [(entry.kind, entry.ref) for entry in entries] == [
        (Leg.CHARGE, moved.ref), (Leg.TRANSFER, kept), (Leg.TRANSFER, taken), (Leg.REVERSAL, taken),
    ]  # fmt: skip
    assert sum(entry.amount_minor for entry in entries) == (await gateway.balance())["CNY"].available_minor
    since = now() - timedelta(minutes=1)
    assert await gateway.list_events(since) == []
    await books.send("CNY")
    await books.answer("CNY", {kept: "paid"})
    await books.answer("CNY", {kept: "returned"})
    assert [(event.kind, event.ref) for event in await gateway.list_events(since)] == [(Leg.PAYOUT, kept)]
    found = await gateway.find(Leg.PAYOUT, kept)
    assert (found.state, found.failure_code) == (RemoteState.FAILED, "bank_returned")
